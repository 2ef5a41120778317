"""How many pages of the database a claim reads: what each engine tells in its own way."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.db.utils import DatabaseError


def pages_read_by_a_claim() -> int:
    """Claim one job and return how many pages that read; skip where the engine does not tell."""
    measure: Callable[[], int] = {"postgresql": _postgresql, "microsoft": _sqlserver}[connection.vendor]
    return measure()


def _postgresql() -> int:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM llm.usp_claim_next_job('measured')")
        plan = cursor.fetchone()[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _sqlserver() -> int:
    with connection.cursor() as cursor:
        cursor.execute("EXEC llm.usp_claim_next_job @worker_id = N'measured'")
        cursor.fetchall()
        try:
            cursor.execute(
                "SELECT last_logical_reads FROM sys.dm_exec_procedure_stats "
                "WHERE database_id = DB_ID() AND object_id = OBJECT_ID(N'llm.usp_claim_next_job')"
            )
            row = cursor.fetchone()
        except DatabaseError:
            row = None
    if row is None:
        pytest.skip("this server does not tell this login what a procedure read (VIEW SERVER STATE)")
    return int(row[0])
