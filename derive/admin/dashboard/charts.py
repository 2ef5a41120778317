"""The dashboard's charts: one column per hour, in the viewer's time zone."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from typing import NamedTuple

from django.utils import timezone
from django.utils.safestring import SafeString

from derive.admin.dashboard.statistics import DashboardSnapshot, by_hour
from derive.admin.display.charts import (
    REMEMBERED,
    Chart,
    ChartLine,
    LogScale,
    Tick,
    bar,
    hit,
    nice_maximum,
    stack,
    ticks_to,
)
from derive.admin.display.percentiles import percentile
from derive.admin.display.units import duration, rate
from derive.admin.display.untrusted_text import cell
from derive.sql.statistics import HourOfModel

HOUR = timedelta(hours=1)
OUTCOMES = (
    ("succeeded", "succeeded"),
    ("failed", "failed"),
    ("dead_lettered", "gave up"),
    ("cancelled", "cancelled"),
)
TIME_MARKS = (
    *((10.0, "10 ms"), (100.0, "0.1 s"), (1e3, "1 s"), (1e4, "10 s"), (6e4, "1 min"), (6e5, "10 min")),
    *((3.6e6, "1 h"), (3.6e7, "10 h"), (8.64e7, "1 d")),
)
MAX_MODELS = 5
_HOURS_OF_A_DAY_NAMED = 6
LAST_TICK_PERCENT = 92
"""Ends beyond this fraction of the chart leave no room for a label."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Jobs per hour by outcome, and the total of each outcome."""

    chart: Chart
    totals: tuple[tuple[str, str, int], ...]


class _Times(NamedTuple):
    """The p50 and p95 of one hour's histogram, in milliseconds."""

    half: float | None
    most: float | None
    in_words: tuple[str, ...]

    @staticmethod
    @lru_cache(maxsize=REMEMBERED)
    def of(buckets: tuple[tuple[int, int], ...]) -> "_Times":
        """Compute them from the buckets of an hour."""
        if not buckets:
            return _Times(None, None, ("none",))
        amounts = dict(buckets)
        half, most = percentile(amounts, 0.5), percentile(amounts, 0.95)
        runs = _number(sum(amounts.values()))
        return _Times(half, most, (f"p50: {_milliseconds(half)}", f"p95: {_milliseconds(most)}", f"runs: {runs}"))


@lru_cache(maxsize=REMEMBERED)
def _outcomes_in_words(amounts: tuple[int, ...]) -> tuple[str, ...]:
    labels = tuple(
        f"{word}: {_number(amount)}" for (_name, word), amount in zip(OUTCOMES, amounts, strict=True) if amount
    )
    return labels or ("no job ended",)


