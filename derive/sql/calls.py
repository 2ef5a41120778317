"""Calls of stored procedures: rendered for the engine, committed durably, and retried where that is safe."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

from derive.errors import CommitUnanswered, DatabaseUnavailable, InsideTransaction
from derive.sql.faults import CONSEQUENCES, DATABASE_ERRORS, DriverFailed, driver_errors, queue_error, read_fault
from derive.sql.moments import as_utc, without_zone
from derive.sql.procedures import Procedure
from derive.sql.sessions import limited
from derive.sql.tables import SCHEMA, Engine, engine_of

Row = tuple[Any, ...]
_Rows = TypeVar("_Rows")

MAX_CONTENDED_TRIES = 6
FIRST_PAUSE_SECONDS = 0.02
MAX_LOST_TRIES = 2
IDLE_SECONDS = 1.0
"""A connection idle for longer is checked before use, so that an idle worker survives a server restart."""

_last_used: WeakKeyDictionary[BaseDatabaseWrapper, float] = WeakKeyDictionary()
_cursors: WeakKeyDictionary[BaseDatabaseWrapper, psycopg.Cursor[Row]] = WeakKeyDictionary()
"""One per connection: a new cursor looks up a loader for every column, which takes 40 µs per call (measured)."""


@lru_cache(maxsize=256)
def render_call(
    engine: Engine, procedure: Procedure, names: tuple[str, ...], nulls: frozenset[str] = frozenset()
) -> str:
    """Return the SQL that calls a procedure with the parameters named, in order, each as ``%s``.

    Parameters in ``nulls`` are written as NULL on SQL Server: its driver would first ask the server for the null's
    type, which some servers do not answer. Raises ValueError for a name that is not a parameter of the procedure.
    """
    unknown = set(names) - set(procedure.parameters)
    if unknown:
        raise ValueError(f"{procedure.name} has no parameter {', '.join(sorted(unknown))}")
    if engine is Engine.SQLSERVER:
        values = ", ".join(f"@{name} = {'NULL' if name in nulls else '%s'}" for name in names)
        return f"EXEC {SCHEMA}.{procedure.name} {values}"
    columns = ", ".join(procedure.columns)
    return f"SELECT {columns} FROM {SCHEMA}.{procedure.name}({', '.join(f'{name} => %s' for name in names)})"  # noqa: S608 (our own constants)


def call(using: str, procedure: Procedure, arguments: Mapping[str, Any]) -> Sequence[Row]:
    """Call a procedure in its own transaction and return its rows, with columns in the contract's order.

    Deadlocks and lock time-outs are retried a few times with jittered backoff. If the connection breaks, a repeatable
    procedure is retried once on a new one; any other raises DatabaseUnavailable.

    Raises:
        InsideTransaction: the caller has an open transaction; nothing was sent.
        QueueError: any other error, mapped by ``faults.CONSEQUENCES``; driver errors are never raised.
    """
    connection = connections[using]
    return _until_done(connection, procedure, lambda: _send(connection, procedure, arguments))


def call_as_one(
    using: str,
    procedure: Procedure,
    calls: Callable[[], Iterable[Mapping[str, Any]]],
    *,
    before_commit: Callable[[list[Sequence[Row]]], object],
) -> list[Sequence[Row]]:
    """Call a repeatable procedure several times in one transaction: all or nothing.

    An error in one call rolls back all of them. Where ``call`` would retry, all calls are retried in a new transaction
    by iterating over ``calls`` again. ``before_commit`` receives all results; an exception from it or from ``calls``
    also rolls back and is re-raised. Raises the same errors as ``call``; nothing was done then, except that after
    CommitUnanswered the outcome is unknown.
    """
    connection = connections[using]
    may_be_done = False

    def send_all() -> list[Sequence[Row]]:
        nonlocal may_be_done
        is_committing = False
        try:
            with transaction.atomic(using):
                rows = [_send(connection, procedure, arguments) for arguments in calls()]
                before_commit(rows)
                may_be_done = is_committing = True
        except DATABASE_ERRORS:
            raise
        except Exception as error:
            # Raised before the commit by the caller's own code.
            if is_committing:
                raise DriverFailed(f"the driver raised {type(error).__name__}") from error
            raise
        return rows

    try:
        return _until_done(connection, procedure, send_all)
    except DatabaseUnavailable as error:
        if may_be_done:
            raise CommitUnanswered(f"{error}; whether all was done or nothing is not known") from error
        raise


def _until_done(connection: BaseDatabaseWrapper, procedure: Procedure, act: Callable[[], _Rows]) -> _Rows:
    """Run one whole transaction, retrying it where that is safe; raises the same errors as ``call``."""
    contended = lost = 0
    while True:
        try:
            _make_ready(connection, procedure)
            rows = act()
        except DATABASE_ERRORS as error:
            fault = read_fault(error)
            consequence = CONSEQUENCES[fault.meaning]
            if consequence.drops_connection:
                drop_connection(connection)
            if consequence.is_retried == "always":
                contended += 1
                if contended < MAX_CONTENDED_TRIES:
                    pause_after(contended)
                    continue
            elif consequence.is_retried == "repeatable":
                lost += 1
                if procedure.is_repeatable and lost < MAX_LOST_TRIES:
                    continue
            raise queue_error(fault, procedure.name) from error
        else:
            _last_used[connection] = time.monotonic()
            return rows


def pause_after(tries: int) -> None:
    """Back off with jitter before retrying a contended call."""
    time.sleep(FIRST_PAUSE_SECONDS * 2**tries * random.random())  # noqa: S311 (jitter)


def _make_ready(connection: BaseDatabaseWrapper, procedure: Procedure) -> None:
    """Connect if needed; refuse a connection that is already inside a transaction."""
    if connection.in_atomic_block:
        raise InsideTransaction(f"{procedure.name}: this call is durable and cannot be part of a longer transaction")
    if connection.connection is None:
        with driver_errors():
            connection.ensure_connection()
        return
    if not connection.autocommit:
        raise InsideTransaction(f"{procedure.name}: this call is durable and needs a connection in autocommit mode")
    if engine_of(connection) is Engine.POSTGRESQL:
        raw: psycopg.Connection[Row] = connection.connection
        if raw.pgconn.transaction_status == TransactionStatus.INTRANS:
            raise InsideTransaction(f"{procedure.name}: this call is durable, and a transaction was begun by hand")
    if time.monotonic() - _last_used.get(connection, 0.0) > IDLE_SECONDS and not _is_usable(connection):
        drop_connection(connection)
        with driver_errors():
            connection.ensure_connection()


def _is_usable(connection: BaseDatabaseWrapper) -> bool:
    try:
        with driver_errors():
            return connection.is_usable()
    except DATABASE_ERRORS:
        return False


def drop_connection(connection: BaseDatabaseWrapper) -> None:
    """Close a connection that may be broken; never raises."""
    with suppress(*DATABASE_ERRORS), driver_errors():
        connection.close()
    connection.connection = None
    _cursors.pop(connection, None)


def _send(connection: BaseDatabaseWrapper, procedure: Procedure, arguments: Mapping[str, Any]) -> Sequence[Row]:
    engine = engine_of(connection)
    nulls = frozenset(name for name, value in arguments.items() if value is None)
    sql = render_call(engine, procedure, tuple(arguments), nulls if engine is Engine.SQLSERVER else frozenset())
    with driver_errors():
        if engine is Engine.SQLSERVER:
            return _send_sqlserver(connection, sql, [value for value in arguments.values() if value is not None])
        return _send_postgresql(connection, sql, tuple(arguments.values()))


def _send_postgresql(connection: BaseDatabaseWrapper, sql: str, values: tuple[Any, ...]) -> Sequence[Row]:
    """Bypass Django's cursor, which binds parameters on the client; bound on the server, a call is prepared once."""
    raw: psycopg.Connection[Row] = connection.connection
    cursor = _cursors.get(connection)
    if cursor is None or cursor.connection is not raw:
        cursor = _cursors[connection] = psycopg.Cursor(raw)
    with limited(connection):
        # Binary results: guids, times and numbers do not have to be parsed from text.
        cursor.execute(sql, values, binary=True)
        return cursor.fetchall()


def _send_sqlserver(connection: BaseDatabaseWrapper, sql: str, values: Sequence[Any]) -> Sequence[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [_as_parameter(value) for value in values])
        rows: Sequence[Row] = ()
        while True:
            if cursor.description is not None:
                rows = cursor.fetchall()
            # Errors raised after the first result only appear once the remaining results are read.
            if not cursor.nextset():
                return [tuple(_as_value(value) for value in row) for row in rows]


def _as_parameter(value: Any) -> Any:
    return without_zone(value) if isinstance(value, datetime) else value


def _as_value(value: Any) -> Any:
    return as_utc(value) if isinstance(value, datetime) else value


def as_guid(value: Any) -> UUID:
    """Return a guid from either driver; mssql-django has its driver return guids as text."""
    return value if isinstance(value, UUID) else UUID(value)
