"""The list of facts across jobs."""

import re
from uuid import UUID

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.admin.facts.filters import FactFilter
from derive.admin.lists import keyset
from derive.models import Fact
from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.admin.facts_scene import LIST, MAX_QUERIES, job_page


def indexes(query: str) -> list[int]:
    """The places of the facts that a filter finds, newest first."""
    numbers = FactFilter(QueryDict(query)).walk().page().sequences
    found = dict(Fact.objects.filter(fact_seq__in=numbers).values_list("fact_seq", "fact_index"))
    return [found[number] for number in numbers]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [4, 3, 2, 1, 0]),
        ("entity=tala-venn", [3, 2, 1, 0]),
        ("entity=tala-venn&entity_type=planet", []),
        ("entity_type=planet", [4]),
        ("key=birth_place", [4, 3, 0]),
        ("key=birth_place&entity=tala-venn", [3, 0]),
        ("verdict=REFUTED", [1]),
        ("verdict=SUPPORTED&key=birth_place&entity=corvessa", [4]),
        ("review=OPEN", [2, 1]),
        ("review=NONE", [4, 3, 0]),
        ("review=ACCEPTED", []),
        ("conflict=yes", [3, 0]),
        ("conflict=no&entity=tala-venn", [2, 1]),
        ("interrogation=other_v1", [4]),
        ("version=2", [3]),
        ("model=qwen3", [3]),
        ("model=llama3.2&verdict=REFUTED", [1]),
        ("current=yes", [4, 3, 2, 1, 0]),
        ("current=no", []),
        ("verdict=MAYBE", []),
        ("q=nonsense", []),
    ],
)
def test_facts_are_found_by_each_filter(query: str, found: list[int], facts: list[UUID]) -> None:
    assert indexes(query) == found


def test_facts_are_found_by_run_job_conflict_and_fact_id(facts: list[UUID]) -> None:
    fact = Fact.objects.get(fact_index=3)
    assert indexes(f"q={fact.run_id}") == indexes(f"q={fact.job_id}") == indexes(f"q={fact.fact_id}") == [3]
    assert indexes(f"q={fact.conflict_id}") == [3, 0]


def test_a_fact_in_the_list_links_to_the_fact_next_to_its_evidence(browse: Browse, facts: list[UUID]) -> None:
    client, fact = browse("viewer"), Fact.objects.get(fact_index=2)
    address = f"{job_page(fact.job_id)}?run={fact.run_id}&fact=2#fact-2"
    assert address.replace("&", "&amp;") in client.get(LIST).text
    led = client.get(reverse("admin:derive_fact_change", args=[fact.fact_id]))
    assert (led.status_code, led["Location"]) == (302, address)
    for nothing in (UUID(int=7), "x"):
        assert client.get(f"{LIST}{nothing}/change/").status_code == 404


def test_the_list_is_paged_by_key_with_few_queries_and_no_counts(
    browse: Browse, facts: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset.Walk.page, "__kwdefaults__", {"older": None, "newer": None, "rows": 2})
    client, address, seen = browse("operator"), LIST, []
    while address:
        with CaptureQueriesContext(connection) as queries:
            text = client.get(address).text
        assert len(queries) <= MAX_QUERIES
        assert not [query for query in queries if "COUNT(" in query["sql"]]
        seen += re.findall(r"fact=([0-9])#fact-", text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = LIST + older[1].replace("&amp;", "&") if older else ""
    assert seen == ["4", "3", "2", "1", "0"]


def test_an_empty_list_names_the_commands_that_create_facts(browse: Browse, queue: JobQueue) -> None:
    text = browse("viewer").get(LIST).text
    assert "manage.py run_llm_worker" in text
    assert "manage.py rebuild_facts" in text
