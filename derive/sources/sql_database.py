"""Read-only access of a SQL source to its database, on connections of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from derive.errors import SourceError
from derive.sources.sql_statements import ViewColumns, describe_view, select_rows
from derive.sql.fault_codes import Meaning
from derive.sql.faults import DATABASE_ERRORS, STRAY_ERRORS, driver_errors, read_fault
from derive.sql.tables import Engine, engine_of

ROWS_AT_ONCE = 100
"""Fetched at a time: at the most 100 texts of a million characters are in memory."""
Row = tuple[Any, ...]
"""Entity, change token and address as text or None, then the texts."""

_REASONS = {
    Meaning.LOST: "the database does not answer: check that it runs and that the address is right",
    Meaning.CROWDED: "the database has no connection left",
    Meaning.TIMED_OUT: "the statement took longer than timeout_seconds: raise it, or give the view an index",
    Meaning.CONTENDED: "the locks it needs stayed taken: try again",
    Meaning.NO_DATABASE: "the database does not exist, or is not open",
    Meaning.LOGIN_REFUSED: "the database refused the login",
    Meaning.DENIED: "the login may not read the view: grant it SELECT",
}


_READ_ONLY = "25006"
"""PostgreSQL's code for a write in a read-only transaction."""
_WRITES = "it writes when it is read, and sources only read"


class SqlDatabase:
    """One database. ``connect`` returns a new connection that is not yet open."""

    def __init__(self, connect: Callable[[], BaseDatabaseWrapper], *, timeout_seconds: int) -> None:
        self._connect = connect
        self._timeout_seconds = timeout_seconds

    def stream(self, columns: ViewColumns, *, with_texts: bool) -> Iterator[Row]:
        """Yield every row in the order of its entity, in constant memory; raise SourceError."""
        with self._reading(columns.view) as connection:
            types = _types_of(connection, columns)
            statement, _ = select_rows(engine_of(connection), columns, types, with_texts=with_texts)
            yield from _rows(connection, statement)

    def stream_statement(self, where: str, statements: Mapping[Engine, str], values: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of a statement of our own; ``where`` names it in the SourceError that is raised."""
        with self._reading(where) as connection:
            yield from _rows(connection, statements[engine_of(connection)], values)

    def lookup(self, columns: ViewColumns, chunks: Iterator[Sequence[str]]) -> Iterator[list[Row]]:
        """Yield the rows of each chunk of entities, with their texts; raise SourceError."""
        with self._reading(columns.view) as connection:
            types = _types_of(connection, columns)
            for entities in chunks:
                statement, values = select_rows(
                    engine_of(connection), columns, types, with_texts=True, entities=entities
                )
                yield _fetch_all(connection, statement, values)

    @contextmanager
    def _reading(self, where: str) -> Iterator[BaseDatabaseWrapper]:
        """Give a connection in a read-only transaction."""
        connection = self._connect()
        try:
            with _faults_of(where), _read_only(connection, self._timeout_seconds):
                yield connection
        finally:
            connection.close()


def system_of_record(timeout_seconds: int) -> SqlDatabase:
    """Return the database of this process's settings."""
    return SqlDatabase(_connect_to_system_of_record, timeout_seconds=timeout_seconds)


def _connect_to_system_of_record() -> BaseDatabaseWrapper:
    return connections[DEFAULT_DB_ALIAS].copy()


@contextmanager
def _faults_of(where: str) -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS as error:
        fault = read_fault(error)
        # The server's message is left out: it may repeat values.
        reason = _WRITES if fault.code == _READ_ONLY else _REASONS.get(fault.meaning, "the database refused the query")
        raise SourceError(f"{where}: {reason} ({fault.code})") from error


@contextmanager
def _read_only(connection: BaseDatabaseWrapper, timeout_seconds: int) -> Iterator[None]:
    if engine_of(connection) is Engine.SQLSERVER:
        # It has no read-only transactions; only the SELECTs of ``sql_statements`` are sent.
        connection.settings_dict["OPTIONS"] = {
            **connection.settings_dict.get("OPTIONS", {}),
            "query_timeout": timeout_seconds,
        }
        connection.ensure_connection()
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.transaction():
        connection.connection.execute("SET TRANSACTION READ ONLY")
        for limit in ("statement_timeout", "lock_timeout"):
            connection.connection.execute("SELECT set_config(%s, %s, true)", [limit, f"{timeout_seconds}s"])
        yield


def _types_of(connection: BaseDatabaseWrapper, columns: ViewColumns) -> Mapping[str, str]:
    rows = _fetch_all(connection, *describe_view(engine_of(connection), columns.view))
    types = {str(name): str(kind) for name, kind in rows}
    if not types:
        raise SourceError(f"there is no view or table {columns.view}, or the login may not see it")
    missing = [name for name in columns.names if name not in types]
    if missing:
        raise SourceError(f"{columns.view} has no column {', '.join(missing)}: its columns are {_listed(types)}")
    return types


def _listed(names: Mapping[str, str]) -> str:
    shown = list(names)[:20]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")


def _fetch_all(connection: BaseDatabaseWrapper, statement: str, values: list[str] | list[list[str]]) -> list[Row]:
    with driver_errors(STRAY_ERRORS), connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _rows(connection: BaseDatabaseWrapper, statement: str, values: Sequence[str] = ()) -> Iterator[Row]:
    # On PostgreSQL, any other cursor fetches everything before the first row.
    is_postgresql = engine_of(connection) is Engine.POSTGRESQL
    with connection.connection.cursor(name="holocron_source") if is_postgresql else connection.cursor() as cursor:
        with driver_errors(STRAY_ERRORS):
            cursor.execute(statement, list(values) or None)
        while rows := _fetch_some(cursor):
            yield from rows


def _fetch_some(cursor: Any) -> list[Row]:
    with driver_errors(STRAY_ERRORS):
        return list(cursor.fetchmany(ROWS_AT_ONCE))
