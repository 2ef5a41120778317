"""Charts for templates: places in percent, so that bars stretch with the page and words do not.

What there is of each column, its bar and what it says when pointed at, is drawn here: a week of four charts is
thousands of elements, and a template takes ten times as long for each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import NamedTuple

from django.utils.safestring import SafeString

REMEMBERED = 4_000
"""Columns that are drawn once: hours that are over look the same at each refresh, and a week has hundreds."""
HEIGHT = 100.0
"""Of a chart's inner coordinates; a column is 1 wide."""
_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Tick:
    """A word on an axis, at a place in percent from its beginning."""

    percent: float
    label: str


class Piece(NamedTuple):
    """One part of a stacked bar."""

    name: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One series: a path through its points, broken where there is none, dots, and its word in the legend."""

    name: str
    css: str
    path: str
    dots: str
    total: str

    @classmethod
    def through(cls, values: Sequence[float | None], *, name: str, css: str, total: str) -> "ChartLine":
        """Return the line through heights in percent, one a column."""
        return cls(name, css, path_of(values), dots_of(values), total)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready to be drawn, ``width`` columns wide: ``lines`` over ``bars``, under what is pointed at."""

    width: int
    bars: SafeString
    hits: SafeString
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    lines: tuple[ChartLine, ...] = ()
    is_empty: bool = False

    @classmethod
    def empty(cls) -> "Chart":
        """Return the chart of nothing, which is not drawn."""
        return cls(0, SafeString(), SafeString(), (), (), is_empty=True)


def nice_maximum(value: float) -> float:
    """Return a round number that is not less: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 1:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in _NICE if step * size >= value)


@lru_cache(maxsize=REMEMBERED)
def stack(amounts: tuple[tuple[str, int], ...], maximum: float) -> tuple[Piece, ...]:
    """Return the pieces of one bar, the first at the bottom."""
    pieces, passed = [], 0
    for name, amount in amounts:
        if amount:
            height = HEIGHT * amount / maximum
            pieces.append(Piece(name, round(HEIGHT - HEIGHT * passed / maximum - height, 2), round(height, 2)))
        passed += amount
    return tuple(pieces)


@lru_cache(maxsize=REMEMBERED)
def bar(place: int, pieces: tuple[Piece, ...]) -> SafeString:
    """Return the drawing of a column's bar. Names of pieces are the charts' own, no stranger's."""
    return SafeString(
        "".join(
            f'<rect class="hc-fill-{name}" x="{place}.1" width=".8" y="{y}" height="{height}" />'
            for name, y, height in pieces
        )
    )


@lru_cache(maxsize=REMEMBERED)
def hit(place: int, label: str, lines: tuple[str, ...]) -> SafeString:
    """Return what of a column is pointed at: any text, one line each."""
    text = escape("\n".join(lines)).replace("\n", "&#10;")
    return SafeString(
        f'<rect class="hc-hit" x="{place}" width="1" height="100" data-label="{escape(label)}" data-lines="{text}" />'
    )


def ticks_to(maximum: float, label: Callable[[float], str]) -> tuple[Tick, ...]:
    """Return the ends and the middle of an axis that begins at 0."""
    return tuple(Tick(100 * part, label(maximum * part)) for part in (0.0, 0.5, 1.0))


def path_of(values: Sequence[float | None]) -> str:
    """Return an SVG path through heights in percent, one a column, at the columns' middles."""
    steps: list[str] = []
    is_open = False
    for place, value in enumerate(values):
        if value is not None:
            steps.append(f"{'L' if is_open else 'M'}{place + 0.5:g} {HEIGHT - value:.2f}")
        is_open = value is not None
    return "".join(steps)


def dots_of(values: Sequence[float | None]) -> str:
    """Return an SVG path of the points that no line goes through: lines of no length, which round ends make dots."""
    around = [None, *values, None]
    return "".join(
        f"M{place + 0.5:g} {HEIGHT - value:.2f}h0"
        for place, (before, value, after) in enumerate(zip(around, values, around[2:], strict=False))
        if value is not None and before is None and after is None
    )


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic axis over these marks (values with their words), the lowest and the highest its ends."""

    marks: tuple[tuple[float, str], ...]

    @classmethod
    def around(cls, values: Sequence[float], marks: Sequence[tuple[float, str]]) -> "LogScale":
        """Return the axis that holds all the values with as few of the marks as can be, at least two."""
        lowest = max((at for at, (mark, _word) in enumerate(marks[:-1]) if mark <= min(values)), default=0)
        highest = next((at for at, (mark, _word) in enumerate(marks) if mark >= max(values)), len(marks) - 1)
        return cls(tuple(marks[lowest : max(highest, lowest + 1) + 1]))

    def percent(self, value: float) -> float:
        """Return the place of a value, kept within the axis."""
        low, high = self.marks[0][0], self.marks[-1][0]
        bounded = min(max(value, low), high)
        return min(100.0, 100 * math.log(bounded / low) / math.log(high / low))

    def ticks(self) -> tuple[Tick, ...]:
        """Return the marks with their places."""
        return tuple(Tick(round(self.percent(mark), 2), word) for mark, word in self.marks)
