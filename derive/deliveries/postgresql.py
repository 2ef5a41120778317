"""A target's statements on PostgreSQL."""

from collections.abc import Sequence

from derive.deliveries.statements import TargetStatement, TargetStatements, Value
from derive.sql.quoting import quoted_name, quoted_path
from derive.sql.tables import Engine


class PostgresqlStatements(TargetStatements):
    """As ``TargetStatements``. Values are literals without a type, which an assignment converts to the column's."""

    def __init__(self, lock_ms: int) -> None:
        self._lock_ms = lock_ms

    def describe(self, table: str) -> TargetStatement:
        """As ``TargetStatements.describe``."""
        sql = """
            SELECT attname, format_type(atttypid, NULL), attgenerated <> '' OR attidentity = 'a', NULL
            FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
            """
        return TargetStatement(sql, [_path(table)])

    def kind_and_rights(self, table: str) -> TargetStatement:
        """As ``TargetStatements.kind_and_rights``."""
        sql = """
            SELECT relkind IN ('r', 'p'), has_any_column_privilege(oid, 'SELECT'),
                has_any_column_privilege(oid, 'INSERT'), has_any_column_privilege(oid, 'UPDATE'),
                has_table_privilege(oid, 'DELETE')
            FROM pg_catalog.pg_class WHERE oid = to_regclass(%s)
            """
        return TargetStatement(sql, [_path(table)])

    def unique_keys(self, table: str) -> TargetStatement:
        """As ``TargetStatements.unique_keys``; those that ON CONFLICT can name."""
        sql = """
            SELECT i.indexrelid::bigint, a.attname
            FROM pg_catalog.pg_index AS i
            CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
            INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
            WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
            """
        return TargetStatement(sql, [_path(table)])

    def why_unfit_for_key(self, kind: str, collation: str | None) -> str | None:  # noqa: ARG002 (the protocol's)
        """As ``TargetStatements.why_unfit_for_key``."""
        return None

    def before(self) -> TargetStatement | None:
        """As ``TargetStatements.before``: limits the wait for locks in this transaction."""
        return TargetStatement("SELECT set_config('lock_timeout', %s, true)", [f"{self._lock_ms}ms"])

    def upserts(
        self, table: str, keys: Sequence[str], others: Sequence[str], rows: Sequence[Sequence[Value]]
    ) -> list[TargetStatement]:
        """As ``TargetStatements.upserts``; one statement."""
        names = ", ".join(map(_name, (*keys, *others)))
        marks = ", ".join([f"({', '.join(['%s'] * (len(keys) + len(others)))})"] * len(rows))
        changes = ", ".join(f"{_name(one)} = EXCLUDED.{_name(one)}" for one in others)
        sql = (
            f"INSERT INTO {_path(table)} ({names}) VALUES {marks} "  # noqa: S608 (checked and quoted names)
            f"ON CONFLICT ({', '.join(map(_name, keys))}) DO UPDATE SET {changes}"
        )
        return [TargetStatement(sql, [value for row in rows for value in row])] if rows else []

    def update(
        self, table: str, column: str, value: Value, keys: Sequence[str], row: Sequence[Value]
    ) -> TargetStatement:
        """As ``TargetStatements.update``."""
        sql = f"UPDATE {_path(table)} SET {_name(column)} = %s WHERE {_all_equal(keys)}"  # noqa: S608 (checked and quoted names)
        return TargetStatement(sql, [value, *row])

    def delete(self, table: str, keys: Sequence[str], row: Sequence[Value]) -> TargetStatement:
        """As ``TargetStatements.delete``."""
        return TargetStatement(f"DELETE FROM {_path(table)} WHERE {_all_equal(keys)}", row)  # noqa: S608 (checked and quoted names)


def _all_equal(keys: Sequence[str]) -> str:
    return " AND ".join(f"{_name(key)} = %s" for key in keys)


def _name(name: str) -> str:
    return quoted_name(Engine.POSTGRESQL, name)


def _path(table: str) -> str:
    return quoted_path(Engine.POSTGRESQL, table)
