"""Which facts are current, and which conflict."""

from derive.contracts import RunFacts
from derive.models import Fact
from derive.queue import JobQueue
from tests.contract.facts import EVIDENCE, LUKE, OTHER_EVIDENCE, a_fact, conflicts, facts_of, told
from tests.contract.scenes import claimed, success


def test_facts_that_disagree_within_a_run_share_a_conflict(queue: JobQueue) -> None:
    told(
        queue,
        a_fact(0, value="19 BBY"),
        a_fact(1, value="41 BBY"),
        a_fact(2, value="Tatooine", fact_key="home"),
        a_fact(3, value="many", fact_key="alias", value_key=None),
        a_fact(4, value="other", fact_key="alias", value_key=None),
    )
    assert list(conflicts().values()) == [{"19 BBY", "41 BBY"}]


def test_facts_from_different_evidence_conflict_if_they_disagree(queue: JobQueue) -> None:
    told(queue, a_fact(value="19 BBY"))
    told(queue, a_fact(value="19 BBY"), evidence=OTHER_EVIDENCE)
    told(queue, a_fact(value="5 BBY"), entity_id="leia")
    assert conflicts() == {}
    told(queue, a_fact(value="41 BBY"), evidence="ef" * 32)
    assert list(conflicts().values()) == [{"19 BBY", "41 BBY"}]
    assert Fact.objects.exclude(conflict_id=None).count() == 3


def test_facts_without_an_entity_conflict_only_within_their_run(queue: JobQueue) -> None:
    nobody = {"entity_type": None, "entity_id": None}
    told(queue, a_fact(value="19 BBY"), **nobody)
    told(queue, a_fact(value="41 BBY"), **nobody)
    assert conflicts() == {}
    for _ in range(2):
        told(queue, a_fact(0, value="19 BBY"), a_fact(1, value="41 BBY"), **nobody)
    assert list(conflicts().values()) == [{"19 BBY", "41 BBY"}] * 2


def test_a_newer_run_with_the_same_evidence_supersedes_the_facts_of_the_older(queue: JobQueue) -> None:
    older = told(queue, a_fact(value="41 BBY"))
    other_evidence = told(queue, a_fact(value="19 BBY"), evidence=OTHER_EVIDENCE)
    other_question = told(queue, a_fact(value="19 BBY"), interrogation_key="other")
    unknown_evidence = told(queue, a_fact(value="19 BBY"), evidence=None)
    newer = told(queue, a_fact(value="19 BBY"))
    current = {claim.run_id for claim in (other_evidence, other_question, unknown_evidence, newer)}
    assert set(Fact.objects.filter(is_current=True).values_list("run_id", flat=True)) == current
    assert [fact.is_current for fact in facts_of(older)] == [False]


def test_a_newer_run_without_facts_also_supersedes(queue: JobQueue) -> None:
    older = told(queue, a_fact())
    told(queue)
    assert [fact.is_current for fact in facts_of(older)] == [False]


def test_an_older_run_that_ends_after_a_newer_one_is_not_current(queue: JobQueue) -> None:
    older, newer = claimed(queue, **LUKE), claimed(queue, priority=200, **LUKE)
    for claim in (newer, older):
        queue.complete(success(claim, run=RunFacts(evidence_sha256=EVIDENCE), facts=(a_fact(),)))
    assert [facts_of(claim)[0].is_current for claim in (older, newer)] == [False, True]


def test_superseded_facts_do_not_conflict(queue: JobQueue) -> None:
    told(queue, a_fact(value="41 BBY"))
    told(queue, a_fact(value="19 BBY"))
    assert conflicts() == {}
