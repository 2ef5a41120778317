"""What a dialect promises about a target's SQL. Names are checked and quoted, values are parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

Value = str | None
"""A value of a column as text: the database converts it to the column's type, or refuses it."""


@dataclass(frozen=True, slots=True)
class TargetStatement:
    """A statement and its parameters."""

    sql: str
    values: Sequence[Value] = field(default=(), repr=False)


class TargetStatements(Protocol):
    """The statements of one dialect, which wait for locks so many milliseconds; ``table`` is schema.table."""

    def __init__(self, lock_ms: int) -> None: ...

    def describe(self, table: str) -> TargetStatement:
        """Return a query for each column: name, type, whether the table itself fills it, its collation or NULL."""

    def kind_and_rights(self, table: str) -> TargetStatement:
        """Return a query for one row: whether it is a table; may select, insert, update, delete. No row: no table."""

    def unique_keys(self, table: str) -> TargetStatement:
        """Return a query for the columns of whole unique keys, as rows of key and column."""

    def why_unfit_for_key(self, kind: str, collation: str | None) -> str | None:
        """Return why a column of this type cannot tell every two subjects apart; None if it can."""

    def before(self) -> TargetStatement | None:
        """Return what is to be sent first in a transaction that writes."""

    def upserts(
        self, table: str, keys: Sequence[str], others: Sequence[str], rows: Sequence[Sequence[Value]]
    ) -> list[TargetStatement]:
        """Return statements that write rows, whose values are those of the keys, then of the others."""

    def update(
        self, table: str, column: str, value: Value, keys: Sequence[str], row: Sequence[Value]
    ) -> TargetStatement:
        """Return the statement that sets one column of the row with this key."""

    def delete(self, table: str, keys: Sequence[str], row: Sequence[Value]) -> TargetStatement:
        """Return the statement that deletes the row with this key."""
