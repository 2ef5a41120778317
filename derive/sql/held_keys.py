"""Which dedupe keys are held: by live and succeeded jobs, whose key nobody else can queue."""

from collections.abc import Sequence

from django.db import connection

from derive.sql.reading import reading
from derive.sql.tables import db_table

MOST_KEYS = 500
"""In one query: SQL Server takes 2,100 parameters."""


def held_keys(interrogation_key: str, dedupe_keys: Sequence[str]) -> set[str]:
    """Return those of at most ``MOST_KEYS`` keys that a job holds now; raises QueueError."""
    # Literals, in the words of ux_job_dedupe: a parameter never matches a filtered index.
    sql = (
        f"SELECT dedupe_key FROM {db_table('job')} "  # noqa: S608 (our own constants)
        "WHERE dedupe_key IS NOT NULL AND status IN ('NEW', 'SCHEDULED', 'RUNNING', 'SUCCEEDED') "
        f"AND interrogation_key = %s AND dedupe_key IN ({', '.join(['%s'] * len(dedupe_keys))})"
    )

    def query() -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(sql, [interrogation_key, *dedupe_keys])
            return {str(key) for (key,) in cursor.fetchall()}

    return reading(query) if dedupe_keys else set()
