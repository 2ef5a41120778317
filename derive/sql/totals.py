"""Totals since the queue was created, from the hours that ``usp_roll_up_hours`` counts and nothing deletes.

A total never decreases, because hours only grow and are kept when their jobs are purged. Raises QueueError.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from derive.sql.clock import database_now
from derive.sql.moments import as_utc, literal
from derive.sql.reading import read_rows
from derive.sql.tables import engine_of, quoted_table

EVENTS = (
    *("enqueued", "promoted", "claimed", "succeeded", "failed", "dead_lettered", "retried", "released"),
    *("lease_expired", "cancelled", "requeued"),
)
TOKENS = ("prompt_tokens", "output_tokens")
MEASURES = ("wait", "run", "model")
BOUNDS_MS: tuple[int, ...] = (*(step * 10**power for power in range(1, 8) for step in (1, 2, 5)), 10**8)
"""Upper bounds of the time buckets, in milliseconds."""
ENDLESS_MS = 10**9
"""The bucket for times above the last bound."""
RECENT = timedelta(days=1)
"""Hours that are reread each time; earlier ones no longer change, except through very late commits."""
OLD_KEPT = timedelta(hours=1)
"""How long the sum of earlier hours is cached."""


@dataclass(frozen=True)
class Totals:
    """Sums over all hours.

    Keys are (interrogation, error kind, event) for events, (interrogation, model, which) for tokens, (measure,
    interrogation, upper bound in milliseconds) for times and (model, upper bound) for waits. The model is "" if none
    was requested.
    """

    events: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    times: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    waits: Counter[tuple[str, int]] = field(default_factory=Counter)

    def __add__(self, other: "Totals") -> "Totals":
        """Return the sum of both."""
        return Totals(
            self.events + other.events,
            self.tokens + other.tokens,
            self.times + other.times,
            self.waits + other.waits,
        )


class TotalsReader:
    """Reads the totals; caches the sum of older hours, so that a read only covers the last day."""

    def __init__(self) -> None:
        self._old = Totals()
        self._border: datetime | None = None
        self._read_at: datetime | None = None

    def read(self) -> Totals:
        """Return the totals up to now."""
        now = database_now()
        if self._border is None or self._read_at is None or not timedelta(0) <= now - self._read_at < OLD_KEPT:
            border = (now - RECENT).replace(minute=0, second=0, microsecond=0)
            self._old, self._border, self._read_at = _read(f"hour_utc < {literal(border)}"), border, now
        return self._old + _read(f"hour_utc >= {literal(self._border)}")


def read_counted_until() -> datetime | None:
    """Return the time up to which all events are counted, or None before the first roll-up."""
    table = quoted_table(engine_of(connection), "stat_mark")
    rows = read_rows(f"SELECT through_utc FROM {table} WHERE stat_name = 'stat_hour'")  # noqa: S608 (our own constants)
    return as_utc(rows[0][0]) if rows and rows[0][0] is not None else None


def _read(hours: str) -> Totals:
    totals = Totals()
    names = (*EVENTS, *TOKENS)
    sums = ", ".join(f"SUM({name})" for name in names)
    by = "interrogation_key, model, error_kind"
    for key, model, kind, *values in _grouped("stat_hour", by, sums, hours):
        counts = dict(zip(names, map(int, values), strict=True))
        totals.events.update({(key, kind, event): counts[event] for event in EVENTS if counts[event]})
        totals.tokens.update({(key, model, name): counts[name] for name in TOKENS if counts[name]})
    for measure, key, up_to_ms, amount in _grouped(
        "stat_hour_time", "measure, interrogation_key, up_to_ms", "SUM(amount)", hours
    ):
        totals.times[measure, key, int(up_to_ms)] += int(amount)
    for model, up_to_ms, amount in _grouped(
        "stat_hour_time", "model, up_to_ms", "SUM(amount)", f"{hours} AND measure = 'wait'"
    ):
        totals.waits[model, int(up_to_ms)] += int(amount)
    return totals


def _grouped(table: str, by: str, sums: str, hours: str) -> Iterable[tuple[Any, ...]]:
    name = quoted_table(engine_of(connection), table)
    # Only constants, because mssql-django rewrites parameters in SQL with GROUP BY.
    return read_rows(f"SELECT {by}, {sums} FROM {name} WHERE {hours} GROUP BY {by}")  # noqa: S608 (our own constants)
