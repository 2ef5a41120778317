"""Every error of a driver becomes one of the queue's, and none tells a value of the call."""

import pytest
from django.db import utils
from mssql_python import exceptions as mssql
from psycopg import OperationalError as PgOperationalError
from psycopg import errors as pg

from derive import errors
from derive.sql.fault_codes import Meaning
from derive.sql.faults import queue_error, read_fault


def pg_error(sqlstate: str) -> Exception:
    return pg.lookup(sqlstate)("secret value in the server's words")


def wrapped(error: Exception) -> Exception:
    """Return Django's error as it is raised around a driver's."""
    outer = utils.DatabaseError(*error.args)
    outer.__cause__ = error
    return outer


def mssql_error(words: str, text: str, kind: type[mssql.Error] = mssql.OperationalError) -> Exception:
    return wrapped(kind(driver_error=words, ddbc_error=f"[Microsoft][SQL Server]{text}"))


class PyodbcError(Exception):
    """An error as pyodbc words it."""


def pyodbc_error(sqlstate: str, number: int, text: str) -> Exception:
    return wrapped(
        PyodbcError(
            sqlstate,
            f"[{sqlstate}] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text} ({number}) (SQLExecDirectW)",
        )
    )


READ: list[tuple[Exception, Meaning]] = [
    (pg_error("40P01"), Meaning.CONTENDED),
    (pg_error("40001"), Meaning.CONTENDED),
    (pg_error("55P03"), Meaning.CONTENDED),
    (pg_error("57P01"), Meaning.LOST),
    (pg_error("57P03"), Meaning.LOST),
    (pg_error("08006"), Meaning.LOST),
    (pg_error("53300"), Meaning.CROWDED),
    (pg_error("42501"), Meaning.DENIED),
    (pg_error("42883"), Meaning.NOT_INSTALLED),
    (pg_error("3F000"), Meaning.NOT_INSTALLED),
    (pg_error("3D000"), Meaning.NO_DATABASE),
    (pg_error("28P01"), Meaning.LOGIN_REFUSED),
    (pg_error("23505"), Meaning.BAD_CONTENT),
    (pg_error("XX000"), Meaning.OTHER),
    (wrapped(pg_error("40P01")), Meaning.CONTENDED),
    (PgOperationalError("server closed the connection unexpectedly"), Meaning.LOST),
    (PgOperationalError('FATAL:  password authentication failed for user "ada"'), Meaning.LOGIN_REFUSED),
    (PgOperationalError('FATAL:  database "nowhere" does not exist'), Meaning.NO_DATABASE),
    (PgOperationalError('FATAL:  role "ada" does not exist'), Meaning.LOGIN_REFUSED),
    (PgOperationalError('FATAL:  too many connections for role "ada"'), Meaning.CROWDED),
    (PgOperationalError("connection to server failed: Connection refused"), Meaning.LOST),
    (mssql_error("Serialization failure", "Transaction (Process ID 53) was deadlocked …"), Meaning.CONTENDED),
    (mssql_error("Timeout expired", "Lock request time out period exceeded."), Meaning.CONTENDED),
    (mssql_error("Communication link failure", "TCP Provider: Error code 0x2746"), Meaning.LOST),
    (mssql_error("Client unable to establish connection", "Login timeout expired"), Meaning.LOST),
    (mssql_error("Syntax error", "Database 'Holocron' on server 'x' is not currently available."), Meaning.LOST),
    (mssql_error("Invalid authorization specification", "Login failed for user 'ada'."), Meaning.LOGIN_REFUSED),
    (
        mssql_error("Syntax error", 'Cannot open database "Nowhere" requested by the login. The login failed.'),
        Meaning.NO_DATABASE,
    ),
    (
        mssql_error("Syntax error", "The EXECUTE permission was denied on the object 'usp_x'", mssql.ProgrammingError),
        Meaning.DENIED,
    ),
    (mssql_error("Syntax error", "Could not find stored procedure 'llm.usp_x'."), Meaning.NOT_INSTALLED),
    (mssql_error("Integrity", "Cannot insert duplicate key row", mssql.IntegrityError), Meaning.BAD_CONTENT),
    (
        mssql_error(
            "An error occurred with SQLSTATE code: IMC06",
            "The connection is broken and recovery is not possible.",
            mssql.DatabaseError,
        ),
        Meaning.LOST,
    ),
    (mssql_error("Syntax error", "Cannot continue, because the session is in the kill state."), Meaning.LOST),
    # The second engine: PostgreSQL's words under the driver's states.
    (mssql_error("Syntax error", "deadlock detected", mssql.ProgrammingError), Meaning.CONTENDED),
    (mssql_error("Syntax error", "canceling statement due to lock timeout", mssql.ProgrammingError), Meaning.CONTENDED),
    (
        mssql_error("Syntax error", "terminating connection due to administrator command", mssql.ProgrammingError),
        Meaning.LOST,
    ),
    (
        mssql_error("Syntax error", "procedure llm.usp_x(…) does not exist", mssql.ProgrammingError),
        Meaning.NOT_INSTALLED,
    ),
    (pyodbc_error("40001", 1205, "Rerun the transaction."), Meaning.CONTENDED),
    (pyodbc_error("42000", 1222, "…"), Meaning.CONTENDED),
    (pyodbc_error("42000", 229, "…"), Meaning.DENIED),
    (pyodbc_error("42000", 2812, "…"), Meaning.NOT_INSTALLED),
    (pyodbc_error("HY000", 40613, "…"), Meaning.LOST),
    (pyodbc_error("42000", 40501, "…"), Meaning.LOST),
    (pyodbc_error("28000", 18456, "…"), Meaning.LOGIN_REFUSED),
    (pyodbc_error("23000", 2627, "The duplicate key value is (secret)."), Meaning.BAD_CONTENT),
]


