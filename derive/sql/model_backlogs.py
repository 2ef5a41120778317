"""Reads each model's backlog with bounded queries, which touch only the ends of index ranges.

Everything here raises QueueError.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from derive.sql.moments import as_utc, literal
from derive.sql.reading import read_rows, reading
from derive.sql.tables import Engine, engine_of, quoted_table

COUNT_CAP = 10_000
"""Maximum number of jobs counted: ready ones per model, delayed and running ones in total."""
ARMS = 50
"""Models counted per statement."""
MAX_MODELS = 100
"""Maximum number of models read, in order of name."""


@dataclass(frozen=True, slots=True)
class HourOfServing:
    """Totals of one model's runs in the hours that were read."""

    claimed: int
    ended: int
    output_tokens: int
    model_ms: int


def read_asked_models() -> list[str]:
    """Return the models that ready jobs ask for, with one index seek per model."""
    found: list[str] = []
    while len(found) < MAX_MODELS:
        more = "model_hint > %s" if found else "model_hint IS NOT NULL"
        rows = _rows(
            f"SELECT model_hint FROM {_jobs()} WHERE status = {_text('NEW')} AND paused_utc IS NULL AND {more}"  # noqa: S608 (constants)
            " ORDER BY model_hint OFFSET 0 ROWS FETCH NEXT 1 ROWS ONLY",
            found[-1:],
        )
        if not rows:
            break
        found.append(str(rows[0][0]))
    return found


def count_ready(models: Sequence[str | None]) -> dict[str | None, int]:
    """Count the ready jobs of each model, up to COUNT_CAP + 1; None stands for jobs that ask for no model."""
    ready: dict[str | None, int] = {}
    for start in range(0, len(models), ARMS):
        some = models[start : start + ARMS]
        arms = [
            f"SELECT {place} AS place, COUNT(*) AS jobs FROM (SELECT job_seq FROM {_jobs()}"  # noqa: S608 (constants)
            f" WHERE status = {_text('NEW')} AND paused_utc IS NULL"
            f" AND {'model_hint IS NULL' if model is None else 'model_hint = %s'}"
            " ORDER BY model_hint, priority DESC, available_utc, job_seq"
            f" OFFSET 0 ROWS FETCH NEXT {COUNT_CAP + 1} ROWS ONLY) AS d"
            for place, model in enumerate(some)
        ]
        rows = _rows(" UNION ALL ".join(arms), [model for model in some if model is not None])
        ready.update({some[int(place)]: int(jobs) for place, jobs in rows})
    return ready


def count_delayed() -> Counter[str | None]:
    """Count the next COUNT_CAP delayed jobs by the model they ask for."""
    rows = read_rows(
        f"SELECT d.model_hint, COUNT(*) FROM (SELECT model_hint FROM {_jobs()} WHERE status = {_text('SCHEDULED')}"  # noqa: S608 (constants)
        f" ORDER BY available_utc, job_seq OFFSET 0 ROWS FETCH NEXT {COUNT_CAP} ROWS ONLY) AS d GROUP BY d.model_hint"
    )
    return Counter({model: int(jobs) for model, jobs in rows})


def count_running() -> Counter[str | None]:
    """Count the running jobs by the model they ask for, or else the model their run was claimed for."""
    runs = quoted_table(engine_of(connection), "run")
    rows = read_rows(
        f"SELECT d.model, COUNT(*) FROM (SELECT COALESCE(j.model_hint, r.model_name) AS model FROM {_jobs()} AS j"  # noqa: S608 (constants)
        f" LEFT JOIN {runs} AS r ON r.run_id = j.current_run_id WHERE j.status = {_text('RUNNING')}"
        f" ORDER BY j.locked_by, j.job_seq OFFSET 0 ROWS FETCH NEXT {COUNT_CAP} ROWS ONLY) AS d GROUP BY d.model"
    )
    return Counter({model: int(jobs) for model, jobs in rows})


def read_serving(since: datetime) -> dict[str, HourOfServing]:
    """Return the totals of each model's runs from the hour ``since`` on."""
    sums = ", ".join(
        f"CAST(SUM({what}) AS bigint)" for what in ("claimed", "succeeded + failed", "output_tokens", "model_ms")
    )
    rows = read_rows(
        f"SELECT model, {sums} FROM {_table('stat_hour')} WHERE hour_utc >= {literal(since)} GROUP BY model"  # noqa: S608 (constants)
    )
    return {model: HourOfServing(*map(int, values)) for model, *values in rows}


def read_waits(since: datetime) -> dict[str, dict[int, int]]:
    """Return how long jobs waited for each model, in buckets of milliseconds; "" stands for no requested model."""
    rows = read_rows(
        f"SELECT model, up_to_ms, CAST(SUM(amount) AS bigint) FROM {_table('stat_hour_time')}"  # noqa: S608 (constants)
        f" WHERE hour_utc >= {literal(since)} AND measure = 'wait' GROUP BY model, up_to_ms"
    )
    found: dict[str, dict[int, int]] = {}
    for model, up_to_ms, amount in rows:
        found.setdefault(model, {})[int(up_to_ms)] = int(amount)
    return found


def read_counted_through() -> datetime | None:
    """Return the time up to which events are rolled up into hours."""
    rows = read_rows(f"SELECT through_utc FROM {_table('stat_mark')} WHERE stat_name = 'stat_hour'")  # noqa: S608 (constants)
    return as_utc(rows[0][0]) if rows and rows[0][0] is not None else None


def _rows(sql: str, parameters: Iterable[Any]) -> list[tuple[Any, ...]]:
    def query() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, list(parameters))
            return list(cursor.fetchall())

    return reading(query)


def _text(state: str) -> str:
    # Same type as in the index's filter, which on SQL Server a literal of another type never matches.
    return f"N'{state}'" if engine_of(connection) is Engine.SQLSERVER else f"'{state}'"


def _jobs() -> str:
    return _table("job")


def _table(name: str) -> str:
    return quoted_table(engine_of(connection), name)
