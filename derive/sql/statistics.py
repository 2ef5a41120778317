"""Statistics of recent hours from ``llm.stat_hour`` and its histograms; cost grows with hours, not with jobs.

Everything here raises QueueError.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from derive.sql.moments import as_utc, literal
from derive.sql.reading import read_rows
from derive.sql.tables import engine_of, quoted_table

MAX_FAILURES = 12
"""Maximum number of failure groups read, the largest first."""

_NO_FAILURES = "('', 'cancelled', 'released')"
"""Error kinds that an operator or worker requested and that are therefore not failures."""

_MOVES = (
    *("enqueued", "claimed", "succeeded", "failed", "dead_lettered", "retried", "cancelled"),
    *("prompt_tokens", "output_tokens", "model_ms"),
)


class HourOfModel(NamedTuple):
    """One model's transitions, tokens and run time in an hour; the model is "" if there is none."""

    hour_utc: datetime
    model: str
    enqueued: int
    claimed: int
    succeeded: int
    failed: int
    dead_lettered: int
    retried: int
    cancelled: int
    prompt_tokens: int
    output_tokens: int
    model_ms: int


class Bucket(NamedTuple):
    """A bucket of an hour's histogram: ``amount`` took at most ``up_to_ms`` and more than the previous bucket's."""

    hour_utc: datetime
    measure: str
    up_to_ms: int
    amount: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failed runs of one error kind and interrogation, by what happened to their jobs."""

    error_kind: str
    interrogation_key: str
    failed: int
    dead_lettered: int
    retried: int


def read_hours(since: datetime) -> list[HourOfModel]:
    """Return the hours from ``since`` on, by model."""
    sums = ", ".join(f"CAST(SUM({name}) AS bigint)" for name in _MOVES)
    rows = read_rows(
        f"SELECT hour_utc, model, {sums} FROM {_table('stat_hour')} WHERE hour_utc >= {literal(since)}"  # noqa: S608 (constants)
        " GROUP BY hour_utc, model"
    )
    return [HourOfModel(as_utc(hour), model, *values) for hour, model, *values in rows]


def read_buckets(since: datetime) -> list[Bucket]:
    """Return the histograms of the hours from ``since`` on, over all interrogations and models."""
    rows = read_rows(
        f"SELECT hour_utc, measure, up_to_ms, CAST(SUM(amount) AS bigint) FROM {_table('stat_hour_time')}"  # noqa: S608 (constants)
        f" WHERE hour_utc >= {literal(since)} AND measure IN ('wait', 'run') GROUP BY hour_utc, measure, up_to_ms"
    )
    return [Bucket(as_utc(hour), *values) for hour, *values in rows]


def read_failures(since: datetime) -> list[FailureGroup]:
    """Return the largest failure groups from ``since`` on; an expired lease counts as retried or dead-lettered."""
    again = "SUM(CASE WHEN error_kind = 'lease_expired' THEN lease_expired - dead_lettered ELSE retried END)"
    rows = read_rows(
        f"SELECT error_kind, interrogation_key, SUM(failed), SUM(dead_lettered), {again}"  # noqa: S608 (constants)
        f" FROM {_table('stat_hour')} WHERE hour_utc >= {literal(since)} AND error_kind NOT IN {_NO_FAILURES}"
        " GROUP BY error_kind, interrogation_key"
        f" ORDER BY SUM(failed + dead_lettered) DESC, {again} DESC, error_kind, interrogation_key"
        f" OFFSET 0 ROWS FETCH NEXT {MAX_FAILURES} ROWS ONLY"
    )
    return [FailureGroup(kind, key, *map(int, values)) for kind, key, *values in rows]


def _table(name: str) -> str:
    return quoted_table(engine_of(connection), name)
