"""Counts a derivation's subjects by state, each up to a bound, so that the work is the same for a million of them."""

from typing import Any

from django.db import connection

from derive.sql.reading import reading
from derive.sql.tables import engine_of, quoted_table
from derive.states import SubjectState

COUNT_CAP = 10_000
"""Subjects that are counted of one state."""


def count_subjects(derivation_seq: int) -> list[tuple[SubjectState, str | None, int]]:
    """Return state, why stale, and how many, counting up to COUNT_CAP + 1 of each state. Raises QueueError."""
    table = quoted_table(engine_of(connection), "subject")
    arms = [
        f"SELECT state, stale_because FROM (SELECT state, stale_because FROM {table}"  # noqa: S608 (constants)
        f" WHERE derivation_seq = %s AND state = %s ORDER BY subject_seq"
        f" OFFSET 0 ROWS FETCH NEXT {COUNT_CAP + 1} ROWS ONLY) AS a{place}"
        for place, _state in enumerate(SubjectState)
    ]
    sql = (
        f"SELECT state, stale_because, COUNT(*) FROM ({' UNION ALL '.join(arms)}) AS counted"  # noqa: S608 (constants)
        " GROUP BY state, stale_because"
    )
    params = [value for state in SubjectState for value in (derivation_seq, str(state))]

    def query() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    return [(SubjectState(state), because, int(amount)) for state, because, amount in reading(query)]
