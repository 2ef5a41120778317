"""A target's statements on SQL Server: an UPDATE that holds the key's range, and an INSERT where there was no row."""

from collections.abc import Sequence

from derive.deliveries.statements import TargetStatement, TargetStatements, Value
from derive.sql.quoting import quoted_name, quoted_path
from derive.sql.tables import Engine

_NARROW = frozenset({"char", "varchar", "text"})


class SqlServerStatements(TargetStatements):
    """As ``TargetStatements``. NULL is written out: the driver would first ask the server for a parameter's type."""

    def __init__(self, lock_ms: int) -> None:
        # Said in a batch, it holds for that batch.
        self._limit = f"SET LOCK_TIMEOUT {lock_ms:d}; "

    def describe(self, table: str) -> TargetStatement:
        """As ``TargetStatements.describe``."""
        sql = """
            SELECT
                c.name, TYPE_NAME(c.system_type_id),
                CASE WHEN c.is_computed = 1 OR c.is_identity = 1 OR c.system_type_id = 189 THEN 1 ELSE 0 END,
                c.collation_name
            FROM sys.columns AS c WHERE c.object_id = OBJECT_ID(%s)
            """
        return TargetStatement(sql, [_path(table)])

    def kind_and_rights(self, table: str) -> TargetStatement:
        """As ``TargetStatements.kind_and_rights``."""
        rights = ", ".join(
            f"HAS_PERMS_BY_NAME(%s, N'OBJECT', N'{right}')" for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
        )
        sql = (
            f"SELECT CASE WHEN o.type = 'U' THEN 1 ELSE 0 END, {rights} "  # noqa: S608 (constants)
            "FROM sys.objects AS o WHERE o.object_id = OBJECT_ID(%s)"
        )
        return TargetStatement(sql, [_path(table)] * 5)

    def unique_keys(self, table: str) -> TargetStatement:
        """As ``TargetStatements.unique_keys``."""
        sql = """
            SELECT i.index_id, c.name
            FROM sys.indexes AS i
            INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
            INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
            WHERE i.object_id = OBJECT_ID(%s) AND i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0
                AND k.key_ordinal > 0
            """
        return TargetStatement(sql, [_path(table)])

    def why_unfit_for_key(self, kind: str, collation: str | None) -> str | None:
        """As ``TargetStatements.why_unfit_for_key``."""
        if kind in _NARROW and "_UTF8" not in (collation or ""):
            return f"is {kind}, which cannot hold every character: make it nvarchar"
        return None

    def before(self) -> TargetStatement | None:
        """As ``TargetStatements.before``: nothing, each statement limits the wait for locks for itself."""
        return None

    def upserts(
        self, table: str, keys: Sequence[str], others: Sequence[str], rows: Sequence[Sequence[Value]]
    ) -> list[TargetStatement]:
        """As ``TargetStatements.upserts``; one for each row."""
        return [self._upsert(table, keys, others, row) for row in rows]

    def update(
        self, table: str, column: str, value: Value, keys: Sequence[str], row: Sequence[Value]
    ) -> TargetStatement:
        """As ``TargetStatements.update``."""
        sql = f"{self._limit}UPDATE {_path(table)} SET {_name(column)} = {_mark(value)} WHERE {_all_equal(keys)}"  # noqa: S608 (checked and quoted names)
        return TargetStatement(sql, _given([value, *row]))

    def delete(self, table: str, keys: Sequence[str], row: Sequence[Value]) -> TargetStatement:
        """As ``TargetStatements.delete``."""
        return TargetStatement(f"{self._limit}DELETE FROM {_path(table)} WHERE {_all_equal(keys)}", row)  # noqa: S608 (checked and quoted names)

    def _upsert(self, table: str, keys: Sequence[str], others: Sequence[str], row: Sequence[Value]) -> TargetStatement:
        key, rest = row[: len(keys)], row[len(keys) :]
        changes = ", ".join(f"{_name(name)} = {_mark(value)}" for name, value in zip(others, rest, strict=True))
        names = ", ".join(map(_name, (*keys, *others)))
        sql = (
            f"{self._limit}"  # noqa: S608 (checked and quoted names)
            f"UPDATE {_path(table)} WITH (UPDLOCK, SERIALIZABLE) SET {changes} WHERE {_all_equal(keys)}; "
            f"IF @@ROWCOUNT = 0 INSERT INTO {_path(table)} ({names}) VALUES ({', '.join(map(_mark, row))})"
        )
        return TargetStatement(sql, _given([*rest, *key, *row]))


def _mark(value: Value) -> str:
    return "NULL" if value is None else "%s"


def _given(values: Sequence[Value]) -> list[Value]:
    return [value for value in values if value is not None]


def _all_equal(keys: Sequence[str]) -> str:
    return " AND ".join(f"{_name(key)} = %s" for key in keys)


def _name(name: str) -> str:
    return quoted_name(Engine.SQLSERVER, name)


def _path(table: str) -> str:
    return quoted_path(Engine.SQLSERVER, table)
