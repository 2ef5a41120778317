"""The chain of seals, as operators see it."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.admin import keyset
from derive.errors import LakeUnavailable
from derive.lake import Lake
from derive.models import Seal
from derive.queue import JobQueue
from derive.sealing.chain import seal_history
from tests.admin.conftest import Browse
from tests.contract.scenes import queued

MAX_QUERIES = 12


@pytest.fixture
def seals(browse: Browse, queue: JobQueue, tmp_path: Path) -> list[Any]:
    """Two seals, and an event after them."""
    for _ in range(2):
        queued(queue)
        seal_history(Lake.open(str(tmp_path)))
    queued(queue)
    return list(Seal.objects.order_by("-seal_seq"))


def test_the_seals_are_listed_with_the_head_and_what_waits(browse: Browse, seals: list[Any]) -> None:
    client, address = browse("viewer"), reverse("admin:derive_seal_changelist")
    page = client.get(address)
    assert [(seal.seal_seq, is_stored) for seal, is_stored in page.context["seals"]] == [(2, True), (1, True)]
    assert f"2:{seals[0].sha256}" in page.text
    assert "wait for the next seal" in page.text
    assert [one.seal_seq for one, _ in client.get(address, {"q": seals[1].sha256}).context["seals"]] == [1]
    assert "Sealed since is no time" in client.get(address, {"since": "soon"}).text
    assert not client.get(address, {"until": "2h"}).context["seals"]
    assert seals[1].sha256 in client.get(reverse("admin:derive_seal_change", args=[1])).text


def test_the_seals_are_paged_by_key_in_few_queries(
    browse: Browse, seals: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset.Walk.page, "__kwdefaults__", {**(keyset.Walk.page.__kwdefaults__ or {}), "rows": 1})
    client, address = browse("viewer"), reverse("admin:derive_seal_changelist")
    with CaptureQueriesContext(connection) as asked:
        first = client.get(address)
    assert len(asked) <= MAX_QUERIES
    second = client.get(address + first.context["paging"]["older"])
    assert [one.seal_seq for one, _ in (*first.context["seals"], *second.context["seals"])] == [2, 1]


def test_a_seal_that_the_lake_does_not_have_yet_says_so(browse: Browse, queue: JobQueue, tmp_path: Path) -> None:
    queued(queue)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LakeUnavailable):
        seal_history(Lake.open(str(tmp_path / "file")))
    assert "waits for the lake" in browse("viewer").get(reverse("admin:derive_seal_changelist")).text
