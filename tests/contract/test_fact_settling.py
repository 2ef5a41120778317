"""Which facts are judged against each other, and what a rebuild leaves as it is."""

from typing import Any

import pytest

from derive.contracts import Claim, JudgedFact, RunFacts
from derive.models import FactSet
from derive.queue import JobQueue
from derive.sql import payloads, procedures
from derive.states import ReviewStatus, Verdict
from tests.contract.facts import LUKE, OTHER_EVIDENCE, a_fact, conflicts, decide, facts_of, told
from tests.contract.scenes import ACTOR, claimed, queued, run_of, success
from tests.contract.sessions import IMPATIENT_MS, a_session

NOBODY = {"entity_type": None, "entity_id": None}
OTHERS = [
    pytest.param({"entity_type": "planet"}, id="type"),
    pytest.param({"entity_id": "leia"}, id="id"),
    pytest.param({"interrogation_key": "other"}, id="question"),
]


def conflict_ids(claim: Claim) -> list[Any]:
    return [fact.conflict_id for fact in facts_of(claim)]


def rebuild(queue: JobQueue, claim: Claim, *facts: JudgedFact) -> None:
    assert queue.rebuild_facts(claim.run_id, facts, actor=ACTOR).fact_count == len(facts)


@pytest.mark.parametrize("other", OTHERS)
def test_runs_about_something_else_do_not_supersede(queue: JobQueue, other: dict[str, str]) -> None:
    first = told(queue, a_fact())
    of_other = [told(queue, a_fact(), **other) for _ in range(2)]
    assert [facts_of(claim)[0].is_current for claim in (first, *of_other)] == [True, False, True]
    rebuild(queue, first, a_fact())
    assert [facts_of(claim)[0].is_current for claim in (first, *of_other)] == [True, False, True]


@pytest.mark.parametrize("other", OTHERS[:2])
def test_facts_about_another_entity_do_not_conflict(queue: JobQueue, other: dict[str, str]) -> None:
    of_other = told(queue, a_fact(value="19 BBY"), **other)
    told(queue, a_fact(value="41 BBY"))
    assert conflicts() == {}
    told(queue, a_fact(value="19 BBY"), evidence=OTHER_EVIDENCE)
    assert list(conflicts().values()) == [{"19 BBY", "41 BBY"}]
    assert conflict_ids(of_other) == [None]


def test_what_is_superseded_rejected_or_without_a_value_to_compare_shares_no_conflict(queue: JobQueue) -> None:
    superseded = told(queue, a_fact(value="1 BBY"))
    rejected = told(queue, a_fact(value="2 BBY"), a_fact(1, value_key=None), a_fact(2, fact_key="home"))
    decide(facts_of(rejected)[0], ReviewStatus.REJECTED)
    told(queue, a_fact(value="3 BBY"), evidence=OTHER_EVIDENCE)
    assert conflicts() == {}
    told(queue, a_fact(value="4 BBY"), evidence="ef" * 32)
    assert conflict_ids(superseded) == [None]
    assert conflict_ids(rejected)[1:] == [None, None]


def test_without_an_entity_nothing_else_of_the_run_and_no_other_run_shares_a_conflict(queue: JobQueue) -> None:
    alone = told(queue, a_fact(value="19 BBY"), **NOBODY)
    both = told(
        queue,
        *(a_fact(0, value="19 BBY"), a_fact(1, value="41 BBY"), a_fact(2, fact_key="home"), a_fact(3, value_key=None)),
        **NOBODY,
    )
    assert conflict_ids(alone) == [None]
    assert [conflict_id is not None for conflict_id in conflict_ids(both)] == [True, True, False, False]


def test_without_an_entity_a_rejected_fact_makes_no_conflict(queue: JobQueue) -> None:
    claim = told(queue, a_fact(value="19 BBY"), **NOBODY)
    decide(facts_of(claim)[0], ReviewStatus.REJECTED)
    rebuild(queue, claim, a_fact(value="19 BBY"), a_fact(1, value="41 BBY"))
    assert conflict_ids(claim) == [None, None]


def test_a_rebuild_leaves_a_conflict_as_long_as_key_and_value_are_compared(queue: JobQueue) -> None:
    claim = told(queue, *(a_fact(n, fact_key=f"key-{n}") for n in range(3)))
    other = told(queue, *(a_fact(n, fact_key=f"key-{n}", value="41 BBY") for n in range(3)), evidence=OTHER_EVIDENCE)
    for fact in facts_of(other):
        decide(fact, ReviewStatus.REJECTED)
    before = conflict_ids(claim)
    assert None not in before
    rebuild(
        queue,
        claim,
        a_fact(0, fact_key="key-0"),
        a_fact(1, fact_key="other"),
        a_fact(2, fact_key="key-2", value_key=None),
    )
    assert conflict_ids(claim) == [before[0], None, None]


def test_a_rebuild_knows_a_fact_by_its_place_value_and_quote(queue: JobQueue) -> None:
    claim = told(queue, *(a_fact(n, value=value, quote="a quote") for n, value in enumerate("abc")))
    before = [fact.fact_id for fact in facts_of(claim)]
    rebuild(queue, claim, *(a_fact(n, value=value, quote="a quote") for n, value in enumerate("bac")))
    after = facts_of(claim)
    assert [fact.value for fact in after] == ["b", "a", "c"]
    assert [fact.fact_id in before for fact in after] == [False, False, True]


def test_a_rebuild_leaves_the_facts_of_other_runs(queue: JobQueue) -> None:
    earlier = told(queue, a_fact(value="1 BBY"), entity_id="leia")
    claim = claimed(queue, **LUKE)
    queue.complete(success(claim, run=RunFacts(evidence_sha256=OTHER_EVIDENCE)))
    later = told(queue, a_fact(value="2 BBY"), entity_id="han")
    rebuild(queue, claim, a_fact())
    found = [(fact.entity_id, fact.value) for run in (earlier, claim, later) for fact in facts_of(run)]
    assert found == [("leia", "1 BBY"), ("luke", "19 BBY"), ("han", "2 BBY")]
    assert FactSet.objects.count() == 3
    stored = FactSet.objects.get(run_id=claim.run_id)
    assert (stored.run_seq, stored.evidence_sha256) == (run_of(claim).run_seq, OTHER_EVIDENCE)


def test_what_just_fits_is_stored_and_rebuilt(queue: JobQueue) -> None:
    facts = (
        a_fact(0, quote_start=0, quote_end=0, occurrences=0, confidence=0),
        a_fact(1, confidence=100),
        JudgedFact(fact_index=2, path="facts[2]", proof="quote", verdict=Verdict.NOT_ENOUGH_INFO),
    )
    claim = told(queue, *facts)
    rebuild(queue, claim, *facts)
    assert [fact.confidence for fact in facts_of(claim)] == [0, 100, None]


def test_a_rebuild_waits_for_the_lock_on_the_job(queue: JobQueue) -> None:
    queued(queue, priority=1)
    claim = told(queue)
    arguments = {"run_id": str(claim.run_id), "facts_json": payloads.facts_json([]), "actor": ACTOR}
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.hold(claim)
        assert session.has_to_wait(procedures.REBUILD_FACTS, **arguments)