@pytest.mark.parametrize(
    ("error", "meaning"), READ, ids=[f"{place}-{meaning}" for place, (_, meaning) in enumerate(READ)]
)
def test_a_drivers_error_is_read_for_what_it_means(error: Exception, meaning: Meaning) -> None:
    assert read_fault(error).meaning == meaning


OWN = "HC006: priority is negative"


@pytest.mark.parametrize(
    "error",
    [
        mssql_error("Syntax error or access violation", OWN, mssql.ProgrammingError),
        mssql_error("General error", f"{OWN}\n"),
        pyodbc_error("42000", 51006, OWN),
    ],
)
def test_our_own_errors_keep_their_number_and_their_words(error: Exception) -> None:
    answer = queue_error(read_fault(error), "usp_enqueue_job")
    assert isinstance(answer, errors.BadArgument)
    assert answer.number == 6
    assert str(answer) == "usp_enqueue_job: priority is negative (HC006)"


@pytest.mark.parametrize(
    "value", ["HC001: it", "51006", "Login failed", "Communication link failure", "deadlock victim"]
)
def test_a_value_in_the_servers_words_does_not_pass_for_one_of_our_errors(value: str) -> None:
    text = f"Cannot insert duplicate key row. The duplicate key value is ({value})."
    assert read_fault(mssql_error("Integrity", text, mssql.IntegrityError)).meaning == Meaning.BAD_CONTENT


def test_a_worker_id_in_use_has_its_own_error() -> None:
    error = mssql_error("Syntax error", "HC020: worker id in use", mssql.ProgrammingError)
    assert isinstance(queue_error(read_fault(error), "usp_heartbeat"), errors.WorkerIdInUse)


@pytest.mark.parametrize(
    ("meaning", "kind"),
    [
        (Meaning.BAD_CONTENT, errors.BadContent),
        (Meaning.CONTENDED, errors.DatabaseUnavailable),
        (Meaning.LOST, errors.DatabaseUnavailable),
        (Meaning.CROWDED, errors.DatabaseUnavailable),
        (Meaning.NO_DATABASE, errors.DatabaseUnavailable),
        (Meaning.LOGIN_REFUSED, errors.AccessDenied),
        (Meaning.DENIED, errors.AccessDenied),
        (Meaning.NOT_INSTALLED, errors.SchemaMismatch),
        (Meaning.OTHER, errors.QueueError),
    ],
)
def test_each_meaning_has_its_error(meaning: Meaning, kind: type[errors.QueueError]) -> None:
    error = next(error for error, wanted in READ if wanted is meaning)
    answer = queue_error(read_fault(error), "usp_x")
    assert type(answer) is kind
    assert str(answer).startswith("usp_x: ")


@pytest.mark.parametrize("error", [error for error, _ in READ], ids=str)
def test_no_errors_text_repeats_the_servers(error: Exception) -> None:
    answer = str(queue_error(read_fault(error), "usp_x"))
    for word in ("secret", "ada", "Nowhere", "nowhere"):
        assert word not in answer.replace("readable", "")
