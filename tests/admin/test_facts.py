"""Facts in the admin: on the page of their job, in a list across jobs, and by entity."""

import re
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.fixtures import Settings

from derive.admin.facts import admin as facts_admin
from derive.admin.facts.filters import FactFilter
from derive.admin.jobs import answer
from derive.admin.lists import keyset
from derive.lake import Lake
from derive.models import Fact
from derive.queue import JobQueue
from tests.admin.conftest import HOSTILE, Browse
from tests.admin.facts_scene import QUOTES, a_fact, a_lost_fact, three_facts, told

MAX_QUERIES = 12
LIST = "/admin/derive/fact/"
ENTITY = "/admin/derive/fact/entity/"


@pytest.fixture
def lake(queue: JobQueue, settings: Settings, tmp_path: Path) -> Lake:
    settings.LAKE_URL = str(tmp_path)
    return Lake.open(str(tmp_path))


def job_page(job_id: UUID) -> str:
    return reverse("admin:derive_job_change", args=[job_id])


def indexes(query: str) -> list[int]:
    """The places of the facts that a filter finds, newest first."""
    numbers = FactFilter(QueryDict(query)).walk().page().sequences
    found = dict(Fact.objects.filter(fact_seq__in=numbers).values_list("fact_seq", "fact_index"))
    return [found[number] for number in numbers]


def copy_facts(places: range) -> None:
    """Store the one fact there is once more at each of these places of its answer."""
    taken = ("fact_id", "fact_seq", "fact_index")
    same = ", ".join(str(field.column) for field in Fact._meta.concrete_fields if field.column not in taken)
    copies = ", ".join(["(%s, %s)"] * len(places))
    values = [value for place in places for value in (uuid4(), place)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO llm.fact (fact_id, fact_index, {same}) SELECT n.fact_id, n.fact_index, {same}"
            f" FROM llm.fact AS f CROSS JOIN (VALUES {copies}) AS n (fact_id, fact_index)",
            values,
        )


def test_a_job_shows_each_fact_with_its_verdict_in_words_why_and_where_it_stands(browse: Browse, lake: Lake) -> None:
    job_id, _run_id = told(lake, (*three_facts(), a_lost_fact(3)))
    page = browse("operator").get(job_page(job_id))
    facts = page.context["answer"].marked.facts
    assert [fact.verdict_words for fact in facts] == ["Supported", "Refuted", "Not enough info", "Not enough info"]
    assert "The quote says 19 BBY, the value 41 BBY." in page.text
    assert "e1, characters 10–30" in page.text
    assert "The quote does not stand in e1." in page.text
    assert re.findall(r'class="fact-card ([^"]+)"', page.text) == [
        "is-supported",
        "is-refuted",
        "is-not_enough_info",
        "is-not_enough_info",
    ]
    marks = re.findall(r'<mark class="([^"]+)" data-facts="([^"]+)">.*?</mark>', page.text)
    assert marks == [
        ("is-supported has-supported", "0"),
        ("is-refuted has-refuted has-supported", "0 1"),
        ("is-refuted has-refuted", "1"),
        ("is-not_enough_info has-not_enough_info", "2"),
    ]
    assert page.context["answer"].tally == (
        ("is-supported", "Supported", 1),
        ("is-refuted", "Refuted", 1),
        ("is-not_enough_info", "Not enough info", 2),
        ("is-open", "To review", 3),
    )


def test_a_fact_leads_to_its_mark_and_back_without_a_script(browse: Browse, lake: Lake) -> None:
    job_id, _run_id = told(lake, three_facts())
    text = browse("operator").get(job_page(job_id)).text
    ids = re.findall(r'\bid="([^"]+)"', text)
    for number in range(3):
        assert ids.count(f"mark-{number}") == ids.count(f"fact-{number}") == 1
        assert f'href="#mark-{number}"' in text
        assert f'href="#fact-{number}"' in text


