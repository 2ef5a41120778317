"""Setup of each new connection, so that one behind a pooler works like a direct one.

Nothing that outlives a transaction is kept in a session, but for the parameters below: PgBouncer passes those on to
whichever server connection a client is given (its ``client_encoding``, ``DateStyle``, ``TimeZone``,
``standard_conforming_strings`` and ``application_name``).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import Error as DjangoDatabaseError
from django.db import NotSupportedError
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper

from derive.sql.moments import read_every_moment
from derive.sql.tables import Engine, engine_of

PREPARE_THRESHOLD = 2
"""Calls of one form before psycopg prepares it on the server; never behind a pooler, where the next call may meet
another server connection, on which the name is unknown or another client's."""

LIMITS = "CALL_LIMITS"
"""In an entry of DATABASES: parameters of PostgreSQL and their values, for each ``limited`` block."""

_ENCODING = "UTF8"
_WANTED = {"standard_conforming_strings": "on", "DateStyle": "ISO, MDY"}
"""Scripts hold backslashes in plain strings, and the driver reads dates in ISO form only."""

# ``user options`` and a login's language are the server's to choose: with NOCOUNT Django does not learn how many rows
# it changed; filtered indexes want NUMERIC_ROUNDABORT OFF; the driver hands on errors as words, which are known in
# English. A language brings its own order of dates and its own first day of the week, which the backend had set before.
_SQLSERVER_SESSION = """
DECLARE @datefirst int = @@DATEFIRST;
SET NOCOUNT OFF;
SET NUMERIC_ROUNDABORT OFF;
SET LANGUAGE us_english;
SET DATEFORMAT ymd;
SET DATEFIRST @datefirst;
"""


def prepare_session(*, connection: BaseDatabaseWrapper, **_signal: Any) -> None:
    """Prepare a new connection, as ``connection_created``.

    Raises:
        NotSupportedError: the database or the pooler cannot be worked with; in one line what to do. It is closed.
    """
    try:
        if engine_of(connection) is Engine.SQLSERVER:
            with connection.cursor() as cursor:
                cursor.execute(_SQLSERVER_SESSION)
        else:
            _prepare_postgresql(connection)
    except (DjangoDatabaseError, psycopg.Error):
        connection.close()
        raise


def _prepare_postgresql(connection: BaseDatabaseWrapper) -> None:
    raw: psycopg.Connection[Any] = connection.connection
    encoding = raw.info.parameter_status("server_encoding")
    # The server's own database, from which others are made, may have any.
    if encoding != _ENCODING and connection.alias != NO_DB_ALIAS:
        raise NotSupportedError(
            f"this database is encoded in {encoding}, which cannot hold what models write: let DATABASE_URL name one "
            "made with ENCODING 'UTF8' TEMPLATE template0"
        )
    with connection.wrap_database_errors:
        for name, value in _WANTED.items():
            if raw.info.parameter_status(name) != value:
                raw.execute("SELECT set_config(%s, %s, false)", [name, value])
        raw.prepare_threshold = None if _is_pooled(raw) else PREPARE_THRESHOLD
    read_every_moment(raw.adapters)


def _is_pooled(raw: "psycopg.Connection[Any]") -> bool:
    """Whether there is a pooler in between: it reports a process id that is not the server's."""
    ((pid,),) = raw.execute("SELECT pg_backend_pid()").fetchall()
    if pid == raw.info.backend_pid:
        return False
    try:
        with raw.transaction():
            raw.execute("SELECT 1")
    except psycopg.OperationalError as error:
        if "statement pooling" not in str(error):
            raise
        raise NotSupportedError(
            "this database is behind a pooler that knows no transactions: set PgBouncer's pool_mode to transaction"
        ) from error
    return True


@contextmanager
def limited(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Run the block as one transaction whose statements end within the connection's limits, where it has any.

    On SQL Server the driver's time-out for each call is the limit. Raises what Django makes of the driver's errors.
    """
    limits: dict[str, str] = connection.settings_dict.get(LIMITS, {})
    if not limits:
        yield
        return
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors, raw.transaction():
        raw.execute("SELECT set_config(key, value, true) FROM json_each_text(%s)", [json.dumps(limits)])
        yield
