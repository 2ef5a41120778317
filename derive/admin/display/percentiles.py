"""Percentiles of histograms with fixed buckets."""

from collections.abc import Mapping
from itertools import pairwise

from derive.sql.totals import BOUNDS_MS, ENDLESS_MS

LONGEST_MS = BOUNDS_MS[-1]
"""Everything longer falls into one open-ended bucket, so no more is known of it."""

_BELOW = {upper: lower for lower, upper in pairwise((0, *BOUNDS_MS, ENDLESS_MS))}


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the milliseconds that a share (0 to 1) of the values did not exceed, interpolated within its bucket.

    Returns None if there are no values.
    """
    total = sum(buckets.values())
    if not total:
        return None
    wanted, passed = share * total, 0
    for upper, amount in sorted(buckets.items()):
        if passed + amount >= wanted:
            lower = _BELOW.get(upper, 0)
            reached = lower + (upper - lower) * (wanted - passed) / amount
            return min(reached, float(LONGEST_MS))
        passed += amount
    return float(LONGEST_MS)
