"""How many pages of the database a claim or a purge reads: what each engine tells in its own way."""

from collections.abc import Callable
from time import monotonic

import pytest
from django.db import connection
from django.db.utils import DatabaseError


def pages_read_by_a_claim() -> int:
    """Claim one job and return how many pages that read; skip where the engine does not tell."""
    return _pages_read("usp_claim_next_job", worker_id="'measured'")


def pages_read_by_a_fact_claim(who: str) -> int:
    """Claim one fact to review and return how many pages that read; skip as above."""
    return _pages_read("usp_claim_facts", actor=f"'{who}'")


def pages_read_by_a_dry_purge(status: str) -> int:
    """Tell what a purge of one state would take, and return how many pages that read; skip as above."""
    before, states, actor = "'2030-01-01'", f"'[\"{status}\"]'", "'measured'"
    dry = "1" if connection.vendor == "microsoft" else "TRUE"
    return _pages_read("usp_purge_jobs", finished_before_utc=before, statuses_json=states, actor=actor, dry_run=dry)


def take_statistics() -> None:
    """Let the planner know what the tables hold now."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE) llm.job, llm.run, llm.subject, llm.fact, llm.fact_review")


def wait_for_older_snapshots() -> None:
    """Wait until no other connection to this database keeps dead rows alive, a minute at most."""
    until = monotonic() + 60
    while connection.vendor == "postgresql" and monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)"
            )
            if not cursor.fetchone()[0]:
                return


def _pages_read(procedure: str, **literals: str) -> int:
    measure: Callable[..., int] = {"postgresql": _postgresql, "microsoft": _sqlserver}[connection.vendor]
    return measure(procedure, literals)


def _postgresql(procedure: str, literals: dict[str, str]) -> int:
    given = ", ".join(f"{name} => {value}" for name, value in literals.items())
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM llm.{procedure}({given})")
        plan = cursor.fetchone()[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _sqlserver(procedure: str, literals: dict[str, str]) -> int:
    given = ", ".join(f"@{name} = {value}" for name, value in literals.items())
    with connection.cursor() as cursor:
        cursor.execute(f"EXEC llm.{procedure} {given}")
        cursor.fetchall()
        try:
            cursor.execute(
                "SELECT last_logical_reads FROM sys.dm_exec_procedure_stats "
                f"WHERE database_id = DB_ID() AND object_id = OBJECT_ID(N'llm.{procedure}')"
            )
            row = cursor.fetchone()
        except DatabaseError:
            row = None
    if row is None:
        pytest.skip("this server does not tell this login what a procedure read (VIEW SERVER STATE)")
    return int(row[0])
