"""Reads the queue's depths with bounded queries, which read a limited number of index rows however long the queue is.

Everything here raises QueueError.
"""

from dataclasses import dataclass

from django.db import connection

from derive.sql.reading import read_rows
from derive.sql.tables import Engine, engine_of, quoted_table
from derive.states import LIVE, JobStatus

LIVE_CAP = 5_000
"""Maximum number of jobs counted per state, the longest waiting first."""
ENDED_CAP = 1_000
"""The same for final states, where it matters only whether there are any and how fast they arrive."""

WORKER_ALIVE_SECONDS = 120
"""A worker counts as alive if its last heartbeat is more recent than this, the default lease."""

# These texts contain only constants, because mssql-django rewrites parameters in SQL with GROUP BY.
_AGE = {
    Engine.POSTGRESQL: "EXTRACT(EPOCH FROM clock_timestamp() - MIN(d.created_utc))",
    Engine.SQLSERVER: "DATEDIFF(second, MIN(d.created_utc), SYSUTCDATETIME())",
}
_ALIVE_SINCE = {
    Engine.POSTGRESQL: f"clock_timestamp() - interval '{WORKER_ALIVE_SECONDS} seconds'",
    Engine.SQLSERVER: f"DATEADD(second, -{WORKER_ALIVE_SECONDS}, SYSUTCDATETIME())",
}


@dataclass(frozen=True, slots=True)
class Depth:
    """The counted jobs of one state and interrogation, and the seconds since the oldest one was queued."""

    status: JobStatus
    interrogation_key: str
    jobs: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class WorkersAlive:
    """Workers with a recent heartbeat: how many are active or stopping, and the slots and runs of the active ones."""

    alive: int
    stopping: int
    slots: int
    active_runs: int


def cap_of(status: JobStatus) -> int:
    """Return the maximum number of jobs of a state that are counted."""
    return LIVE_CAP if status in LIVE else ENDED_CAP


def read_depths(status: JobStatus) -> list[Depth]:
    """Count the jobs of a state by interrogation, the earliest queued first, up to ``cap_of(state)`` jobs."""
    engine = engine_of(connection)
    # With "=" and an order by number alone, a planner may scan jobs of all states by number until it has found enough
    # of this one: 55,000 rows for 5,000 and three times the time (measured), or the whole table for a rare state.
    rows = read_rows(
        f"SELECT d.interrogation_key, COUNT(*), {_AGE[engine]}"  # noqa: S608 (constants)
        f" FROM (SELECT interrogation_key, created_utc FROM {quoted_table(engine, 'job')}"
        f" WHERE status BETWEEN '{status.value}' AND '{status.value}' ORDER BY status, job_seq"
        f" OFFSET 0 ROWS FETCH NEXT {cap_of(status)} ROWS ONLY) AS d"
        " GROUP BY d.interrogation_key"
    )
    return [Depth(status, key, int(jobs), max(0.0, float(age))) for key, jobs, age in rows]


def read_workers_alive() -> WorkersAlive:
    """Count the workers with a recent heartbeat, and the slots and runs of those that are not stopping."""
    engine = engine_of(connection)
    stops = "stopping" if engine is Engine.POSTGRESQL else "stopping = 1"
    columns = ", ".join(
        f"SUM(CASE WHEN {stops} THEN {stopping} ELSE {working} END)"
        for stopping, working in (("0", "1"), ("1", "0"), ("0", "COALESCE(concurrency, 0)"), ("0", "active_runs"))
    )
    table = quoted_table(engine, "worker")
    rows = read_rows(f"SELECT {columns} FROM {table} WHERE last_seen_utc >= {_ALIVE_SINCE[engine]}")  # noqa: S608 (constants)
    return WorkersAlive(*(int(value or 0) for value in rows[0]))
