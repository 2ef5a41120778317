"""Facts on the page of their job, next to their evidence."""

import re
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from derive.admin.jobs import answer
from derive.lake import Lake
from derive.models import Fact
from tests.admin.conftest import HOSTILE, Browse
from tests.admin.facts_scene import ENTITY, LIST, MAX_QUERIES, QUOTES, a_fact, a_lost_fact, job_page, three_facts, told


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


def test_a_job_shows_each_fact_with_its_verdict_reason_and_position(browse: Browse, lake: Lake) -> None:
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


def test_a_fact_links_to_its_mark_and_back_without_javascript(browse: Browse, lake: Lake) -> None:
    job_id, _run_id = told(lake, three_facts())
    text = browse("operator").get(job_page(job_id)).text
    ids = re.findall(r'\bid="([^"]+)"', text)
    for number in range(3):
        assert ids.count(f"mark-{number}") == ids.count(f"fact-{number}") == 1
        assert f'href="#mark-{number}"' in text
        assert f'href="#fact-{number}"' in text


def test_values_quotes_and_evidence_are_only_shown_to_users_who_may_see_payloads(browse: Browse, lake: Lake) -> None:
    job_id, _run_id = told(lake, three_facts())
    client = browse("viewer")
    addresses = (job_page(job_id), LIST, f"{ENTITY}?entity=tala-venn")
    for secret in ("41 BBY", QUOTES[1], "The quote says"):
        for address in addresses:
            assert secret not in client.get(address).text, (secret, address)
            assert secret in browse("operator").get(address).text, (secret, address)
    assert "Refuted" in client.get(LIST).text


def test_an_answer_of_ten_thousand_facts_is_paged(browse: Browse, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_hostile_facts_are_escaped_on_every_page(browse: Browse, lake: Lake) -> None:
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


def test_a_quote_position_outside_the_stored_evidence_is_reported_and_not_marked(browse: Browse, lake: Lake) -> None:
    job_id, _run_id = told(lake, (a_fact(0, QUOTES[1]), a_fact(1, QUOTES[0])), text="Tala Venn was born on Corvessa")
    page = browse("operator").get(job_page(job_id))
    assert [fact.is_marked for fact in page.context["answer"].marked.facts] == [False, True]
    assert "the stored evidence ends before that" in page.text


def test_lone_surrogates_and_redactions_in_the_evidence_are_shown(browse: Browse, lake: Lake) -> None:
    text = "She \ud800 answers at [redacted:email] \u05e9\u05dc\u05d5\u05dd."
    job_id, _run_id = told(lake, (a_fact(0, "[redacted:email]", text=text),), text=text)
    page = browse("operator").get(job_page(job_id))
    assert "⟨U+D800⟩ answers" in page.text
    assert re.search(r"<mark [^>]*><span id=\"mark-0\"></span>\[redacted:email\]<", page.text)


def test_an_answer_without_stored_facts_names_the_command_that_judges_it(browse: Browse, lake: Lake) -> None:
    facts = three_facts()
    job_id, _run_id = told(lake, facts)
    with connection.cursor() as cursor:
        for table in ("fact", "fact_set"):
            cursor.execute(f"DELETE FROM llm.{table}")
    page = browse("operator").get(job_page(job_id))
    assert "manage.py rebuild_facts" in page.text
    assert [fact.verdict_words for fact in page.context["answer"].marked.facts] == ["Not judged"] * 3
