"""Least privilege: what a member of each role may do, tried as that login, and nothing besides."""

from collections.abc import Iterator

import pytest
from django.db import Error as DjangoDatabaseError
from django.db import connection, connections

from derive.errors import AccessDenied, BadArgument
from derive.models import JobEvent
from derive.queue import JobQueue
from derive.sql import procedures
from derive.sql.calls import call
from derive.sql.fault_codes import Meaning
from derive.sql.faults import read_fault
from derive.sql.procedures import PROCEDURES, Procedure
from derive.sql.tables import Engine, engine_of
from tests.contract.babelfish import Lack, lacks
from tests.contract.logging_in import logged_in, login_name
from tests.contract.scenes import a_job, success

ROLES = ("llm_worker", "llm_operator", "llm_reader")
WORKERS_PROCEDURES = {
    procedures.CLAIM_NEXT_JOB,
    procedures.HEARTBEAT,
    procedures.COMPLETE_JOB,
    procedures.COMPLETE_JOBS,
    procedures.SPLIT_JOB,
    procedures.JOIN_DUE_JOBS,
    procedures.RELEASE_JOB,
    procedures.PROMOTE_DUE_JOBS,
    procedures.MARK_BATCH_JOBS,
    procedures.SWEEP_BATCHES,
    procedures.SETTLE_SUBJECTS,
    procedures.REAP_EXPIRED_LEASES,
    procedures.ROLL_UP_HOURS,
    procedures.REGISTER_INTERROGATION,
    procedures.SET_SCHEMA_REFUSAL,
    procedures.SETTLE_LAKE,
}
WORKERS_ALONE = {
    procedures.CLAIM_NEXT_JOB,
    procedures.HEARTBEAT,
    procedures.COMPLETE_JOB,
    procedures.COMPLETE_JOBS,
    procedures.SPLIT_JOB,
    procedures.RELEASE_JOB,
}
MAY_EXECUTE: dict[str, set[Procedure]] = {
    "llm_worker": WORKERS_PROCEDURES,
    "llm_operator": set(PROCEDURES) - WORKERS_ALONE,
    "llm_reader": set(),
}
WORKERS_TABLES = {
    "schema_script",
    "interrogation",
    "run",
    "artifact",
    "lake",
    "lake_deletion",
    "model",
    "v_part",
    "interrogation_live",
}

# What the login may execute, whatever it is called. A function of PostgreSQL that runs as its caller gives nobody a
# right; on SQL Server whatever is in the schema reaches its owner's tables.
_EXECUTABLE_SQL = {
    Engine.POSTGRESQL: """
        SELECT p.proname FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'llm'::regnamespace AND p.prosecdef AND has_function_privilege(p.oid, 'EXECUTE')
    """,
    Engine.SQLSERVER: """
        SELECT o.name FROM sys.objects AS o
        WHERE o.schema_id = SCHEMA_ID(N'llm') AND o.type IN ('P', 'FN', 'IF', 'TF')
            AND HAS_PERMS_BY_NAME(N'llm.' + QUOTENAME(o.name), N'OBJECT', N'EXECUTE') = 1
    """,
}


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest, queue: JobQueue) -> str:
    return str(request.param)


@pytest.fixture
def login(role: str) -> Iterator[str]:
    """The alias of a connection whose login is a member of the role alone."""
    with logged_in(role) as alias:
        yield alias


def columns_of(kind: str) -> dict[str, str]:
    """Each table (``BASE TABLE``) or ``VIEW`` of the schema ``llm`` with one of its columns, by the owner's eyes."""
    with connection.cursor() as cursor:
        cursor.execute(
            # In capitals: with a collation that tells letters' case apart SQL Server knows no others.
            "SELECT c.TABLE_NAME, MIN(c.COLUMN_NAME) FROM INFORMATION_SCHEMA.COLUMNS AS c "
            "INNER JOIN INFORMATION_SCHEMA.TABLES AS t "
            "ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME "
            # An identity cannot be updated by anybody.
            "WHERE c.TABLE_SCHEMA = 'llm' AND t.TABLE_TYPE = %s AND c.COLUMN_NAME NOT LIKE '%%_seq' "
            "GROUP BY c.TABLE_NAME",
            [kind],
        )
        return {str(table): str(column) for table, column in cursor.fetchall()}


def is_refused(alias: str, statement: str) -> bool:
    """Whether the database denies the login what the statement wants; any other error is one."""
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(statement)
    except DjangoDatabaseError as error:
        if read_fault(error).meaning is not Meaning.DENIED:
            raise
        return True
    return False


def may_call(alias: str, procedure: Procedure) -> bool:
    """Whether the login comes as far as the procedure's own judgement of its arguments, of which there are none."""
    try:
        call(alias, procedure, dict.fromkeys(procedure.parameters))
    except AccessDenied:
        return False
    except BadArgument:
        pass
    return True


@lacks(Lack.OWNERSHIP_CHAINING)
def test_a_member_may_execute_exactly_the_roles_procedures(role: str, login: str) -> None:
    assert {procedure for procedure in PROCEDURES if may_call(login, procedure)} == MAY_EXECUTE[role]
    with connections[login].cursor() as cursor:
        cursor.execute(_EXECUTABLE_SQL[engine_of(connection)])
        assert {name for (name,) in cursor.fetchall()} == {procedure.name for procedure in MAY_EXECUTE[role]}


def test_a_member_may_read_exactly_the_roles_tables(role: str, login: str) -> None:
    tables = set(columns_of("BASE TABLE")) | set(columns_of("VIEW"))
    readable = {table for table in tables if not is_refused(login, f"SELECT 1 FROM llm.{table} WHERE 1 = 0")}
    assert readable == (WORKERS_TABLES if role == "llm_worker" else tables)


def test_nobody_writes_a_table_past_the_procedures(role: str, login: str) -> None:
    for table, column in columns_of("BASE TABLE").items():
        assert is_refused(login, f"UPDATE llm.{table} SET {column} = NULL WHERE 1 = 0"), table
        assert is_refused(login, f"DELETE FROM llm.{table} WHERE 1 = 0"), table
        assert is_refused(login, f"INSERT INTO llm.{table} ({column}) SELECT NULL WHERE 1 = 0"), table


def test_nobody_makes_or_changes_anything_in_the_schema(role: str, login: str) -> None:
    assert is_refused(login, "CREATE TABLE llm.mine (a int)")
    assert is_refused(login, "DROP TABLE llm.job_event")


@lacks(Lack.OWNERSHIP_CHAINING)
def test_an_events_db_user_is_the_login_that_really_did_it(queue: JobQueue) -> None:
    with logged_in("llm_operator") as operator, logged_in("llm_worker") as worker:
        job = JobQueue(operator).enqueue(a_job(), actor="somebody else")
        (claim,) = JobQueue(worker).claim("w")
        assert JobQueue(worker).complete(success(claim)).accepted
    said = JobEvent.objects.filter(job_id=job.job_id).order_by("event_seq").values_list("event", "db_user")
    assert list(said) == [
        ("enqueued", login_name("llm_operator")),
        ("claimed", login_name("llm_worker")),
        ("completed", login_name("llm_worker")),
    ]