def test_values_quotes_and_evidence_are_for_those_who_may_see_payloads(browse: Browse, lake: Lake) -> None:
    job_id, _run_id = told(lake, three_facts())
    client = browse("viewer")
    addresses = (job_page(job_id), LIST, f"{ENTITY}?entity=tala-venn")
    for secret in ("41 BBY", QUOTES[1], "The quote says"):
        for address in addresses:
            assert secret not in client.get(address).text, (secret, address)
            assert secret in browse("operator").get(address).text, (secret, address)
    assert "Refuted" in client.get(LIST).text


def test_an_answer_of_ten_thousand_facts_is_shown_a_page_at_a_time(
    browse: Browse, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, run_id = told(lake, (a_fact(0, QUOTES[0]),))
    copy_facts(range(1, 10_000))
    client = browse("operator")
    with CaptureQueriesContext(connection) as queries:
        first = client.get(job_page(job_id))
    assert len(queries) <= MAX_QUERIES
    assert len(first.context["answer"].marked.facts) == answer.MAX_FACTS
    assert len(first.content) < 1_000_000
    assert "10\u202f000 facts" in first.text
    far = client.get(job_page(job_id), {"run": str(run_id), "fact": "7777"})
    assert 'id="fact-7777"' in far.text
    assert (far.context["answer"].earlier, far.context["answer"].later) == (7_400, 7_800)
    last = client.get(job_page(job_id), {"run": str(run_id), "fact": "999999"})
    assert (last.context["answer"].last, last.context["answer"].later) == (10_000, None)
    for odd in ("-1", "x", "9" * 40, "%00"):
        assert client.get(job_page(job_id), {"run": str(run_id), "fact": odd}).context["answer"].first == 0


def test_hostile_facts_are_text_on_every_page(browse: Browse, lake: Lake) -> None:
    hostile = a_fact(0, HOSTILE, text=f"x {HOSTILE}", fact_key=HOSTILE, value=HOSTILE, why=HOSTILE, evidence_id="e1")
    job_id, _run_id = told(lake, (hostile,), text=f"x {HOSTILE}", entity_id=HOSTILE, entity_type=HOSTILE[:100])
    client = browse("operator")
    entity = client.get(LIST).text
    (link,) = re.findall(r'href="(/admin/derive/fact/entity/\?[^"]+)"', entity)
    for address in (job_page(job_id), LIST, link.replace("&amp;", "&")):
        page = client.get(address)
        assert page.status_code == 200
        assert "⟨U+202E⟩" in page.text
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        # A field keeps what was typed into it.
        assert "\u202e" not in re.sub(r' value="[^"]*"', "", page.text)


def test_a_place_that_the_stored_evidence_does_not_have_is_told_and_nothing_else_is_marked(
    browse: Browse, lake: Lake
) -> None:
    job_id, _run_id = told(lake, (a_fact(0, QUOTES[1]), a_fact(1, QUOTES[0])), text="Tala Venn was born on Corvessa")
    page = browse("operator").get(job_page(job_id))
    assert [fact.is_marked for fact in page.context["answer"].marked.facts] == [False, True]
    assert "the stored evidence ends before that" in page.text


def test_half_a_surrogate_pair_and_redacted_words_in_the_evidence_are_shown_as_what_they_are(
    browse: Browse, lake: Lake
) -> None:
    text = "She \ud800 answers at [redacted:email] \u05e9\u05dc\u05d5\u05dd."
    job_id, _run_id = told(lake, (a_fact(0, "[redacted:email]", text=text),), text=text)
    page = browse("operator").get(job_page(job_id))
    assert "⟨U+D800⟩ answers" in page.text
    assert re.search(r"<mark [^>]*><span id=\"mark-0\"></span>\[redacted:email\]<", page.text)


def test_a_succeeded_answer_without_stored_facts_says_what_judges_it(browse: Browse, lake: Lake) -> None:
    facts = three_facts()
    job_id, _run_id = told(lake, facts)
    with connection.cursor() as cursor:
        for table in ("fact", "fact_set"):
            cursor.execute(f"DELETE FROM llm.{table}")
    page = browse("operator").get(job_page(job_id))
    assert "manage.py rebuild_facts" in page.text
    assert [fact.verdict_words for fact in page.context["answer"].marked.facts] == ["Not judged"] * 3


@pytest.fixture
def facts(lake: Lake) -> list[UUID]:
    """Facts of three answers: of one entity by two models that disagree, and of another interrogation."""
    first = told(lake, three_facts())
    other = a_fact(3, QUOTES[0], fact_key="birth_place", value="Arrel", value_key="arrel")
    second = told(lake, (other,), evidence_sha256="cd" * 32, run={"model_name": "qwen3", "interrogation_version": "2"})
    elsewhere = a_fact(4, QUOTES[0], fact_key="birth_place")
    third = told(lake, (elsewhere,), entity_type="planet", entity_id="corvessa", interrogation_key="other_v1")
    return [run_id for _job_id, run_id in (first, second, third)]


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


def test_facts_are_found_by_their_run_job_conflict_and_own_id(facts: list[UUID]) -> None:
    fact = Fact.objects.get(fact_index=3)
    assert indexes(f"q={fact.run_id}") == indexes(f"q={fact.job_id}") == indexes(f"q={fact.fact_id}") == [3]
    assert indexes(f"q={fact.conflict_id}") == [3, 0]


def test_a_fact_of_the_list_leads_to_itself_beside_its_evidence(browse: Browse, facts: list[UUID]) -> None:
    client, fact = browse("viewer"), Fact.objects.get(fact_index=2)
    address = f"{job_page(fact.job_id)}?run={fact.run_id}&fact=2#fact-2"
    assert address.replace("&", "&amp;") in client.get(LIST).text
    led = client.get(reverse("admin:derive_fact_change", args=[fact.fact_id]))
    assert (led.status_code, led["Location"]) == (302, address)
    for nothing in (UUID(int=7), "x"):
        assert client.get(f"{LIST}{nothing}/change/").status_code == 404


def test_the_list_pages_by_key_takes_few_queries_and_counts_nothing(
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


def test_an_empty_list_says_what_makes_facts(browse: Browse, queue: JobQueue) -> None:
    text = browse("viewer").get(LIST).text
    assert "manage.py run_llm_worker" in text
    assert "manage.py rebuild_facts" in text


def test_an_entity_shows_values_side_by_side_with_who_says_so(browse: Browse, facts: list[UUID]) -> None:
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


def test_what_is_admitted_is_named_so_and_comes_first(browse: Browse, lake: Lake) -> None:
    told(lake, three_facts())
    page = browse("operator").get(ENTITY, {"entity": "tala-venn"})
    admitted = {key.name: [value.is_admitted for value in key.values] for key in page.context["known"]}
    assert admitted == {"birth": [False], "birth_place": [True], "guild": [False]}
    (job_id,) = set(Fact.objects.values_list("job_id", flat=True))
    facts = browse("operator").get(job_page(job_id)).context["answer"].marked.facts
    assert ["Not admitted" in fact.tags for fact in facts] == [False, True, True]


def test_values_that_differ_in_notation_alone_are_one(browse: Browse, lake: Lake) -> None:
    for text, sha in (("30 metres", "ab"), ("30 m", "cd")):
        told(lake, (a_fact(0, QUOTES[0], fact_key="length", value=text, value_key="30 m"),), evidence_sha256=sha * 32)
    (key,) = browse("operator").get(ENTITY, {"entity": "tala-venn"}).context["known"]
    (value,) = key.values
    assert [one.fact.value for one in value.statements] == ["30 m", "30 metres"]


def test_superseded_runs_are_shown_on_demand_and_named_so(browse: Browse, lake: Lake) -> None:
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


def test_an_entity_of_very_many_facts_is_shown_a_page_at_a_time(
    browse: Browse, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_admin, "MAX_FACTS", 2)
    told(lake, three_facts())
    client = browse("operator")
    page = client.get(ENTITY, {"entity": "tala-venn"})
    seen = [key.name for key in page.context["known"]]
    page = client.get(ENTITY + page.context["paging"]["older"])
    seen += [key.name for key in page.context["known"]]
    assert sorted(seen) == ["birth", "birth_place", "guild"]
    assert page.context["paging"]["older"] is None
