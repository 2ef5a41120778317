"""How long a failed job waits before its retry."""

from random import Random

import pytest

from derive.backoff import backoff_seconds


class FixedRandom(Random):
    """Answers ``uniform`` with one value, and keeps the bounds it was asked for."""

    def __init__(self, factor: float) -> None:
        super().__init__(0)
        self._factor = factor
        self.bounds: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.bounds.append((a, b))
        return self._factor


@pytest.mark.parametrize(
    ("attempt_count", "seconds"),
    [(0, 30), (1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 960), (7, 1920), (8, 3600), (9, 3600), (10**9, 3600)],
)
def test_the_wait_doubles_from_thirty_seconds_to_an_hour(attempt_count: int, seconds: int) -> None:
    assert backoff_seconds(attempt_count, FixedRandom(1.0)) == seconds


def test_the_wait_is_spread_by_a_fifth_either_way() -> None:
    rng = FixedRandom(0.8)
    assert backoff_seconds(2, rng) == 48
    assert rng.bounds == [(0.8, 1.2)]


def test_jobs_that_failed_together_come_back_apart() -> None:
    rng = Random(7)
    waits = {backoff_seconds(8, rng) for _ in range(50)}
    assert len(waits) > 40
    assert min(waits) >= 3600 * 0.8
    assert max(waits) <= 3600 * 1.2
