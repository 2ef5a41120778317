"""The queue's depths by bounded reads: of a million jobs only the first rows of an index are read.

Everything here raises QueueError.
"""

from dataclasses import dataclass

from django.db import connection

from derive.sql.reading import read_rows
from derive.sql.tables import Engine, engine_of, quoted_table
from derive.states import LIVE, JobStatus

LIVE_CAP = 5_000
"""Jobs of one state that are counted, the longest waiting first."""
ENDED_CAP = 1_000
"""The same for states in which jobs stay: what matters is whether there are any, and how fast they arrive."""

WORKER_ALIVE_SECONDS = 120
"""A worker is alive whose last heartbeat is younger: the default lease."""

# Constants alone stand in these texts: mssql-django rewrites parameters in SQL with GROUP BY.
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
    """Jobs of one state and interrogation, as far as counted; the oldest one's age in seconds since it was queued."""

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
    """Return how many jobs of a state are counted at most."""
    return LIVE_CAP if status in LIVE else ENDED_CAP


def read_depths(status: JobStatus) -> list[Depth]:
    """Count so many jobs of a state at most, the earliest queued first, by interrogation."""
    engine = engine_of(connection)
    # With "=" and by number alone, a planner may walk the jobs of every state by their numbers until it has found so
    # many of this one: 55,000 rows for 5,000, three times the time (measured), and all there are for a rare state.
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
