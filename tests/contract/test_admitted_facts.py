"""Which facts stand: the column ``admitted`` of ``llm.v_entity_fact``, and ``llm.v_admitted_fact``."""

from typing import Any

import pytest

from derive.queue import JobQueue
from derive.states import ReviewStatus, Verdict
from tests.contract.facts import OTHER_EVIDENCE, a_fact, decide, facts_of, told
from tests.contract.test_views import rows_of


def admitted() -> list[str]:
    """The values that stand, sorted; both views agree on them."""
    shown = sorted(row["value"] for row in rows_of("v_entity_fact") if row["admitted"])
    rows = rows_of("v_admitted_fact")
    assert len(rows) == len(shown)
    return sorted(row["value"] for row in rows)


@pytest.mark.parametrize(
    ("verdict", "review", "stands"),
    [
        (Verdict.SUPPORTED, ReviewStatus.NONE, True),
        (Verdict.SUPPORTED, ReviewStatus.OPEN, False),
        (Verdict.SUPPORTED, ReviewStatus.REJECTED, False),
        (Verdict.SUPPORTED, ReviewStatus.ACCEPTED, True),
        (Verdict.REFUTED, ReviewStatus.OPEN, False),
        (Verdict.REFUTED, ReviewStatus.NONE, False),
        (Verdict.REFUTED, ReviewStatus.ACCEPTED, True),
        (Verdict.NOT_ENOUGH_INFO, ReviewStatus.OPEN, False),
        (Verdict.NOT_ENOUGH_INFO, ReviewStatus.CORRECTED, True),
        (Verdict.NOT_ENOUGH_INFO, ReviewStatus.REJECTED, False),
    ],
)
def test_a_supported_fact_is_admitted_unless_it_is_rejected(
    queue: JobQueue, verdict: Verdict, review: ReviewStatus, stands: bool
) -> None:
    (fact,) = facts_of(told(queue, a_fact(verdict=verdict)))
    decide(fact, review)
    assert bool(admitted()) == stands


def test_conflicting_facts_are_not_admitted_until_one_is_reviewed(queue: JobQueue) -> None:
    first = told(queue, a_fact(value="19 BBY"), a_fact(1, value="Tatooine", fact_key="home"))
    second = told(queue, a_fact(value="41 BBY"), evidence=OTHER_EVIDENCE)
    third = told(queue, a_fact(value="19 BBY"), evidence="ef" * 32)
    assert admitted() == ["Tatooine"]
    decide(facts_of(first)[0], ReviewStatus.ACCEPTED)
    assert admitted() == ["19 BBY", "19 BBY", "Tatooine"]
    assert [row["run_id"] for row in rows_of("v_entity_fact") if row["value"] == "41 BBY" and row["admitted"]] == []
    assert {fact.conflict_id for claim in (first, second, third) for fact in facts_of(claim)[:1]} != {None}


def test_a_conflict_ends_when_all_but_one_value_are_rejected(queue: JobQueue) -> None:
    told(queue, a_fact(value="19 BBY"))
    wrong = told(queue, a_fact(value="41 BBY"), evidence=OTHER_EVIDENCE)
    decide(facts_of(wrong)[0], ReviewStatus.REJECTED)
    assert admitted() == ["19 BBY"]


def test_a_conflict_ends_when_a_newer_run_supersedes_one_side(queue: JobQueue) -> None:
    told(queue, a_fact(value="19 BBY"))
    told(queue, a_fact(value="41 BBY"), evidence=OTHER_EVIDENCE)
    assert admitted() == []
    told(queue, a_fact(value="19 BBY"), evidence=OTHER_EVIDENCE)
    assert admitted() == ["19 BBY", "19 BBY"]


@pytest.mark.parametrize("review", [ReviewStatus.NONE, ReviewStatus.ACCEPTED])
def test_a_superseded_fact_is_not_admitted(queue: JobQueue, review: ReviewStatus) -> None:
    older = told(queue, a_fact(value="41 BBY"))
    decide(facts_of(older)[0], review)
    told(queue, a_fact(value="19 BBY"))
    assert admitted() == ["19 BBY"]


def test_a_corrected_fact_is_admitted_with_its_corrected_value(queue: JobQueue) -> None:
    (fact,) = facts_of(told(queue, a_fact(value="91 BBY", verdict=Verdict.REFUTED)))
    decide(fact, ReviewStatus.CORRECTED, corrected_value="19 BBY")
    assert admitted() == ["19 BBY"]
    (row,) = rows_of("v_entity_fact")
    assert (row["value"], row["corrected_value"]) == ("91 BBY", "19 BBY")


def test_both_views_have_the_same_columns(queue: JobQueue) -> None:
    told(queue, a_fact())
    shown: list[list[Any]] = [list(rows_of(view)[0]) for view in ("v_entity_fact", "v_admitted_fact")]
    assert shown[0] == shown[1]
    assert shown[0][-1] == "corrected_quote_end"
