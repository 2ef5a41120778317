"""The queue's numbers, each out of a bounded read: of a million jobs only the first rows of an index are looked at.

Raises QueueError, as every reading here does.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection

from derive.sql.reading import reading
from derive.sql.tables import Engine, engine_of, quoted_table
from derive.states import JobStatus

DEPTH_CAP = 5_000
"""Jobs of one state that are counted, the longest waiting first."""

RUNS_CAP = 20_000
"""Runs of the last hour that are counted, the latest first."""

WORKER_ALIVE_SECONDS = 120
"""A worker is alive whose last heartbeat is younger: the default lease."""

# Constants alone stand in these texts: mssql-django rewrites parameters in SQL with GROUP BY.
_AGE = {
    Engine.POSTGRESQL: "EXTRACT(EPOCH FROM clock_timestamp() - MIN(d.created_utc))",
    Engine.SQLSERVER: "DATEDIFF(second, MIN(d.created_utc), SYSUTCDATETIME())",
}
_AN_HOUR_AGO = {
    Engine.POSTGRESQL: "clock_timestamp() - interval '1 hour'",
    Engine.SQLSERVER: "DATEADD(hour, -1, SYSUTCDATETIME())",
}
_ALIVE_SINCE = {
    Engine.POSTGRESQL: f"clock_timestamp() - interval '{WORKER_ALIVE_SECONDS} seconds'",
    Engine.SQLSERVER: f"DATEADD(second, -{WORKER_ALIVE_SECONDS}, SYSUTCDATETIME())",
}


@dataclass(frozen=True, slots=True)
class Depth:
    """Jobs of one state and interrogation, as far as counted; the oldest one's age in seconds since it was queued."""

    status: JobStatus
    interrogation_key: str
    jobs: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class RunsEnded:
    """Runs that ended in the last hour with one status and kind of error (empty: none)."""

    status: str
    error_kind: str
    runs: int


@dataclass(frozen=True, slots=True)
class WorkersAlive:
    """Workers heard of lately: how many go on and how many are stopping, and the slots and runs of those that go on."""

    alive: int
    stopping: int
    slots: int
    active_runs: int


def read_depths(status: JobStatus) -> list[Depth]:
    """Count at most DEPTH_CAP jobs of a state, the earliest queued first, by interrogation."""
    engine = engine_of(connection)
    rows = _rows(
        f"SELECT d.interrogation_key, COUNT(*), {_AGE[engine]}"  # noqa: S608 (constants)
        f" FROM (SELECT interrogation_key, created_utc FROM {quoted_table(engine, 'job')}"
        f" WHERE status = '{status.value}' ORDER BY job_seq OFFSET 0 ROWS FETCH NEXT {DEPTH_CAP} ROWS ONLY) AS d"
        " GROUP BY d.interrogation_key"
    )
    return [Depth(status, key, int(jobs), max(0.0, float(age))) for key, jobs, age in rows]


def read_runs_ended() -> list[RunsEnded]:
    """Count at most RUNS_CAP runs that ended in the last hour, the latest first."""
    engine = engine_of(connection)
    rows = _rows(
        "SELECT d.status, d.error_kind, COUNT(*)"  # noqa: S608 (constants)
        f" FROM (SELECT status, error_kind FROM {quoted_table(engine, 'run')}"
        f" WHERE completed_utc >= {_AN_HOUR_AGO[engine]}"
        f" ORDER BY completed_utc DESC, run_seq DESC OFFSET 0 ROWS FETCH NEXT {RUNS_CAP} ROWS ONLY) AS d"
        " GROUP BY d.status, d.error_kind"
    )
    return [RunsEnded(status, kind or "", int(runs)) for status, kind, runs in rows]


def read_workers_alive() -> WorkersAlive:
    """Count the workers heard of lately, and what those do that are not stopping."""
    engine = engine_of(connection)
    stops = "stopping" if engine is Engine.POSTGRESQL else "stopping = 1"
    columns = ", ".join(
        f"SUM(CASE WHEN {stops} THEN {stopping} ELSE {working} END)"
        for stopping, working in (("0", "1"), ("1", "0"), ("0", "COALESCE(concurrency, 0)"), ("0", "active_runs"))
    )
    table = quoted_table(engine, "worker")
    rows = _rows(f"SELECT {columns} FROM {table} WHERE last_seen_utc >= {_ALIVE_SINCE[engine]}")  # noqa: S608 (constants)
    return WorkersAlive(*(int(value or 0) for value in rows[0]))


def _rows(sql: str) -> list[tuple[Any, ...]]:
    def query() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    return reading(query)
