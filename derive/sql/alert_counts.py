"""What alert rules count, by bounded reads: of a million jobs only the ends of index ranges are read.

Everything here raises QueueError.
"""

from datetime import datetime
from typing import Any

from django.db import connection

from derive.sql.moments import as_utc
from derive.sql.reading import reading
from derive.sql.tables import engine_of, quoted_table
from derive.states import JobStatus

DEAD_LETTERS_LOOKED_AT = 10_000
"""The newest dead letters of the window; a rule of one interrogation counts its own among them."""
READY_LOOKED_AT = 1_000
"""The earliest-queued ready jobs, among which the one that waited longest is found."""


def count_dead_letters(since: datetime, interrogation_key: str = "") -> int:
    """Count the jobs that became dead letters since a moment and still are, up to DEAD_LETTERS_LOOKED_AT."""
    within = " WHERE d.interrogation_key = %s" if interrogation_key else ""
    found = _first(
        f"SELECT COUNT(*) FROM (SELECT interrogation_key FROM {_jobs()}"  # noqa: S608 (constants)
        f" WHERE status = '{JobStatus.DEADLETTER.value}' AND finished_utc IS NOT NULL AND finished_utc >= %s"
        f" ORDER BY finished_utc DESC OFFSET 0 ROWS FETCH NEXT {DEAD_LETTERS_LOOKED_AT} ROWS ONLY) AS d{within}",
        [_moment(since), *([interrogation_key] if interrogation_key else [])],
    )
    return int(found or 0)


def oldest_ready_utc(interrogation_key: str = "") -> datetime | None:
    """Return since when the job that waits longest is ready, among the READY_LOOKED_AT queued first; None: none waits.

    As in ``depths``: with "=" and by number alone a planner may walk the jobs of every state.
    """
    ready = f"status BETWEEN '{JobStatus.NEW.value}' AND '{JobStatus.NEW.value}'"
    where, order, values = ready, "status, job_seq", []
    if interrogation_key:
        where, order = f"interrogation_key BETWEEN %s AND %s AND {ready}", f"interrogation_key, {order}"
        values = [interrogation_key, interrogation_key]
    found = _first(
        f"SELECT MIN(d.available_utc) FROM (SELECT available_utc FROM {_jobs()} WHERE {where}"  # noqa: S608 (constants)
        f" ORDER BY {order} OFFSET 0 ROWS FETCH NEXT {READY_LOOKED_AT} ROWS ONLY) AS d",
        values,
    )
    return None if found is None else as_utc(found)


def _jobs() -> str:
    return quoted_table(engine_of(connection), "job")


def _moment(value: datetime) -> Any:
    """Return a moment as the driver binds it to a column of the schema ``llm``."""
    from derive.sql.fields import UtcField

    return UtcField().get_db_prep_value(value, connection)


def _first(sql: str, values: list[Any]) -> Any:
    def query() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone()[0]

    return reading(query)
