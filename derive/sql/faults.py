"""What a database's error means to the queue: read once, here, whatever driver raised it.

PostgreSQL's driver gives a SQLSTATE. pyodbc ends its text with the server's number in brackets. mssql_python gives
neither number nor SQLSTATE, only its own words for the SQLSTATE and the server's text (mssql_python/exceptions.py);
so the texts of our own errors begin with their code (``HC001: …``), and the server's are known by their words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from derive.errors import (
    AccessDenied,
    BadArgument,
    DatabaseUnavailable,
    QueueError,
    SchemaMismatch,
    WorkerIdInUse,
)

WORKER_ID_IN_USE = 20


class Meaning(StrEnum):
    """What the queue does about an error."""

    BAD_ARGUMENT = "bad_argument"
    WORKER_ID_IN_USE = "worker_id_in_use"
    CONTENDED = "contended"
    """Chosen as deadlock victim, or waited too long for a lock: all was rolled back, the call may be said again."""
    LOST = "lost"
    """There is no connection: nobody knows whether the call was done."""
    NO_DATABASE = "no_database"
    LOGIN_REFUSED = "login_refused"
    DENIED = "denied"
    NOT_INSTALLED = "not_installed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Fault:
    """A database's error, read. ``number`` is that of our own errors, 1 to 99; ``code`` the engine's own."""

    meaning: Meaning
    code: str
    number: int | None = None
    text: str = ""


# Right behind the driver's brackets: a value that a server repeats in its words cannot pass for one of our codes.
_OWN_ERROR = re.compile(r"\]HC0(\d\d): ?(.*?)(?: \(\d+\) \(SQL|[\r\n]|$)")
_SERVER_NUMBER = re.compile(r"\((\d{3,6})\) \(SQL")

_BY_SQLSTATE = {
    "40P01": Meaning.CONTENDED,  # deadlock
    "40001": Meaning.CONTENDED,  # serialization; on SQL Server the deadlock victim
    "55P03": Meaning.CONTENDED,  # lock time-out
    "3D000": Meaning.NO_DATABASE,
    "28000": Meaning.LOGIN_REFUSED,
    "28P01": Meaning.LOGIN_REFUSED,
    "42501": Meaning.DENIED,
    "42883": Meaning.NOT_INSTALLED,  # no such function
    "42P01": Meaning.NOT_INSTALLED,  # no such table
    "3F000": Meaning.NOT_INSTALLED,  # no such schema
    "57P01": Meaning.LOST,  # ended by an administrator
    "57P02": Meaning.LOST,  # another process crashed
    "57P03": Meaning.LOST,  # starting or stopping
    "57P05": Meaning.LOST,  # idle for too long
    "53300": Meaning.LOST,  # too many connections
    "25006": Meaning.LOST,  # read-only: a standby that has not taken over yet
}
# https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues (transient faults)
_BY_NUMBER = {
    1205: Meaning.CONTENDED,
    1222: Meaning.CONTENDED,
    229: Meaning.DENIED,
    230: Meaning.DENIED,
    300: Meaning.DENIED,
    916: Meaning.DENIED,
    4060: Meaning.NO_DATABASE,
    18452: Meaning.LOGIN_REFUSED,
    18456: Meaning.LOGIN_REFUSED,
    208: Meaning.NOT_INSTALLED,
    2812: Meaning.NOT_INSTALLED,
    8145: Meaning.NOT_INSTALLED,  # a parameter the procedure does not have: another version's
    201: Meaning.NOT_INSTALLED,  # a parameter it expects
    **dict.fromkeys(
        (
            926,
            4221,
            10053,
            10054,
            10060,
            10928,
            10929,
            10936,
            40143,
            40197,
            40501,
            40540,
            40613,
            40615,
            49918,
            49919,
            49920,
        ),
        Meaning.LOST,
    ),
}
# Where the driver tells no number, the server's own words (sys.messages, English) and the driver's for a SQLSTATE. A
# PostgreSQL that speaks T-SQL has PostgreSQL's words.
_BY_WORDS = tuple(
    (re.compile(words), meaning)
    for words, meaning in (
        ("deadlock victim", Meaning.CONTENDED),
        ("deadlock detected", Meaning.CONTENDED),
        ("Serialization failure", Meaning.CONTENDED),
        ("Lock request time out", Meaning.CONTENDED),
        ("due to lock timeout", Meaning.CONTENDED),
        ("Cannot open database", Meaning.NO_DATABASE),
        ("Login failed", Meaning.LOGIN_REFUSED),
        ("password authentication failed", Meaning.LOGIN_REFUSED),
        ("no pg_hba.conf entry", Meaning.LOGIN_REFUSED),
        (r'role ".*" (does not exist|is not permitted)', Meaning.LOGIN_REFUSED),
        (r'database ".*" does not exist', Meaning.NO_DATABASE),
        ("permission was denied", Meaning.DENIED),
        ("permission denied", Meaning.DENIED),
        ("not able to access the database", Meaning.DENIED),
        ("Could not find stored procedure", Meaning.NOT_INSTALLED),
        ("Invalid object name", Meaning.NOT_INSTALLED),
        ("is not a parameter for procedure", Meaning.NOT_INSTALLED),
        ("(procedure|function|relation) .* does not exist", Meaning.NOT_INSTALLED),
        ("is not currently available", Meaning.LOST),
        ("Communication link failure", Meaning.LOST),
        # The driver restores an idle connection that broke by itself; where it cannot, it says so in states of its own.
        ("SQLSTATE code: (08|IMC)", Meaning.LOST),
        ("connection is broken", Meaning.LOST),
        ("in the kill state", Meaning.LOST),
        ("terminating connection", Meaning.LOST),
        ("unable to establish connection", Meaning.LOST),
        ("Connection not open", Meaning.LOST),
        ("Server rejected the connection", Meaning.LOST),
        ("Connection failure during transaction", Meaning.LOST),
        ("Disconnect error", Meaning.LOST),
        ("Login timeout expired", Meaning.LOST),
        ("TCP Provider", Meaning.LOST),
        ("connection is closed", Meaning.LOST),
        ("SHUTDOWN is in progress", Meaning.LOST),
        ("The service is currently busy", Meaning.LOST),
        ("resource ID", Meaning.LOST),
    )
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was raised from: Django wraps the drivers' errors."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def read_fault(error: BaseException) -> Fault:
    """Return what a driver's error, or Django's around it, means."""
    for link in _chain(error):
        sqlstate = getattr(link, "sqlstate", None)
        if isinstance(sqlstate, str):
            diag = getattr(link, "diag", None)
            return _by_sqlstate(sqlstate, getattr(diag, "message_primary", None) or "")
    text = "\n".join(str(link) for link in _chain(error))
    own = _OWN_ERROR.search(text)
    if own:
        return _own(int(own[1]), own[2].strip())
    number = _SERVER_NUMBER.search(text)
    if number and int(number[1]) in _BY_NUMBER:
        return Fault(_BY_NUMBER[int(number[1])], number[1])
    for words_of_server, meaning in _BY_WORDS:
        if words_of_server.search(text):
            return Fault(meaning, meaning.replace("_", " "))
    if any(type(link).__name__ in {"OperationalError", "InterfaceError"} for link in _chain(error)):
        # No code at all: libpq and ODBC say so of a connection that could not be made or broke.
        return Fault(Meaning.LOST, "connection")
    return Fault(Meaning.OTHER, number[1] if number else "unknown")


def _by_sqlstate(sqlstate: str, text: str) -> Fault:
    if sqlstate.startswith("HC0"):
        return _own(int(sqlstate[3:]), text)
    if sqlstate.startswith("08"):
        return Fault(Meaning.LOST, sqlstate)
    return Fault(_BY_SQLSTATE.get(sqlstate, Meaning.OTHER), sqlstate)


def _own(number: int, text: str) -> Fault:
    meaning = Meaning.WORKER_ID_IN_USE if number == WORKER_ID_IN_USE else Meaning.BAD_ARGUMENT
    return Fault(meaning, f"HC{number:03d}", number, text)


_ANSWERS: dict[Meaning, tuple[type[QueueError], str]] = {
    Meaning.WORKER_ID_IN_USE: (WorkerIdInUse, "another live worker goes by this id: choose another --worker-id"),
    Meaning.CONTENDED: (DatabaseUnavailable, "the locks it needs stayed taken; try again"),
    Meaning.LOST: (DatabaseUnavailable, "the database does not answer; check that it runs and DATABASE_URL names it"),
    Meaning.NO_DATABASE: (DatabaseUnavailable, "the database that DATABASE_URL names does not exist, or is not open"),
    Meaning.LOGIN_REFUSED: (
        AccessDenied,
        "the database refused the login; check DATABASE_URL: user, password, and on SQL Server the database's name too",
    ),
    Meaning.DENIED: (
        AccessDenied,
        "the login may not do this; make it a member of llm_worker, llm_operator or llm_reader",
    ),
    Meaning.NOT_INSTALLED: (SchemaMismatch, "the database lacks this procedure as it is here; run: manage.py migrate"),
}


def queue_error(fault: Fault, doing: str) -> QueueError:
    """Return the error to raise for a fault met while ``doing`` something; its text holds no value of a call."""
    if fault.meaning is Meaning.BAD_ARGUMENT:
        return BadArgument(
            f"{doing}: {fault.text or 'an argument was refused'} ({fault.code})", number=fault.number or 0
        )
    if fault.meaning in _ANSWERS:
        kind, words = _ANSWERS[fault.meaning]
        return kind(f"{doing}: {words} ({fault.code})")
    return QueueError(f"{doing}: the database answered with an error it should not have ({fault.code})")
