"""Maps database errors to the queue's errors, in one place for every driver.

PostgreSQL's driver gives a SQLSTATE. pyodbc ends its text with the server's number in brackets. mssql_python gives
neither a number nor a SQLSTATE, only its own text for the SQLSTATE and the server's message
(mssql_python/exceptions.py). Therefore the messages of our own errors begin with their code (``HC001: …``), and the
server's errors are recognised by their messages. ``fault_codes`` has the codes.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DjangoDatabaseError

from derive.errors import (
    AccessDenied,
    BadArgument,
    BadContent,
    DatabaseUnavailable,
    QueueError,
    SchemaMismatch,
    WorkerIdInUse,
)
from derive.sql.fault_codes import BY_NUMBER, BY_SQLSTATE, BY_SQLSTATE_CLASS, BY_WORDS, Meaning

WORKER_ID_IN_USE = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """A parsed database error. ``number`` identifies our own errors, 1 to 99; ``code`` is the engine's own."""

    meaning: Meaning
    code: str
    number: int | None = None
    text: str = ""


DATABASE_ERRORS = (psycopg.Error, DjangoDatabaseError)


STRAY_ERRORS = (RuntimeError, SystemError, OSError)
"""Exceptions besides its own that a driver may raise, for blocks that also contain other code."""


class DriverFailed(DjangoDatabaseError):
    """A driver raised something other than a database error: its connection must not be used again."""


class NotEncodable(DjangoDatabaseError):
    """A driver could not encode a value; nothing was sent."""


