"""The chaos run's plan: what a seed draws, and the arithmetic of its spans."""

from random import Random

import pytest

from tests.chaos.model_faults import FAULTS
from tests.chaos.plan import RHYTHMS, Fault, make_plan
from tests.chaos.spans import merged, seconds_outside


def test_a_seed_always_draws_the_same_plan() -> None:
    assert make_plan(Random(7), seconds=180) == make_plan(Random(7), seconds=180)
    assert make_plan(Random(7), seconds=180) != make_plan(Random(8), seconds=180)


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_comes_at_least_once_in_the_shortest_run(seed: int) -> None:
    plan = make_plan(Random(seed), seconds=45)
    assert {planned.fault for planned in plan} == set(Fault) == set(RHYTHMS)
    assert all(0 <= planned.at_seconds < 45 for planned in plan)
    assert plan == sorted(plan, key=lambda planned: planned.at_seconds)


def test_every_way_a_model_fails_can_be_made() -> None:
    for make in FAULTS.values():
        make()


def test_spans_are_merged_and_taken_off() -> None:
    spans = merged([(5, 6), (1, 3), (2, 4), (7, 7)])
    assert spans == [(1, 4), (5, 6)]
    assert seconds_outside(spans, 0, 10) == 6
    assert seconds_outside(spans, 2, 5.5) == 1
    assert seconds_outside(spans, 3, 2) == 0
