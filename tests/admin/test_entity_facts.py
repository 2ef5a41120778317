"""The facts about one entity."""

from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from derive.admin.facts import admin as facts_admin
from derive.lake import Lake
from derive.models import Fact
from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.admin.facts_scene import ENTITY, MAX_QUERIES, QUOTES, a_fact, job_page, three_facts, told


def test_an_entity_shows_the_values_of_each_key_with_their_sources(browse: Browse, facts: list[UUID]) -> None:
    client = browse("operator")
    with CaptureQueriesContext(connection) as queries:
        page = client.get(ENTITY, {"entity": "tala-venn", "entity_type": "character"})
    assert len(queries) <= MAX_QUERIES, [query["sql"][:120] for query in queries]
    known = {key.name: key for key in page.context["known"]}
    assert list(known) == ["birth", "birth_place", "guild"]
    assert known["birth_place"].is_in_conflict
    assert not known["birth"].is_in_conflict
    said = {value.text: [one.run.model_name for one in value.statements] for value in known["birth_place"].values}
    assert said == {"Arrel": ["qwen3"], "Corvessa": ["llama3.2"]}
    assert page.text.count("In conflict") == 3
    assert "Admitted" not in page.text
    fact = Fact.objects.get(fact_index=0)
    assert f"run={fact.run_id}&amp;fact=0#fact-0" in page.text


def test_admitted_facts_are_labelled_and_listed_first(browse: Browse, lake: Lake) -> None:
    told(lake, three_facts())
    page = browse("operator").get(ENTITY, {"entity": "tala-venn"})
    admitted = {key.name: [value.is_admitted for value in key.values] for key in page.context["known"]}
    assert admitted == {"birth": [False], "birth_place": [True], "guild": [False]}
    (job_id,) = set(Fact.objects.values_list("job_id", flat=True))
    facts = browse("operator").get(job_page(job_id)).context["answer"].marked.facts
    assert ["Not admitted" in fact.tags for fact in facts] == [False, True, True]


def test_values_that_differ_only_in_notation_are_grouped(browse: Browse, lake: Lake) -> None:
    for text, sha in (("30 metres", "ab"), ("30 m", "cd")):
        told(lake, (a_fact(0, QUOTES[0], fact_key="length", value=text, value_key="30 m"),), evidence_sha256=sha * 32)
    (key,) = browse("operator").get(ENTITY, {"entity": "tala-venn"}).context["known"]
    (value,) = key.values
    assert [one.fact.value for one in value.statements] == ["30 m", "30 metres"]


def test_superseded_facts_are_shown_on_request_and_labelled(browse: Browse, lake: Lake) -> None:
    told(lake, (a_fact(0, QUOTES[0], fact_key="home", value="old", value_key="old"),))
    told(lake, (a_fact(0, QUOTES[0], fact_key="home", value="new", value_key="new"),))
    client = browse("operator")
    page = client.get(ENTITY, {"entity": "tala-venn"})
    assert [value.text for value in page.context["known"][0].values] == ["new"]
    page = client.get(ENTITY + page.context["otherwise"])
    assert {value.text for value in page.context["known"][0].values} == {"new", "old"}
    assert "Superseded" in page.text
    assert client.get(ENTITY + page.context["otherwise"]).context["has_superseded"] is False


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "Which entity?"),
        ({"entity": "nobody"}, "No facts about"),
        ({"entity": "x" * 401}, "is longer than 400 characters"),
        ({"entity": "tala-venn", "verdict": "MAYBE"}, "is not one of"),
    ],
)
def test_an_entity_page_without_facts_says_what_to_do(
    query: dict[str, str], says: str, browse: Browse, queue: JobQueue
) -> None:
    page = browse("viewer").get(ENTITY, query)
    assert page.status_code == 200
    assert says in page.text


def test_an_entity_with_many_facts_is_paged(browse: Browse, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_admin, "MAX_FACTS", 2)
    told(lake, three_facts())
    client = browse("operator")
    page = client.get(ENTITY, {"entity": "tala-venn"})
    seen = [key.name for key in page.context["known"]]
    page = client.get(ENTITY + page.context["paging"]["older"])
    seen += [key.name for key in page.context["known"]]
    assert sorted(seen) == ["birth", "birth_place", "guild"]
    assert page.context["paging"]["older"] is None
