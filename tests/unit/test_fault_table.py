"""The table of every class of database error: what it means on both dialects, and what is done about it.

Each line gives PostgreSQL's SQLSTATEs, SQL Server's numbers (as pyodbc tells them) and the words by which an error of
mssql_python is known, which tells no number.
"""

import re
from dataclasses import dataclass

import pytest
from mssql_python import exceptions as mssql

from derive.sql.fault_codes import BY_NUMBER, BY_SQLSTATE, BY_SQLSTATE_CLASS, Meaning
from derive.sql.faults import CONSEQUENCES, Fault, queue_error, read_fault
from tests.unit.test_faults import mssql_error, pg_error, pyodbc_error


@dataclass(frozen=True, kw_only=True)
class Line:
    """One class of errors; ``kept``: a run's outcome is handed in again until something else comes of it."""

    meaning: Meaning
    sqlstates: str = ""
    numbers: tuple[int, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    kept: bool = True
    retried: str = "never"
    drops: bool = False


TABLE = (
    Line(
        meaning=Meaning.BAD_CONTENT,
        sqlstates="22001 22003 22008 22021 22P02 22P05 23502 23503 23505 23514 23P01 40002 54000 54001",
        numbers=(220, 241, 242, 245, 248, 515, 547, 2601, 2627, 2628, 8114, 8115, 8152, 8169, 13608, 13609),
        words=(
            ("Integrity constraint violation", "The UPDATE statement conflicted with the CHECK constraint"),
            ("String data, right truncation", "String or binary data would be truncated in table 't', column 'c'."),
            ("Syntax error", "JSON text is not properly formatted. Unexpected character '.' is found at position 0."),
            ("Syntax error", 'new row for relation "run" violates check constraint "ck"'),
            ("Syntax error", "Conversion failed when converting from a character string to uniqueidentifier."),
        ),
        kept=False,
    ),
    Line(
        meaning=Meaning.CONTENDED,
        sqlstates="40000 40001 40P01 55P03",
        numbers=(1205, 1222, 3960),
        words=(
            ("Serialization failure", "Transaction (Process ID 53) was deadlocked …"),
            ("Timeout expired", "Lock request time out period exceeded."),
            ("Syntax error", "canceling statement due to lock timeout"),
        ),
        retried="always",
    ),
    Line(
        meaning=Meaning.LOST,
        sqlstates="08000 08003 08006 08P01 25006 25P03 40003 57P01 57P02 57P03 57P04 57P05",
        numbers=(
            *(64, 121, 233, 596, 921, 922, 926, 983, 3906, 4221, 6005, 9001, 10053, 10054, 10060, 10928, 10929, 10936),
            *(18401, 40143, 40197, 40501, 40540, 40613, 49918, 49919, 49920),
        ),
        words=(
            ("Communication link failure", "TCP Provider: Error code 0x2746"),
            ("Client unable to establish connection", "Login timeout expired"),
            ("Timeout expired", "Login timeout expired"),
            ("Syntax error", "The service is currently busy. Retry the request after 10 seconds."),
            ("Syntax error", "Resource ID : 1. The request limit for the database is 90 and has been reached."),
            ("Syntax error", "Cannot process request. Not enough resources to process request."),
            ("Syntax error", "Cannot process request. Too many operations in progress for subscription 's'."),
            ("Syntax error", "The service has encountered an error processing your request. Please try again."),
        ),
        retried="repeatable",
        drops=True,
    ),
    Line(
        meaning=Meaning.CROWDED,
        sqlstates="53300",
        numbers=(17809,),
        words=(
            ("Syntax error", "sorry, too many clients already"),
            ("General error", "the maximum number of '1' user connections has already been reached"),
        ),
        retried="repeatable",
        drops=True,
    ),
    Line(
        meaning=Meaning.TIMED_OUT,
        sqlstates="57014",
        words=(
            ("Timeout expired", "Query timeout expired"),
            ("Syntax error", "canceling statement due to statement timeout"),
            ("Operation canceled", "Operation canceled"),
        ),
        drops=True,
    ),
    Line(
        meaning=Meaning.EXHAUSTED,
        sqlstates="53000 53100 53200 53400 58000 58030",
        numbers=(701, 802, 823, 824, 845, 1101, 1105, 1204, 3967, 8628, 8645, 8651, 9002, 40544, 40551, 40552, 40553),
        words=(
            ("General error", "Could not allocate space for object 'llm.run' in database 'd' because the … is full."),
            ("General error", "Could not allocate a new page for database 'd' because of insufficient disk space"),
            ("General error", "The transaction log for database 'd' is full due to 'LOG_BACKUP'."),
            ("General error", "The instance … Database Engine cannot obtain a LOCK resource at this time."),
            ("General error", "There is insufficient system memory in resource pool 'default' to run this query."),
            ("General error", "A timeout occurred while waiting for memory resources to execute the query"),
            ("General error", "Could not perform the operation because the requested memory grant was not available"),
            ("General error", "could not extend file: No space left on device"),
            ("General error", "out of memory"),
        ),
    ),
    Line(
        meaning=Meaning.NO_DATABASE,
        sqlstates="3D000",
        numbers=(4060, 4064, 942),
        words=(("Syntax error", 'Cannot open database "d" requested by the login. The login failed.'),),
        drops=True,
    ),
    Line(
        meaning=Meaning.LOGIN_REFUSED,
        sqlstates="28000 28P01",
        numbers=(18452, 18456, 18470, 18486, 18487, 18488),
        words=(
            ("Invalid authorization specification", "Login failed for user 'ada'."),
            ("Syntax error", 'role "ada" is not permitted to log in'),
        ),
        drops=True,
    ),
    Line(
        meaning=Meaning.DENIED,
        sqlstates="42501",
        numbers=(229, 230, 300, 916),
        words=(("Syntax error", "The EXECUTE permission was denied on the object 'usp_x'"),),
    ),
    Line(
        meaning=Meaning.NOT_INSTALLED,
        sqlstates="42883 42P01 3F000",
        numbers=(201, 208, 2812, 8145),
        words=(("Syntax error", "Could not find stored procedure 'llm.usp_x'."),),
    ),
    Line(
        meaning=Meaning.OTHER,
        sqlstates="0A000 21000 42601 42703 42804 55000 P0001 XX000 XX001",
        numbers=(102, 50000, 3930),
        words=(("Syntax error", "Incorrect syntax near 'x'."),),
        drops=True,
    ),
    Line(meaning=Meaning.BAD_ARGUMENT, sqlstates="HC001 HC006 HC031", numbers=(), kept=False),
    Line(meaning=Meaning.WORKER_ID_IN_USE, sqlstates="HC020"),
)

EACH = [pytest.param(line, id=line.meaning.value) for line in TABLE]


@pytest.mark.parametrize("line", EACH)
def test_each_code_of_both_dialects_has_its_meaning(line: Line) -> None:
    for sqlstate in line.sqlstates.split():
        # Some of them psycopg has no class for; any error carries its SQLSTATE.
        error = pg_error("XX000") if sqlstate.startswith("HC") else pg_error(sqlstate)
        error.sqlstate = sqlstate  # type: ignore[attr-defined]
        assert read_fault(error).meaning is line.meaning, sqlstate
    for number in line.numbers:
        assert read_fault(pyodbc_error("42000", number, "…")).meaning is line.meaning, number
    for driver_words, server_words in line.words:
        for kind in (mssql.OperationalError, mssql.ProgrammingError, mssql.DatabaseError):
            if (line.meaning, kind) != (Meaning.OTHER, mssql.OperationalError):
                assert read_fault(mssql_error(driver_words, server_words, kind)).meaning is line.meaning, server_words


@pytest.mark.parametrize("line", EACH)
def test_each_meaning_has_its_consequence(line: Line) -> None:
    consequence = CONSEQUENCES[line.meaning]
    error = queue_error(Fault(line.meaning, "code", 1), "usp_complete_job")
    assert error.is_about_content is not line.kept
    assert (consequence.is_retried, consequence.drops_connection) == (line.retried, line.drops)


def test_the_table_holds_every_meaning_and_every_code() -> None:
    assert sorted(line.meaning for line in TABLE) == sorted(Meaning)
    told = {sqlstate for line in TABLE for sqlstate in line.sqlstates.split()}
    assert set(BY_SQLSTATE) <= told
    assert set(BY_SQLSTATE_CLASS) <= {sqlstate[:2] for sqlstate in told}
    assert all(re.fullmatch(r"[0-9A-Z]{5}", sqlstate) for sqlstate in told)
    for meaning in set(BY_NUMBER.values()):
        (line,) = (line for line in TABLE if line.meaning is meaning)
        assert set(line.numbers) <= {number for number, other in BY_NUMBER.items() if other is meaning}
