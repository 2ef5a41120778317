"""Finds the dedupe keys that are held by live or succeeded jobs."""

from collections.abc import Sequence

from django.db import connection

from derive.sql.reading import reading
from derive.sql.tables import Engine, engine_of, quoted_table

MOST_KEYS = 500
"""Maximum per query; SQL Server allows 2,100 parameters."""


_HOLDING = ("NEW", "SCHEDULED", "RUNNING", "SPLIT", "SUCCEEDED")


def held_keys(interrogation_key: str, dedupe_keys: Sequence[str]) -> set[str]:
    """Return the keys that a job currently holds, out of at most ``MOST_KEYS``; raises QueueError."""
    sql = held_keys_sql(engine_of(connection), len(dedupe_keys))

    def query() -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(sql, [interrogation_key, *dedupe_keys])
            return {str(key) for (key,) in cursor.fetchall()}

    return reading(query) if dedupe_keys else set()


def held_keys_sql(engine: Engine, keys: int) -> str:
    """Return the query for this number of keys; its first parameter is the interrogation's key.

    States are literals of the same type as in the filter of ``ux_job_dedupe``, because SQL Server uses a filtered
    index neither for parameters nor for literals of another type.
    """
    prefix = "N" if engine is Engine.SQLSERVER else ""
    states = ", ".join(f"{prefix}'{state}'" for state in _HOLDING)
    return (
        f"SELECT dedupe_key FROM {quoted_table(engine, 'job')} "  # noqa: S608 (our own constants)
        f"WHERE dedupe_key IS NOT NULL AND status IN ({states}) "
        f"AND interrogation_key = %s AND dedupe_key IN ({', '.join(['%s'] * keys)})"
    )
