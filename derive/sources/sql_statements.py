"""The statements of a SQL source. Names are checked and quoted, values are parameters; nothing else is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from derive.evidence.references import MAX_TEXT_CHARACTERS
from derive.sources.contract import MAX_ENTITY_ID_CHARACTERS
from derive.sources.row_values import MAX_ADDRESS_CHARACTERS
from derive.sql.quoting import quoted_name, quoted_path
from derive.sql.tables import Engine

_MAX_TOKEN_CHARACTERS = 400
_BINARY = frozenset({"timestamp", "binary", "varbinary"})
"""SQL Server's types that a conversion to text would garble; ``timestamp`` is the old name of ``rowversion``."""
_TIMES = frozenset({"date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset"})


@dataclass(frozen=True, slots=True)
class ViewColumns:
    """The view, and the columns that a source reads of it."""

    view: str
    entity: str
    texts: tuple[str, ...]
    uri: str | None
    change_token: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that must exist."""
        return (self.entity, *self.texts, *(one for one in (self.uri, self.change_token) if one is not None))


def describe_view(engine: Engine, view: str) -> tuple[str, list[str]]:
    """Return the statement for the view's column names and types, and its parameters; no rows if there is no view."""
    statements = {
        Engine.SQLSERVER: "SELECT name, TYPE_NAME(system_type_id) FROM sys.columns WHERE object_id = OBJECT_ID(%s)",
        Engine.POSTGRESQL: """
            SELECT attname, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute
            WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
            """,
    }
    return statements[engine], [quoted_path(engine, view)]


def select_rows(
    engine: Engine, columns: ViewColumns, types: Mapping[str, str], *, with_texts: bool, entities: Sequence[str] = ()
) -> tuple[str, list[str] | list[list[str]]]:
    """Return the statement for entity, change token, address and texts, and its parameters.

    Each value is text, at most one character longer than its limit. All rows in the order of their entities, or the
    rows of the given entities.
    """
    entity = quoted_name(engine, columns.entity)
    selected = [
        _text(engine, entity, types[columns.entity], MAX_ENTITY_ID_CHARACTERS),
        _optional(engine, columns.change_token, types, _MAX_TOKEN_CHARACTERS),
        _optional(engine, columns.uri, types, MAX_ADDRESS_CHARACTERS),
        *(_optional(engine, text, types, MAX_TEXT_CHARACTERS) for text in columns.texts if with_texts),
    ]
    view = quoted_path(engine, columns.view)
    statement = f"SELECT {', '.join(selected)} FROM {view}"  # noqa: S608 (checked and quoted names)
    if not entities:
        return f"{statement} ORDER BY {entity}", []
    if engine is Engine.SQLSERVER:
        return f"{statement} WHERE {entity} IN ({', '.join(['%s'] * len(entities))})", list(entities)
    return f"{statement} WHERE {entity} = ANY(CAST(%s AS {types[columns.entity]}[]))", [list(entities)]


def _optional(engine: Engine, column: str | None, types: Mapping[str, str], limit: int) -> str:
    return "NULL" if column is None else _text(engine, quoted_name(engine, column), types[column], limit)


def _text(engine: Engine, quoted: str, kind: str, limit: int) -> str:
    if engine is Engine.POSTGRESQL:
        text = f"CAST({quoted} AS text)"
        # A text of so few bytes need not be counted by characters, nor a long one be read to know that it is long.
        return f"CASE WHEN octet_length({text}) <= {limit} THEN {text} ELSE LEFT({text}, {limit + 1}) END"
    if kind in _BINARY:
        return f"CONVERT(nvarchar(max), CAST({quoted} AS varbinary({_MAX_TOKEN_CHARACTERS // 2})), 1)"
    if kind in _TIMES:
        return f"CONVERT(nvarchar(100), {quoted}, 121)"
    return f"SUBSTRING(CAST({quoted} AS nvarchar(max)), 1, {limit + 1})"
