"""Rebuilding the facts of earlier runs."""

from uuid import uuid4

import pytest

from derive.contracts import RunFacts
from derive.models import Fact, FactSet
from derive.queue import JobQueue
from derive.states import ReviewStatus, RunStatus, Verdict
from tests.contract.facts import EVIDENCE, LUKE, a_fact, decide, facts_of, told
from tests.contract.scenes import ACTOR, claimed, failure, success


def test_a_rebuild_stores_the_facts_of_an_earlier_run(queue: JobQueue) -> None:
    claim = claimed(queue, **LUKE)
    queue.complete(success(claim, run=RunFacts(evidence_sha256=EVIDENCE)))
    answer = queue.rebuild_facts(claim.run_id, [a_fact(), a_fact(1)], actor=ACTOR)
    assert (answer.stored, answer.fact_count, answer.why) == (True, 2, None)
    assert [fact.entity_id for fact in facts_of(claim)] == ["luke", "luke"]
    assert FactSet.objects.get(run_id=claim.run_id).stored_by == ACTOR
    assert queue.runs_without_facts() == []


def test_a_rebuild_keeps_unchanged_facts_and_their_reviews(queue: JobQueue) -> None:
    claim = told(queue, *(a_fact(n, value=f"{n} BBY") for n in range(4)))
    before = {fact.fact_index: fact for fact in facts_of(claim)}
    decide(before[0], ReviewStatus.REJECTED)
    again = [
        a_fact(0, value="0 BBY", verdict=Verdict.REFUTED, why="The quote says another."),
        a_fact(1, value="1 BBY", verdict=Verdict.REFUTED),
        a_fact(2, value="2 BBY", quote="another quote"),
    ]
    for _ in range(2):
        assert queue.rebuild_facts(claim.run_id, again, actor=ACTOR).fact_count == 3
    after = {fact.fact_index: fact for fact in facts_of(claim)}
    assert {n: fact.fact_id == before[n].fact_id for n, fact in after.items()} == {0: True, 1: True, 2: False}
    assert (after[0].verdict, after[0].review_status, after[0].reviewed_by) == ("REFUTED", "REJECTED", ACTOR)
    assert (after[1].verdict, after[1].review_status) == ("REFUTED", "OPEN")
    assert FactSet.objects.get().fact_count == 3


def test_rebuilding_an_older_run_does_not_make_it_current(queue: JobQueue) -> None:
    older = claimed(queue, **LUKE)
    queue.complete(success(older, run=RunFacts(evidence_sha256=EVIDENCE)))
    told(queue)
    queue.rebuild_facts(older.run_id, [a_fact()], actor=ACTOR)
    assert [fact.is_current for fact in facts_of(older)] == [False]


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.FAILED])
def test_a_run_that_did_not_succeed_is_not_rebuilt(queue: JobQueue, status: RunStatus) -> None:
    claim = claimed(queue)
    if status is RunStatus.FAILED:
        queue.complete(failure(claim))
    answer = queue.rebuild_facts(claim.run_id, [a_fact()], actor=ACTOR)
    assert (answer.stored, answer.why) == (False, f"the run is {status}")
    assert not Fact.objects.exists()


def test_an_unknown_run_is_not_rebuilt(queue: JobQueue) -> None:
    assert not queue.rebuild_facts(uuid4(), [a_fact()], actor=ACTOR).stored


def test_runs_without_facts_are_listed_in_pages_by_number(queue: JobQueue) -> None:
    claims = []
    for _ in range(5):
        claims.append(claimed(queue))
        queue.complete(success(claims[-1]))
    first = queue.runs_without_facts(limit=3)
    rest = queue.runs_without_facts(after_run_seq=first[-1][0], limit=3)
    assert [run_id for _, run_id in (*first, *rest)] == [claim.run_id for claim in claims]
