"""Facts are stored with the run that found them, or refused."""

import json
from typing import Any
from uuid import uuid4

import pytest

from derive.contracts import JudgedFact
from derive.errors import BadArgument
from derive.models import Fact, FactSet
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import JobStatus, ReviewStatus, Verdict
from tests.contract.facts import EVIDENCE, LUKE, a_fact, facts_of, told
from tests.contract.scenes import KEY, WORKER, claimed, failure, run_of, said, status_of, success


def test_facts_are_stored_with_the_run_that_found_them(queue: JobQueue) -> None:
    fact = a_fact(
        value='ä€🚀 "quoted"\n\\',
        evidence_ids=("e1", "e2"),
        confidence=87.5,
        why="The quote says 19 BBY.",
    )
    claim = told(queue, fact, a_fact(1, verdict=Verdict.NOT_ENOUGH_INFO))
    first, second = facts_of(claim)
    for name in JudgedFact.model_fields.keys() - {"evidence_ids", "confidence"}:
        assert getattr(first, name) == getattr(fact, name), name
    assert (json.loads(first.evidence_ids), float(first.confidence)) == (["e1", "e2"], 87.5)
    assert (first.job_id, first.interrogation_key) == (claim.job_id, KEY)
    assert (first.entity_type, first.entity_id, first.is_current) == ("character", "luke", True)
    assert (first.review_status, second.review_status) == (ReviewStatus.NONE, ReviewStatus.OPEN)
    assert first.fact_id != second.fact_id
    (stored,) = FactSet.objects.all()
    assert (stored.run_id, stored.run_seq, stored.fact_count) == (claim.run_id, run_of(claim).run_seq, 2)
    assert (stored.evidence_sha256, stored.stored_by) == (EVIDENCE, WORKER)


def test_a_fact_without_key_value_or_quote_position_is_stored(queue: JobQueue) -> None:
    lost = JudgedFact(fact_index=0, path="facts[0]", proof="quote", verdict=Verdict.NOT_ENOUGH_INFO)
    (stored,) = facts_of(told(queue, lost))
    assert (stored.fact_key, stored.value, stored.evidence_id, stored.quote_start) == (None, None, None, None)
    assert stored.occurrences == 0


def test_a_repeated_completion_stores_its_facts_once(queue: JobQueue) -> None:
    claim = claimed(queue, **LUKE)
    outcome = success(claim, facts=(a_fact(),))
    assert queue.complete(outcome) == queue.complete(outcome)
    assert Fact.objects.count() == 1


def test_an_answer_without_facts_differs_from_one_that_was_not_judged(queue: JobQueue) -> None:
    judged, unjudged = claimed(queue), claimed(queue, priority=200)
    queue.complete(success(judged, facts=()))
    queue.complete(success(unjudged))
    assert [row.run_id for row in FactSet.objects.all()] == [judged.run_id]
    assert queue.runs_without_facts() == [(run_of(unjudged).run_seq, unjudged.run_id)]


GOOD = json.loads(a_fact().model_dump_json())

BAD_FACTS: list[tuple[str, Any]] = [
    ("not an array", {}),
    ("an element that is no object", [1]),
    ("no place", [{**GOOD, "fact_index": None}]),
    ("a place below 0", [{**GOOD, "fact_index": -1}]),
    ("a place that is there twice", [GOOD, GOOD]),
    ("no path", [{**GOOD, "path": None}]),
    ("a path that is too long", [{**GOOD, "path": "x" * 401}]),
    ("a key that is too long", [{**GOOD, "fact_key": "x" * 201}]),
    ("an unknown verdict", [{**GOOD, "verdict": "MAYBE"}]),
    ("no verdict", [{**GOOD, "verdict": None}]),
    ("no rule", [{**GOOD, "proof": None}]),
    ("no count", [{**GOOD, "occurrences": None}]),
    ("a count below 0", [{**GOOD, "occurrences": -1}]),
    ("a confidence above 100", [{**GOOD, "confidence": 100.5}]),
    ("a confidence below 0", [{**GOOD, "confidence": -0.5}]),
    ("an offset that is no number", [{**GOOD, "quote_start": "here"}]),
    ("an end before the start", [{**GOOD, "quote_start": 5, "quote_end": 4}]),
    ("offsets without their item", [{**GOOD, "evidence_id": None}]),
    ("a start below 0", [{**GOOD, "quote_start": -1}]),
    ("an end without its item", [{**GOOD, "evidence_id": None, "quote_start": None}]),
    ("an item without offsets", [{**GOOD, "quote_end": None}]),
    ("a reason that is too long", [{**GOOD, "why": "x" * 1001}]),
]


@pytest.mark.parametrize("facts", [facts for _, facts in BAD_FACTS], ids=[name for name, _ in BAD_FACTS])
def test_malformed_facts_are_refused_even_if_the_completion_is_not_accepted(queue: JobQueue, facts: Any) -> None:
    claim = claimed(queue, **LUKE)
    for run_id in (claim.run_id, uuid4()):
        with pytest.raises(BadArgument, match="facts_json is malformed") as refused:
            said(
                procedures.COMPLETE_JOB,
                job_id=claim.job_id,
                run_id=run_id,
                status="SUCCEEDED",
                facts_json=json.dumps(facts),
            )
        assert refused.value.number == 12
    assert (status_of(claim), Fact.objects.count()) == (JobStatus.RUNNING, 0)


def test_facts_of_a_run_that_did_not_succeed_are_refused(queue: JobQueue) -> None:
    claim = claimed(queue)
    with pytest.raises(BadArgument, match="not SUCCEEDED") as refused:
        queue.complete(failure(claim, facts=(a_fact(),)))
    assert refused.value.number == 12
    assert queue.complete(failure(claim, facts=())).accepted
    assert not FactSet.objects.exists()


def test_ten_thousand_facts_are_stored_and_one_more_is_refused(queue: JobQueue) -> None:
    many = tuple(a_fact(n, fact_key=f"key-{n}") for n in range(10_001))
    claim = claimed(queue, **LUKE)
    with pytest.raises(BadArgument, match="10000"):
        queue.complete(success(claim, facts=many))
    of_nobody = success(claim).model_copy(update={"run_id": uuid4()})
    with pytest.raises(BadArgument, match="10000"):
        queue.complete(of_nobody.model_copy(update={"facts": many}))
    assert not queue.complete(of_nobody.model_copy(update={"facts": many[:-1]})).accepted
    assert queue.complete(success(claim, facts=many[:-1])).accepted
    assert Fact.objects.count() == 10_000