class Charts:
    """Draws all charts of a snapshot over the same hours."""

    def __init__(self, snapshot: DashboardSnapshot) -> None:
        self._snapshot = snapshot
        running = snapshot.read_at.replace(minute=0, second=0, microsecond=0)
        count = round((running - snapshot.since) / HOUR) + 1
        self._hours = [snapshot.since + HOUR * place for place in range(count)]

    def outcomes(self) -> Outcomes:
        """Return the stacked bars of jobs that ended."""
        ended: dict[datetime, list[int]] = defaultdict(lambda: [0] * len(OUTCOMES))
        for one in self._snapshot.hours:
            so_far = ended[one.hour_utc]
            for place, amount in enumerate((one.succeeded, one.failed, one.dead_lettered, one.cancelled)):
                so_far[place] += amount
        amounts = [ended[hour] for hour in self._hours]
        maximum = nice_maximum(max(map(sum, amounts), default=0))
        names, words = zip(*OUTCOMES, strict=True)
        bars = SafeString(
            "".join(
                bar(place, stack(tuple(zip(names, some, strict=True)), maximum)) for place, some in enumerate(amounts)
            )
        )
        hits = self._hits(_outcomes_in_words(tuple(some)) for some in amounts)
        sums = [sum(some) for some in zip(*amounts, strict=True)]
        chart = self._chart(hits, ticks_to(maximum, _short), bars=bars, is_empty=not any(sums))
        return Outcomes(chart, tuple(zip(names, words, sums, strict=True)))

    def times(self, measure: str) -> Chart:
        """Return the p50 and p95 lines."""
        histograms = by_hour(self._snapshot.buckets, measure)
        of_hours = [histograms.get(hour, {}) for hour in self._hours]
        times = [_Times.of(tuple(buckets.items())) for buckets in of_hours]
        shares = {0.5: [one.half for one in times], 0.95: [one.most for one in times]}
        known = [value for values in shares.values() for value in values if value is not None]
        if not known:
            return Chart.empty()
        scale = LogScale.around(known, TIME_MARKS)
        whole: dict[int, int] = defaultdict(int)
        for buckets in of_hours:
            for up_to_ms, amount in buckets.items():
                whole[up_to_ms] += amount
        lines = tuple(
            ChartLine.through(
                [None if value is None else scale.percent(value) for value in values],
                name=f"p{share * 100:.0f}",
                css=f"p{share * 100:.0f}",
                total=_milliseconds(percentile(whole, share)),
            )
            for share, values in shares.items()
        )
        return self._chart(self._hits(one.in_words for one in times), scale.ticks(), lines=lines)

    def speeds(self) -> Chart:
        """Return one line per model: tokens per second while it generated."""
        hours = [one for one in self._snapshot.hours if one.model_ms and one.hour_utc >= self._snapshot.since]
        tokens: Counter[str] = Counter()
        for one in hours:
            tokens[one.model] += one.output_tokens
        models = [model for model, _amount in tokens.most_common(MAX_MODELS)]
        if not models:
            return Chart.empty()
        speeds = {model: {one.hour_utc: _speed([one]) for one in hours if one.model == model} for model in models}
        maximum = nice_maximum(max(speed for of_model in speeds.values() for speed in of_model.values()))
        lines = tuple(
            ChartLine.through(
                [100 * speeds[model][hour] / maximum if hour in speeds[model] else None for hour in self._hours],
                name=_name(model),
                css=f"model{place}",
                total=f"{rate(_speed(one for one in hours if one.model == model))}/s, {_short(tokens[model])} in all",
            )
            for place, model in enumerate(models)
        )
        names = {model: _name(model) for model in models}
        hits = self._hits(
            tuple(f"{names[model]}: {rate(speeds[model][hour])} tokens/s" for model in models if hour in speeds[model])
            or ("none",)
            for hour in self._hours
        )
        return self._chart(hits, ticks_to(maximum, _short), lines=lines)

    def _chart(
        self,
        hits: SafeString,
        y_ticks: tuple[Tick, ...],
        *,
        bars: SafeString = SafeString(),  # noqa: B008 (a constant)
        lines: tuple[ChartLine, ...] = (),
        is_empty: bool = False,
    ) -> Chart:
        return Chart(len(self._hours), bars, hits, y_ticks, self._x_ticks, lines, is_empty)

    def _hits(self, tooltips: Iterable[tuple[str, ...]]) -> SafeString:
        """Return the tooltip lines of each hour."""
        return SafeString(
            "".join(
                hit(place, label, lines)
                for place, (label, lines) in enumerate(zip(self._labels, tooltips, strict=True))
            )
        )

    @cached_property
    def _labels(self) -> list[str]:
        zone = timezone.get_current_timezone()
        labels = [_span(hour, zone) for hour in self._hours]
        labels[-1] += " so far"
        return labels

    @cached_property
    def _x_ticks(self) -> tuple[Tick, ...]:
        """Label every sixth hour of a day, or each day of a week, in the viewer's time zone."""
        is_day = len(self._hours) <= 24
        ticks = []
        zone = timezone.get_current_timezone()
        for place, hour in enumerate(self._hours):
            local = hour.astimezone(zone)
            percent = 100 * place / len(self._hours)
            if percent > LAST_TICK_PERCENT:
                break
            if is_day and local.hour % _HOURS_OF_A_DAY_NAMED == 0:
                ticks.append(Tick(percent, f"{local:%H:%M}"))
            elif not is_day and local.hour == 0:
                ticks.append(Tick(percent, f"{local:%a} {local.day}"))
        return tuple(ticks)


def _name(model: str) -> str:
    return cell(model) or "no model named"


@lru_cache(maxsize=REMEMBERED)
def _span(hour: datetime, zone: tzinfo) -> str:
    begin, end = hour.astimezone(zone), (hour + HOUR).astimezone(zone)
    return f"{begin:%a} {begin.day} {begin:%b}, {begin:%H:%M}–{end:%H:%M}"


def _speed(hours: Iterable[HourOfModel]) -> float:
    counted = list(hours)
    milliseconds = sum(one.model_ms for one in counted)
    return 1000 * sum(one.output_tokens for one in counted) / milliseconds if milliseconds else 0.0


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else duration(value / 1000)


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _short(value: float) -> str:
    """Format a number with three digits: 950, 1.2 k, 3.4 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"
