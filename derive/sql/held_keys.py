"""Which dedupe keys are held, by live or succeeded jobs."""

from collections.abc import Sequence

from django.db import connection

from derive.sql.reading import reading
from derive.sql.tables import Engine, engine_of, quoted_table

MOST_KEYS = 500
"""In one query: SQL Server takes 2,100 parameters."""


_HOLDING = ("NEW", "SCHEDULED", "RUNNING", "SUCCEEDED")


def held_keys(interrogation_key: str, dedupe_keys: Sequence[str]) -> set[str]:
    """Return those of at most ``MOST_KEYS`` keys that a job holds now; raises QueueError."""
    sql = held_keys_sql(engine_of(connection), len(dedupe_keys))

    def query() -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(sql, [interrogation_key, *dedupe_keys])
            return {str(key) for (key,) in cursor.fetchall()}

    return reading(query) if dedupe_keys else set()


def held_keys_sql(engine: Engine, keys: int) -> str:
    """Return the query for so many keys, after the interrogation's.

    Its states are literals, of the type that they have in the filter of ``ux_job_dedupe``: a parameter never matches a
    filtered index, and on SQL Server neither does a literal of another type.
    """
    prefix = "N" if engine is Engine.SQLSERVER else ""
    states = ", ".join(f"{prefix}'{state}'" for state in _HOLDING)
    return (
        f"SELECT dedupe_key FROM {quoted_table(engine, 'job')} "  # noqa: S608 (our own constants)
        f"WHERE dedupe_key IS NOT NULL AND status IN ({states}) "
        f"AND interrogation_key = %s AND dedupe_key IN ({', '.join(['%s'] * keys)})"
    )