@contextmanager
def driver_errors(kinds: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Raise encoding errors and exceptions of the listed ``kinds`` in the block as database errors.

    SQL Server's driver raises a bare RuntimeError after some time-outs and broken connections (measured), and C++
    exceptions surface as ValueError, IndexError or MemoryError. ImproperlyConfigured (the driver cannot be loaded) is
    raised unchanged.
    """
    try:
        yield
    except (*DATABASE_ERRORS, ImproperlyConfigured):
        raise
    except UnicodeError as error:
        raise NotEncodable("a value cannot be encoded") from error
    except kinds as error:
        raise DriverFailed(f"the driver raised {type(error).__name__}") from error


# Only directly after the driver's brackets, so that a value repeated in a server's message cannot pass for our code.
_OWN_ERROR = re.compile(r"\]HC0(\d\d): ?(.*?)(?: \(\d+\) \(SQL|[\r\n]|$)")
_SERVER_NUMBER = re.compile(r"\((\d{2,6})\) \(SQL")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes, because Django wraps the drivers' errors."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def read_fault(error: BaseException) -> Fault:
    """Return the meaning of a driver's error, or of Django's error around it."""
    if isinstance(error, DriverFailed):
        return Fault(Meaning.LOST, "driver")
    if isinstance(error, NotEncodable):
        return Fault(Meaning.BAD_CONTENT, "encoding")
    for link in _chain(error):
        sqlstate = getattr(link, "sqlstate", None)
        if isinstance(sqlstate, str):
            diag = getattr(link, "diag", None)
            return _by_sqlstate(sqlstate, getattr(diag, "message_primary", None) or "")
    return _by_text("\n".join(str(link) for link in _chain(error)), {type(link).__name__ for link in _chain(error)})


def _by_text(text: str, kinds: set[str]) -> Fault:
    own = _OWN_ERROR.search(text)
    if own:
        return _own(int(own[1]), own[2].strip())
    number = _SERVER_NUMBER.search(text)
    if number and int(number[1]) in BY_NUMBER:
        return Fault(BY_NUMBER[int(number[1])], number[1])
    if kinds & {"IntegrityError", "DataError"}:
        # Checked before any message is read, because this error's message repeats the values that were sent.
        return Fault(Meaning.BAD_CONTENT, "bad content")
    words = next((meaning for pattern, meaning in BY_WORDS if pattern.search(text)), None)
    if words is not None:
        return Fault(words, words.replace("_", " "))
    if kinds & {"OperationalError", "InterfaceError"}:
        # libpq and ODBC give no code for a connection that failed or broke.
        return Fault(Meaning.LOST, "connection")
    return Fault(Meaning.OTHER, number[1] if number else "unknown")


def _by_sqlstate(sqlstate: str, text: str) -> Fault:
    if sqlstate.startswith("HC0"):
        return _own(int(sqlstate[3:]), text)
    meaning = BY_SQLSTATE.get(sqlstate) or BY_SQLSTATE_CLASS.get(sqlstate[:2], Meaning.OTHER)
    return Fault(meaning, sqlstate)


def _own(number: int, text: str) -> Fault:
    meaning = Meaning.WORKER_ID_IN_USE if number == WORKER_ID_IN_USE else Meaning.BAD_ARGUMENT
    return Fault(meaning, f"HC{number:03d}", number, text)


@dataclass(frozen=True, slots=True)
class Consequence:
    """The consequence of one meaning.

    ``error`` is raised with ``words``. With ``drops_connection`` the next call opens a new one. ``is_retried`` says
    whether the call itself is retried a few times: ``always``, or only a ``repeatable`` procedure. Whether a worker
    keeps a run's outcome and submits it again depends on the error (``QueueError.is_about_content``).
    """

    error: type[QueueError]
    words: str
    drops_connection: bool = False
    is_retried: Literal["always", "repeatable", "never"] = "never"


CONSEQUENCES: dict[Meaning, Consequence] = {
    Meaning.BAD_ARGUMENT: Consequence(BadArgument, "an argument was refused"),
    Meaning.WORKER_ID_IN_USE: Consequence(
        WorkerIdInUse, "another live worker uses this id: choose another --worker-id"
    ),
    Meaning.BAD_CONTENT: Consequence(BadContent, "the database refuses the values as they are"),
    Meaning.CONTENDED: Consequence(
        DatabaseUnavailable, "the locks it needs stayed taken; try again", is_retried="always"
    ),
    Meaning.LOST: Consequence(
        DatabaseUnavailable,
        "the database does not answer; check that it runs and DATABASE_URL names it",
        drops_connection=True,
        is_retried="repeatable",
    ),
    Meaning.CROWDED: Consequence(
        DatabaseUnavailable,
        "the database or the login has as many connections as it may; each worker needs three: raise max_connections, "
        "the role's CONNECTION LIMIT or the pooler's size, or run fewer workers",
        drops_connection=True,
        is_retried="repeatable",
    ),
    # After a time-out, the connection may still hold part of an answer.
    Meaning.TIMED_OUT: Consequence(
        DatabaseUnavailable,
        "the database cancelled the call, which took too long; check its load and its statement time-out",
        drops_connection=True,
    ),
    Meaning.EXHAUSTED: Consequence(
        DatabaseUnavailable, "the database has no disk, log, memory or locks left; give it room"
    ),
    Meaning.NO_DATABASE: Consequence(
        DatabaseUnavailable,
        "the database that DATABASE_URL names does not exist, or is not open",
        drops_connection=True,
    ),
    Meaning.LOGIN_REFUSED: Consequence(
        AccessDenied,
        "the database refused the login; check DATABASE_URL: user, password, and on SQL Server the database's name too",
        drops_connection=True,
    ),
    Meaning.DENIED: Consequence(
        AccessDenied, "the login may not do this; make it a member of llm_worker, llm_operator or llm_reader"
    ),
    Meaning.NOT_INSTALLED: Consequence(
        SchemaMismatch, "the database lacks this procedure as it is here; run: manage.py migrate"
    ),
    Meaning.OTHER: Consequence(
        QueueError, "the database answered with an error it should not have", drops_connection=True
    ),
}


def queue_error(fault: Fault, doing: str) -> QueueError:
    """Return the error to raise for a fault that occurred while ``doing``; its text contains no parameter values."""
    consequence = CONSEQUENCES[fault.meaning]
    if fault.meaning is Meaning.BAD_ARGUMENT:
        return BadArgument(f"{doing}: {fault.text or consequence.words} ({fault.code})", number=fault.number or 0)
    return consequence.error(f"{doing}: {consequence.words} ({fault.code})")
