"""The price of a derivation: near what the jobs then cost, within its range 9 times in 10, by simulated histories."""

from random import Random

import pytest

from derive.derivations.price import PriceRange, Sizes, estimate

HELD_OUT = 1_000
TRIALS = 300


def a_size(rng: Random) -> int:
    """Characters of a job: most texts are short, a few are long."""
    return int(min(60_000, 600 + rng.lognormvariate(8.0, 0.8)))


def a_cost(rng: Random, size: int) -> float:
    """Tokens of a job: a prompt that grows with its text, an answer that does as it likes, now and then twice."""
    once = 400 + size * 0.28 + rng.expovariate(1 / 250) + size * 0.02 * rng.random()
    return once * (2 if rng.random() < 0.03 else 1)


def one_trial(rng: Random, *, history: int, shift: float, sampled: int | None) -> tuple[PriceRange, float]:
    past_sizes = [a_size(rng) for _ in range(history)]
    sizes = [int(a_size(rng) * shift) for _ in range(HELD_OUT)]
    known = sizes if sampled is None else rng.sample(sizes, sampled)
    told = estimate([(size, a_cost(rng, size)) for size in past_sizes], Sizes(HELD_OUT, known))
    return told, sum(a_cost(rng, size) for size in sizes)


@pytest.mark.parametrize(
    ("history", "shift", "sampled"),
    [(50, 1.0, None), (300, 1.0, None), (300, 1.6, None), (1_000, 1.0, 400), (300, 0.5, 400)],
)
def test_the_price_is_near_and_its_range_holds_nine_times_in_ten(
    history: int, shift: float, sampled: int | None
) -> None:
    rng = Random(17)
    trials = [one_trial(rng, history=history, shift=shift, sampled=sampled) for _ in range(TRIALS)]
    within = sum(told.low <= cost <= told.high for told, cost in trials) / TRIALS
    near = sum(abs(told.expected - cost) <= 0.15 * cost for told, cost in trials) / TRIALS
    assert within >= 0.88  # 0.9, less what 300 trials scatter
    assert near >= 0.97
    says_something = sum(told.high - told.low <= 0.5 * told.expected for told, _ in trials) / TRIALS
    assert says_something >= 0.95


def test_jobs_of_one_size_have_the_mean_as_their_price() -> None:
    told = estimate([(100, 10.0), (100, 20.0), (100, 30.0)], Sizes(10, [100] * 10))
    assert told.expected == pytest.approx(200)
    assert told.low < 200 < told.high


def test_a_price_is_never_negative() -> None:
    told = estimate([(1_000, 10.0), (2_000, 1_000.0), (3_000, 2_000.0)], Sizes(5, [10]))
    assert told.expected == 0
    assert told.low == 0
