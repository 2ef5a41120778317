"""Whatever a list is asked for, by search or by filter, reaches the database beside the SQL, never inside it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from tests.admin.conftest import Browse, Scene
from tests.admin.test_permissions import LISTS

CANARY = "zz'\";--canary"
NAMED = re.compile(r'(?:name="|[?&;])([a-z_]+)(?:"|=)')


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """Every SQL text as it is sent, without its parameters."""
    texts: list[str] = []

    def keep(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        texts.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        yield texts


@pytest.mark.parametrize("name", LISTS)
def test_what_a_list_is_asked_for_is_never_part_of_the_sql(
    name: str, browse: Browse, scene: Scene, sent: list[str]
) -> None:
    client, address = browse("superuser"), reverse(f"admin:{name}")
    parameters = set(NAMED.findall(client.get(address).text)) | {"q", "o", "after", "before"}
    sent.clear()
    for parameter in sorted(parameters):
        assert client.get(address, {parameter: CANARY}).status_code in {200, 302, 400}, parameter
    assert sent, sorted(parameters)
    assert [sql for sql in sent if "canary" in sql] == []
