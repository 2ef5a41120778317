"""Reads the queue's current status, each number from a bounded range of an index.

Everything here raises QueueError.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from derive.sql.moments import as_utc, literal
from derive.sql.reading import read_rows
from derive.sql.tables import Engine, engine_of, quoted_table
from derive.states import JobStatus

COUNT_CAP = 10_000
"""Maximum number of jobs counted per state; beyond it only "more" is reported."""
ENDED_CAP = 2_000
RATE_WINDOW = timedelta(minutes=5)

_MARK = "mark"
_ENDED = "ended"
_WORKED_OFF = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.DEADLETTER)

# The engine's own statistics on the index of ready jobs: as of the last vacuum on PostgreSQL, current on SQL Server.
_READY_ESTIMATE = {
    Engine.POSTGRESQL: "SELECT c.reltuples FROM pg_class AS c WHERE c.oid = to_regclass('llm.ix_job_claimable')",
    Engine.SQLSERVER: (
        "SELECT SUM(p.rows) FROM sys.indexes AS i INNER JOIN sys.partitions AS p"
        " ON i.object_id = p.object_id AND i.index_id = p.index_id"
        " WHERE i.object_id = OBJECT_ID(N'llm.job') AND i.name = N'ix_job_claimable'"
    ),
}


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Counted jobs by state, recent throughput per second, and how far events are rolled up into hours."""

    jobs: dict[JobStatus, int]
    ended_per_second: float
    counted_through_utc: datetime | None


def read_queue_status(states: Collection[JobStatus], *, now: datetime) -> QueueStatus:
    """Count up to COUNT_CAP + 1 jobs of each state and up to ENDED_CAP recently ended ones, in one statement."""
    engine = engine_of(connection)
    jobs, mark = quoted_table(engine, "job"), quoted_table(engine, "stat_mark")
    nothing = "CAST(NULL AS datetime2(6))" if engine is Engine.SQLSERVER else "CAST(NULL AS timestamptz)"
    since = now - RATE_WINDOW
    arms = [
        f"SELECT '{state.value}' AS what, COUNT(*) AS amount, {nothing} AS at_utc FROM (SELECT job_seq FROM {jobs}"  # noqa: S608 (constants)
        f" WHERE status = '{state.value}' ORDER BY job_seq OFFSET 0 ROWS FETCH NEXT {COUNT_CAP + 1} ROWS ONLY) AS d"
        for state in states
    ]
    arms += [
        f"SELECT '{_ENDED}', COUNT(*), MIN(d.finished_utc) FROM (SELECT finished_utc FROM {jobs}"  # noqa: S608 (constants)
        f" WHERE status = '{state.value}' AND finished_utc IS NOT NULL AND finished_utc >= {literal(since)}"
        f" ORDER BY finished_utc DESC OFFSET 0 ROWS FETCH NEXT {ENDED_CAP} ROWS ONLY) AS d"
        for state in _WORKED_OFF
    ]
    arms.append(f"SELECT '{_MARK}', event_seq, through_utc FROM {mark} WHERE stat_name = 'stat_hour'")  # noqa: S608 (constants)
    rows = read_rows(" UNION ALL ".join(arms))
    return QueueStatus(
        jobs={JobStatus(what): int(amount) for what, amount, _at in rows if what not in {_MARK, _ENDED}},
        ended_per_second=sum(_rate(int(amount), at, now) for what, amount, at in rows if what == _ENDED),
        counted_through_utc=next((as_utc(at) for what, _n, at in rows if what == _MARK and at is not None), None),
    )


def estimate_ready() -> int | None:
    """Return the approximate number of ready jobs from the engine's index statistics, or None if it has none."""
    rows = read_rows(_READY_ESTIMATE[engine_of(connection)])
    return int(rows[0][0]) if rows and rows[0][0] is not None and rows[0][0] > COUNT_CAP else None


def _rate(amount: int, earliest: datetime | None, now: datetime) -> float:
    """Return jobs per second; if not all were counted, over the period the counted ones span."""
    if amount < ENDED_CAP or earliest is None:
        return amount / RATE_WINDOW.total_seconds()
    return amount / max((now - as_utc(earliest)).total_seconds(), 0.001)
