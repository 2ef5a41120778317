"""Spans of time, in seconds since the epoch."""

from collections.abc import Iterable, Sequence

Span = tuple[float, float]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the same time in spans that do not touch, in order."""
    whole: list[Span] = []
    for begin, end in sorted(spans):
        if whole and begin <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        elif end > begin:
            whole.append((begin, end))
    return whole


def seconds_outside(spans: Sequence[Span], begin: float, end: float) -> float:
    """Return how much of the time from begin to end lies in none of the spans; the spans must not touch."""
    inside = sum(max(0.0, min(end, until) - max(begin, since)) for since, until in spans)
    return max(0.0, end - begin - inside)
