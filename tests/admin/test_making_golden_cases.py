"""A reviewed answer becomes a golden case: of what people let stand, once, and only when nothing is open."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from derive.contracts import FactDecision
from derive.lake import Lake
from derive.models import Fact, FactReview, GoldenCase
from derive.queue import JobQueue
from derive.states import ReviewDecision
from tests.admin.conftest import Browse
from tests.admin.evaluation_scene import a_case
from tests.admin.facts_scene import QUOTES, TEXT, a_fact, job_page, review_only_doubted_facts, three_facts, told
from tests.contract.scenes import ACTOR

MAKE = "/admin/derive/goldencase/make/"
INLINE = {"evidence": [{"evidence_id": "e1", "source_uri": "urn:test:1", "text": f"{TEXT} Call 555 0199."}]}
INPUT = {"entity_type": "character", "entity_id": "tala-venn", "extra_params": INLINE}


def an_answer(lake: Lake, **given: Any) -> tuple[UUID, UUID]:
    review_only_doubted_facts()
    return told(lake, three_facts(), input_json=json.dumps(INPUT), **given)


def decide(queue: JobQueue, run_id: UUID, place: int, decision: ReviewDecision, **values: Any) -> None:
    fact = Fact.objects.get(run_id=run_id, fact_index=place)
    (answer,) = queue.review_facts(
        [FactDecision(decision=decision, fact_id=fact.fact_id, **values)], actor=ACTOR, reason="I know"
    )
    assert answer.changed


def decide_all(queue: JobQueue, run_id: UUID) -> None:
    """One is corrected, one rejected; the first nobody has to decide about."""
    decide(queue, run_id, 1, ReviewDecision.CORRECTED, corrected_value="19 BBY")
    decide(queue, run_id, 2, ReviewDecision.REJECTED)


def make(client: Client, run_id: UUID, set_name: str = "births") -> Any:
    return client.post(MAKE, {"fragment": "1", "run_id": run_id, "set_name": set_name})


def test_what_people_let_stand_is_expected_with_the_evidence_as_it_was_stored(
    browse: Browse, queue: JobQueue, lake: Lake
) -> None:
    _job, run_id = an_answer(lake)
    decide_all(queue, run_id)
    answer = make(browse("operator"), run_id)
    assert answer.json() == {
        "notice": "Golden case tala-venn in births made: 2 expected facts, 1 of them without a review."
    }
    case = GoldenCase.objects.get()
    assert (case.set_name, case.case_key, case.from_run_id) == ("births", "tala-venn", run_id)
    assert case.from_review_id == FactReview.objects.order_by("-review_seq")[0].review_id
    assert json.loads(case.expected_json)["facts"] == [
        {"key": "birth_place", "value": "Corvessa", "quote": QUOTES[0], "evidence_id": "e1"},
        {"key": "birth", "value": "19 BBY", "quote": QUOTES[1], "evidence_id": "e1"},
    ]
    # What was redacted or cut from the evidence does not come back by the input.
    assert json.loads(case.evidence_json)["items"] == [{"evidence_id": "e1", "text": TEXT, "source_uri": "urn:test:1"}]
    assert json.loads(case.input_json) == {**INPUT, "extra_params": {}}


def test_an_answer_makes_one_case_that_follows_its_reviews(browse: Browse, queue: JobQueue, lake: Lake) -> None:
    _job, run_id = an_answer(lake)
    decide_all(queue, run_id)
    operator = browse("operator")
    assert [make(operator, run_id).status_code for _ in range(2)] == [200, 200]
    assert "is there already" in make(operator, run_id).json()["notice"]
    decide(queue, run_id, 0, ReviewDecision.REJECTED)
    assert "updated: 1 expected fact." in make(operator, run_id).json()["notice"]
    assert GoldenCase.objects.count() == 1


def test_another_answer_about_the_same_entity_makes_another_case(browse: Browse, queue: JobQueue, lake: Lake) -> None:
    runs = [an_answer(lake)[1], an_answer(lake, evidence_sha256="cd" * 32)[1]]
    for run_id in runs:
        decide_all(queue, run_id)
        assert make(browse("operator"), run_id).status_code == 200
    keys = list(GoldenCase.objects.order_by("case_seq").values_list("case_key", flat=True))
    assert keys == ["tala-venn", f"tala-venn ({str(runs[1])[:8]})"]


def test_an_answer_that_is_not_reviewed_makes_none_and_says_why(browse: Browse, queue: JobQueue, lake: Lake) -> None:
    operator = browse("operator")
    _job, open_run = an_answer(lake)
    assert make(operator, open_run).json()["problem"] == (
        "No golden case: 2 facts of this answer must be decided first: birth, guild."
    )
    decided = (a_fact(0, QUOTES[0], fact_key="birth_place", value="Corvessa"),)
    _job, unseen = told(lake, decided, input_json=json.dumps(INPUT), entity_id="umber")
    assert "nobody has decided about a fact of this answer" in make(operator, unseen).json()["problem"]
    assert "there is no such answer" in make(operator, uuid4()).json()["problem"]
    assert make(operator, open_run, " ").json()["problem"] == "Enter the name of a set."
    a_case(queue, set_name="heights", interrogation_key="other_v1")
    decide_all(queue, open_run)
    assert "has cases of another interrogation" in make(operator, open_run, "heights").json()["problem"]
    assert GoldenCase.objects.count() == 1


def test_a_quote_that_stands_nowhere_is_left_out(browse: Browse, queue: JobQueue, lake: Lake) -> None:
    from tests.admin.facts_scene import a_lost_fact

    review_only_doubted_facts()
    _job, run_id = told(lake, (a_lost_fact(0),), input_json=json.dumps(INPUT))
    decide(queue, run_id, 0, ReviewDecision.ACCEPTED)
    assert make(browse("operator"), run_id).status_code == 200
    assert json.loads(GoldenCase.objects.get().expected_json)["facts"] == [{"key": "home", "value": "Arrel"}]


@pytest.mark.parametrize("who", ["viewer", "nobody"])
def test_only_who_may_review_may_make_a_case(browse: Browse, queue: JobQueue, lake: Lake, who: str) -> None:
    job_id, run_id = an_answer(lake)
    decide_all(queue, run_id)
    assert make(browse(who), run_id).status_code in {302, 403}
    assert MAKE not in browse("viewer").get(job_page(job_id)).text
    assert browse("operator").get(MAKE).status_code == 405
    assert not GoldenCase.objects.exists()


def test_a_jobs_page_makes_a_case_without_a_script_and_remembers_the_set(
    browse: Browse, queue: JobQueue, lake: Lake
) -> None:
    job_id, run_id = an_answer(lake)
    operator, page = browse("operator"), job_page(job_id)
    assert MAKE in operator.get(page).text
    refused = operator.post(MAKE, {"run_id": run_id, "set_name": "births"}, follow=True)
    assert refused.redirect_chain[-1][0] == page
    assert "must be decided first" in refused.text
    decide_all(queue, run_id)
    answer = operator.post(MAKE, {"run_id": run_id, "set_name": "births"})
    assert answer["Location"] == reverse("admin:derive_goldencase_change", args=[GoldenCase.objects.get().case_id])
    assert 'value="births"' in operator.get(page).text


def test_the_last_decision_about_an_answer_offers_a_case_of_that_answer(
    browse: Browse, queue: JobQueue, lake: Lake
) -> None:
    _job, first = an_answer(lake)
    _job, second = an_answer(lake, entity_id="umber", evidence_sha256="cd" * 32, priority=1)
    operator = browse("operator")
    answer = operator.post("/admin/derive/factreview/next/", {"fragment": "1"})
    offered = []
    for _ in range(2):
        fact = answer.context["item"].row
        entries = {"fragment": "1", "fact_id": fact.fact_id, "decision": "ACCEPTED"}
        answer = operator.post("/admin/derive/factreview/decide/", entries)
        offered.append((answer.context["golden"].run_id, answer.context["is_answer_decided"]))
    assert offered == [(first, False), (first, True)]
    assert answer.context["item"].row.run_id == second
