"""How long a batch will take and what it will cost, from samples of its pace."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from derive.batches.reading import Range, estimate_cost, estimate_seconds

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Sample:
    at_utc: datetime
    ended_jobs: int


def samples(*ended: int, every_seconds: float = 10) -> list[Sample]:
    return [Sample(BEGIN + timedelta(seconds=place * every_seconds), jobs) for place, jobs in enumerate(ended)]


def test_an_even_pace_gives_one_answer() -> None:
    assert estimate_seconds(samples(0, 10, 20, 30), left=100) == Range(100, 100, 100)


def test_an_uneven_pace_gives_a_range_about_the_mean() -> None:
    estimate = estimate_seconds(samples(0, 10, 15, 35), left=70)
    assert estimate is not None
    assert estimate.expected == pytest.approx(60)
    assert estimate.low == pytest.approx(35)
    assert estimate.high == pytest.approx(140)


def test_a_standstill_has_no_upper_bound() -> None:
    estimate = estimate_seconds(samples(0, 0, 10, 20, 30), left=40)
    assert estimate is not None
    assert estimate.low == pytest.approx(40)
    assert estimate.high is None
    assert estimate.expected == pytest.approx(160 / 3)


@pytest.mark.parametrize("history", [(), (5,), (0, 10), (0, 10, 20), (0, 0, 0, 0)])
def test_too_little_history_gives_no_estimate(history: tuple[int, ...]) -> None:
    assert estimate_seconds(samples(*history), left=10) is None


def test_requeued_jobs_and_a_clock_put_back_break_nothing() -> None:
    turned = [*samples(0, 10, 20, 15, 25, 35), Sample(BEGIN, 36)]
    estimate = estimate_seconds(turned, left=10)
    assert estimate is not None
    assert 0 < estimate.low <= estimate.expected


def test_nothing_left_takes_no_time_and_costs_what_was_spent() -> None:
    assert estimate_seconds([], left=0) == Range(0, 0, 0)
    assert estimate_cost([], left=0, ended=5, spent=70) == Range(70, 70, 70)


def test_the_cost_of_what_is_left_is_as_what_ended_cost() -> None:
    estimate = estimate_cost([(0, 0), (10, 100), (20, 300), (30, 400)], left=30, ended=30, spent=400)
    assert estimate == Range(800, 700, 1000)


@pytest.mark.parametrize("history", [[], [(0, 0), (10, 100)], [(0, 0), (0, 0), (0, 0), (0, 0)]])
def test_too_little_history_gives_no_cost(history: list[tuple[int, int]]) -> None:
    assert estimate_cost(history, left=10, ended=10, spent=100) is None
