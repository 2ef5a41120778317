"""Looks at a target's table: it must be there, have the columns and a unique key, and let this login write."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from derive.deliveries.postgresql import PostgresqlStatements
from derive.deliveries.sqlserver import SqlServerStatements
from derive.deliveries.statements import TargetStatement, TargetStatements
from derive.errors import HolocronError
from derive.sql.fault_codes import Meaning
from derive.sql.faults import DATABASE_ERRORS, STRAY_ERRORS, driver_errors, read_fault
from derive.sql.tables import Engine, engine_of
from derive.target_contracts import Target

_BOOLEAN = frozenset({"bit", "boolean"})
_STATEMENTS: Mapping[Engine, type[TargetStatements]] = {
    Engine.POSTGRESQL: PostgresqlStatements,
    Engine.SQLSERVER: SqlServerStatements,
}
LOCK_MS = 3_000
"""How long a statement waits for the target's locks."""


class TargetUnfit(HolocronError):
    """A target cannot be written now; the message says why and what to do. Deliveries wait."""


@dataclass(frozen=True, slots=True)
class TargetTable:
    """A target whose table fits. ``marks_with_time`` tells how its ``retired_column`` is written."""

    target: Target
    statements: TargetStatements
    marks_with_time: bool


def look_at(target: Target, *, lock_ms: int = LOCK_MS, using: str = "default") -> TargetTable:
    """Return the target's table; raise TargetUnfit with what it lacks."""
    connection = connections[using]
    statements = _STATEMENTS[engine_of(connection)](lock_ms)
    with target_faults(target):
        found = {str(row[0]): row for row in _rows(connection, statements.describe(target.table))}
        rights = _rows(connection, statements.kind_and_rights(target.table))
        keys: dict[int, set[str]] = {}
        for key, name in _rows(connection, statements.unique_keys(target.table)):
            keys.setdefault(key, set()).add(str(name))
    if not found or not rights:
        raise TargetUnfit(f"there is no table {target.table}, or this login may not see it: make it, or grant it USAGE")
    _check_table(target, rights[0], set(connection.introspection.django_table_names()))
    _check_columns(target, found, statements)
    if set(target.key_names) not in keys.values():
        names = ", ".join(target.key_names)
        raise TargetUnfit(f"{target.table} has no unique key of {names} alone: add a unique index of these columns")
    column = target.retired_column
    return TargetTable(target, statements, column is not None and str(found[column][1]) not in _BOOLEAN)


@contextmanager
def target_faults(target: Target) -> Iterator[None]:
    """Raise TargetUnfit for a table that is gone, locked or denied; other database errors are raised as they are."""
    try:
        with driver_errors(STRAY_ERRORS):
            yield
    except DATABASE_ERRORS as error:
        fault = read_fault(error)
        if fault.meaning is Meaning.DENIED:
            raise TargetUnfit(f"this login may not write {target.table}: {_grant(target)}") from error
        if fault.meaning is Meaning.NOT_INSTALLED:
            raise TargetUnfit(f"{target.table} is gone: make it again") from error
        if fault.code in {"55P03", "1222", "contended"}:
            raise TargetUnfit(
                f"{target.table} is locked by another transaction: its rows wait ({fault.code})"
            ) from error
        raise


def _check_table(target: Target, rights: Sequence[Any], own_tables: set[str]) -> None:
    is_table, *may = rights
    if not is_table:
        raise TargetUnfit(f"{target.table} is no table: name the table itself, not a view")
    if target.table.partition(".")[2] in own_tables:
        raise TargetUnfit(f"{target.table} is a table of Holocron: name one of your own")
    if not all(may[:3]) or (target.retired == "remove" and not may[3]):
        raise TargetUnfit(f"this login may not write {target.table}: {_grant(target)}")


def _check_columns(target: Target, found: Mapping[str, Sequence[Any]], statements: TargetStatements) -> None:
    missing = [name for name in target.names if name not in found]
    if missing:
        shown = ", ".join(list(found)[:20])
        raise TargetUnfit(f"{target.table} has no column {', '.join(missing)}: its columns are {shown}")
    for name in target.names:
        if found[name][2]:
            raise TargetUnfit(f"{target.table}: the table itself fills {name}: name another column")
    for name in target.key_names:
        if why := statements.why_unfit_for_key(str(found[name][1]), found[name][3]):
            raise TargetUnfit(f"{target.table}: the key's column {name} {why}")


def _grant(target: Target) -> str:
    delete = ", DELETE" if target.retired == "remove" else ""
    return f"grant it SELECT, INSERT, UPDATE{delete}"


def _rows(connection: BaseDatabaseWrapper, statement: TargetStatement) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, list(statement.values))
        return list(cursor.fetchall())
