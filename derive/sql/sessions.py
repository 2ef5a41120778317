"""Prepares each new connection so that one behind a pooler works like a direct one.

Nothing is kept in a session beyond a transaction except the parameters below, which PgBouncer applies to whichever
server connection a client is given (``client_encoding``, ``DateStyle``, ``TimeZone``,
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
"""Executions before psycopg prepares a statement on the server. Never used behind a pooler, where the next call may
get another server connection that does not know the name or knows another client's."""

LIMITS = "CALL_LIMITS"
"""Key in an entry of DATABASES: PostgreSQL parameters to set for each ``limited`` block."""

_ENCODING = "UTF8"
_WANTED = {"standard_conforming_strings": "on", "DateStyle": "ISO, MDY"}
"""Scripts contain backslashes in plain strings, and the driver reads dates only in ISO format."""

# The server's ``user options`` and the login's language may differ from what is needed. With NOCOUNT, Django does not
# learn how many rows it changed; filtered indexes need NUMERIC_ROUNDABORT OFF; errors are recognised by their English
# messages. Setting the language resets the date order and first weekday that the backend set, so they are set again.
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
        NotSupportedError: the database or the pooler is unsuitable; says in one line what to do. The connection is
            closed.
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
    # The maintenance database, from which others are created, may have any encoding.
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
    """Whether there is a pooler in between, which reports a process id that is not the server's."""
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
    """Run the block as one transaction with the connection's limits, if any, applied to its statements.

    On SQL Server the limit is the driver's time-out for each call. Raises Django's database errors.
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
