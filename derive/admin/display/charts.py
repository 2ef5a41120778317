"""Charts for templates, positioned in percent so that bars stretch with the page and text does not.

The bar and tooltip of each column are rendered here: four charts of a week have thousands of elements, which take a
template ten times as long.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import NamedTuple

from django.utils.safestring import SafeString

REMEMBERED = 4_000
"""How many columns to cache: past hours look the same at each refresh, and a week has hundreds."""
HEIGHT = 100.0
"""Height of a chart in its own coordinates; a column is 1 wide."""
_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis, positioned in percent from the start."""

    percent: float
    label: str


class BarSegment(NamedTuple):
    """One segment of a stacked bar."""

    name: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One series: a path with gaps where data is missing, dots for isolated points, and its legend label."""

    name: str
    css: str
    path: str
    dots: str
    total: str

    @classmethod
    def through(cls, values: Sequence[float | None], *, name: str, css: str, total: str) -> "ChartLine":
        """Return the line through heights in percent, one per column."""
        return cls(name, css, path_of(values), dots_of(values), total)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready to render, ``width`` columns wide: ``bars``, then ``lines``, then hover areas on top."""

    width: int
    bars: SafeString
    hits: SafeString
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    lines: tuple[ChartLine, ...] = ()
    is_empty: bool = False

    @classmethod
    def empty(cls) -> "Chart":
        """Return an empty chart, which is not drawn."""
        return cls(0, SafeString(), SafeString(), (), (), is_empty=True)


def nice_maximum(value: float) -> float:
    """Return the next round number that is not smaller: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 1:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in _NICE if step * size >= value)


@lru_cache(maxsize=REMEMBERED)
def stack(amounts: tuple[tuple[str, int], ...], maximum: float) -> tuple[BarSegment, ...]:
    """Return the segments of one bar, bottom first."""
    pieces, passed = [], 0
    for name, amount in amounts:
        if amount:
            height = HEIGHT * amount / maximum
            pieces.append(BarSegment(name, round(HEIGHT - HEIGHT * passed / maximum - height, 2), round(height, 2)))
        passed += amount
    return tuple(pieces)


@lru_cache(maxsize=REMEMBERED)
def bar(place: int, pieces: tuple[BarSegment, ...]) -> SafeString:
    """Render one column's bar. Segment names are our own constants, never untrusted text."""
    return SafeString(
        "".join(
            f'<rect class="hc-fill-{name}" x="{place}.1" width=".8" y="{y}" height="{height}" />'
            for name, y, height in pieces
        )
    )


@lru_cache(maxsize=REMEMBERED)
def hit(place: int, label: str, lines: tuple[str, ...]) -> SafeString:
    """Render one column's hover area with any text, one line each."""
    text = escape("\n".join(lines)).replace("\n", "&#10;")
    return SafeString(
        f'<rect class="hc-hit" x="{place}" width="1" height="100" data-label="{escape(label)}" data-lines="{text}" />'
    )


def ticks_to(maximum: float, label: Callable[[float], str]) -> tuple[Tick, ...]:
    """Return the ends and the middle of an axis that starts at 0."""
    return tuple(Tick(100 * part, label(maximum * part)) for part in (0.0, 0.5, 1.0))


def path_of(values: Sequence[float | None]) -> str:
    """Return an SVG path through heights in percent, one per column, at the columns' centres."""
    steps: list[str] = []
    is_open = False
    for place, value in enumerate(values):
        if value is not None:
            steps.append(f"{'L' if is_open else 'M'}{place + 0.5:g} {HEIGHT - value:.2f}")
        is_open = value is not None
    return "".join(steps)


def dots_of(values: Sequence[float | None]) -> str:
    """Return an SVG path of isolated points: zero-length lines, which round line caps draw as dots."""
    around = [None, *values, None]
    return "".join(
        f"M{place + 0.5:g} {HEIGHT - value:.2f}h0"
        for place, (before, value, after) in enumerate(zip(around, values, around[2:], strict=False))
        if value is not None and before is None and after is None
    )


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic axis over these marks (value and label); the lowest and highest are its ends."""

    marks: tuple[tuple[float, str], ...]

    @classmethod
    def around(cls, values: Sequence[float], marks: Sequence[tuple[float, str]]) -> "LogScale":
        """Return the smallest axis, of at least two marks, that holds all values."""
        lowest = max((at for at, (mark, _word) in enumerate(marks[:-1]) if mark <= min(values)), default=0)
        highest = next((at for at, (mark, _word) in enumerate(marks) if mark >= max(values)), len(marks) - 1)
        return cls(tuple(marks[lowest : max(highest, lowest + 1) + 1]))

    def percent(self, value: float) -> float:
        """Return the position of a value, clamped to the axis."""
        low, high = self.marks[0][0], self.marks[-1][0]
        bounded = min(max(value, low), high)
        return min(100.0, 100 * math.log(bounded / low) / math.log(high / low))

    def ticks(self) -> tuple[Tick, ...]:
        """Return the marks with their positions."""
        return tuple(Tick(round(self.percent(mark), 2), word) for mark, word in self.marks)
