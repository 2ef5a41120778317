"""Intervals by bootstrap, and paired comparisons by permutation; the same numbers at every call.

Cases, not facts, are drawn: the facts of one answer are right or wrong together. (Efron and Tibshirani, An Introduction
to the Bootstrap, 1993, chapters 13 and 15.)
"""

from collections.abc import Callable, Sequence
from itertools import compress
from random import Random
from typing import NamedTuple

from derive.scoring.tallies import Tally, TallyLayout

RESAMPLES = 1_000
PERMUTATIONS = 2_000
LEVEL = 0.025
"""Error rate of a one-sided test; the 95 % intervals leave out as much on each side."""
SEED = 20_240_229
MOST_DRAWN = 1_000
"""Groups that very many cases are put into."""
_PARITY = bytes(n & 1 for n in range(256))
Metric = Callable[[Tally], float]


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def resample(cases: Sequence[int], layout: TallyLayout, *, resamples: int = RESAMPLES) -> list[list[Tally]]:
    """Return the tallies of as many samples of the cases, each drawn with replacement and as large."""
    cases = in_groups(cases)
    rng = Random(SEED)  # noqa: S311 (draws cases)
    return [layout.unpack(sum(rng.choices(cases, k=len(cases)))) for _ in range(resamples)] if cases else []


def in_groups(cases: Sequence[int]) -> Sequence[int]:
    """Return the cases; of very many the sums of groups of them, which are drawn and swapped as wholes.

    What holds for cases that do not depend on one another holds for groups of them, and a thousand are enough.
    """
    return cases if len(cases) <= 2 * MOST_DRAWN else [sum(cases[first::MOST_DRAWN]) for first in range(MOST_DRAWN)]


def interval(value: float, drawn: Sequence[float]) -> Interval:
    """Return the interval of a value by its bootstrap distribution; without one the value itself."""
    if not drawn:
        return Interval(value, value, value)
    ordered = sorted(drawn)
    cut = int(LEVEL * len(ordered))
    return Interval(value, min(value, ordered[cut]), max(value, ordered[-1 - cut]))


def chance_of_drop(
    ours: Sequence[Tally], theirs: Sequence[Tally], metric: Metric, *, permutations: int = PERMUTATIONS
) -> float:
    """Return how often chance alone makes ``metric`` of ``ours`` as much lower than of ``theirs``, case by case.

    A paired permutation test, one-sided: if the two do not differ, which of a case's two answers is whose is a coin's
    toss. It holds its level for any number of cases and any distribution.
    """
    layout = TallyLayout(2)
    packed = [layout.pack((one, other)) for one, other in zip(ours, theirs, strict=True)]
    differing = [
        layout.pack((other, one)) - both for one, other, both in zip(ours, theirs, packed, strict=True) if one != other
    ]
    if not differing:
        return 1.0
    swaps = in_groups(differing)
    total = sum(packed)

    def difference(both: int) -> float:
        one, other = layout.unpack(both)
        return metric(one) - metric(other)

    observed = difference(total) + 1e-12
    rng = Random(SEED)  # noqa: S311 (tosses coins)
    as_low = tossed = 0
    # Once chance has done it too often for any level that is asked about, how often it does is plain enough.
    while tossed < permutations and as_low <= 2 * LEVEL * permutations:
        tossed += 1
        swapped = compress(swaps, rng.randbytes(len(swaps)).translate(_PARITY))
        as_low += difference(total + sum(swapped)) <= observed
    return (1 + as_low) / (1 + tossed)
