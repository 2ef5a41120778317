"""The dashboard's charts: a column an hour, in the viewer's zone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from derive.admin.charts import Chart, Column, Line, LogScale, Tick, nice_maximum, stack, ticks_to
from derive.admin.dashboard_numbers import Snapshot, by_hour
from derive.admin.percentiles import percentile
from derive.admin.texts import cell
from derive.admin.units import duration
from derive.sql.statistics import HourOfModel

HOUR = timedelta(hours=1)
OUTCOMES = (
    ("succeeded", "succeeded"),
    ("failed", "failed"),
    ("dead_lettered", "dead letters"),
    ("cancelled", "cancelled"),
)
TIME_MARKS = (
    *((10.0, "10 ms"), (100.0, "0.1 s"), (1e3, "1 s"), (1e4, "10 s"), (6e4, "1 min"), (6e5, "10 min")),
    *((3.6e6, "1 h"), (3.6e7, "10 h"), (8.64e7, "1 d")),
)
MAX_MODELS = 5
_HOURS_OF_A_DAY_NAMED = 6
LAST_TICK_PERCENT = 92
"""Beyond it a word would stand over the chart's end."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Jobs an hour by outcome, and how many of each there were."""

    chart: Chart
    totals: tuple[tuple[str, str, int], ...]


class Charts:
    """Draws a snapshot's charts over the same hours."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        running = snapshot.read_at.replace(minute=0, second=0, microsecond=0)
        count = round((running - snapshot.since) / HOUR) + 1
        self._hours = [snapshot.since + HOUR * place for place in range(count)]

    def outcomes(self) -> Outcomes:
        """Return the bars of jobs that ended."""
        amounts: dict[datetime, Counter[str]] = defaultdict(Counter)
        for one in self._snapshot.hours:
            for name, _word in OUTCOMES:
                amounts[one.hour_utc][name] += getattr(one, name)
        maximum = nice_maximum(max((amounts[hour].total() for hour in self._hours), default=0))
        columns = self._columns(
            lambda hour: (
                [f"{word}: {_number(amounts[hour][name])}" for name, word in OUTCOMES if amounts[hour][name]]
                or ["no job ended"]
            ),
            lambda hour: [(name, amounts[hour][name]) for name, _word in OUTCOMES],
            maximum,
        )
        totals = tuple((name, word, sum(amounts[hour][name] for hour in self._hours)) for name, word in OUTCOMES)
        chart = Chart(columns, ticks_to(maximum, _short), self._x_ticks(), is_empty=not any(n for *_, n in totals))
        return Outcomes(chart, totals)

    def times(self, measure: str) -> Chart:
        """Return the lines of the time that half the runs and that 95 of 100 did not exceed."""
        histograms = by_hour(self._snapshot.buckets, measure)
        shares = {share: [percentile(histograms.get(hour, {}), share) for hour in self._hours] for share in (0.5, 0.95)}
        known = [value for values in shares.values() for value in values if value is not None]
        if not known:
            return Chart((), (), (), is_empty=True)
        scale = LogScale.around(known, TIME_MARKS)
        whole: Counter[int] = Counter()
        for hour in self._hours:
            whole.update(histograms.get(hour, {}))
        lines = tuple(
            Line.through(
                [None if value is None else scale.percent(value) for value in values],
                name=f"p{share * 100:.0f}",
                css=f"p{share * 100:.0f}",
                told=_milliseconds(percentile(whole, share)),
            )
            for share, values in shares.items()
        )
        places = {hour: place for place, hour in enumerate(self._hours)}
        columns = self._columns(
            lambda hour: (
                [
                    *(f"p{share * 100:.0f}: {_milliseconds(values[places[hour]])}" for share, values in shares.items()),
                    f"{_number(sum(histograms.get(hour, {}).values()))} runs",
                ]
                if hour in histograms
                else ["none"]
            )
        )
        return Chart(columns, scale.ticks(), self._x_ticks(), lines)

    def speeds(self) -> Chart:
        """Return the lines of the tokens a second that each model made while it worked."""
        hours = [one for one in self._snapshot.hours if one.model_ms and one.hour_utc >= self._snapshot.since]
        tokens: Counter[str] = Counter()
        for one in hours:
            tokens[one.model] += one.output_tokens
        models = [model for model, _amount in tokens.most_common(MAX_MODELS)]
        if not models:
            return Chart((), (), (), is_empty=True)
        speeds = {model: {one.hour_utc: _speed([one]) for one in hours if one.model == model} for model in models}
        maximum = nice_maximum(max(speed for of_model in speeds.values() for speed in of_model.values()))
        lines = tuple(
            Line.through(
                [100 * speeds[model][hour] / maximum if hour in speeds[model] else None for hour in self._hours],
                name=_name(model),
                css=f"model{place}",
                told=f"{_speed(one for one in hours if one.model == model):.3g}/s, {_short(tokens[model])} in all",
            )
            for place, model in enumerate(models)
        )
        columns = self._columns(
            lambda hour: (
                [f"{_name(model)}: {speeds[model][hour]:.3g} tokens/s" for model in models if hour in speeds[model]]
                or ["none"]
            )
        )
        return Chart(columns, ticks_to(maximum, _short), self._x_ticks(), lines)

    def _columns(
        self,
        lines: Callable[[datetime], list[str]],
        amounts: Callable[[datetime], list[tuple[str, int]]] = lambda _hour: [],
        maximum: float = 1.0,
    ) -> tuple[Column, ...]:
        last = self._hours[-1]
        return tuple(
            Column(
                x=place,
                label=_span(hour) + (" so far" if hour == last else ""),
                lines=tuple(lines(hour)),
                pieces=stack(amounts(hour), maximum),
                is_running=hour == last,
            )
            for place, hour in enumerate(self._hours)
        )

    def _x_ticks(self) -> tuple[Tick, ...]:
        """Name every sixth hour of a day, or the days of a week, where they begin in the viewer's zone."""
        is_day = len(self._hours) <= 24
        ticks = []
        for place, hour in enumerate(self._hours):
            local = timezone.localtime(hour)
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


def _span(hour: datetime) -> str:
    begin, end = timezone.localtime(hour), timezone.localtime(hour + HOUR)
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
    """Return a number in three digits: 950, 1.2 k, 3.4 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"
