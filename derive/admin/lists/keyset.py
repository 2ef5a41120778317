"""Keyset pagination for tables of millions of rows, with bounded work whatever the filters.

A walk descends one key (a table's sequence, or a time and the sequence). Its *arms* are ranges that an index serves in
key order, such as the seven states of one interrogation; their newest rows are merged. Conditions that no index serves
are its *rest*: they are checked on at most ``LOOK_AT`` rows, then the page says where it stopped. No count is
unbounded.

Both engines share the SQL: ``OFFSET … FETCH`` works on both, and in a derived table it is an optimisation fence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models

from derive.sql.fields import UtcField

PAGE_ROWS = 50
LOOK_AT = 10_000
"""Rows checked without an index before a page gives up: a few tens of milliseconds."""
LOOK_AT_FIRST = 1_000
COUNT_TO = 10_000
COUNT_LOOK_AT = 100_000

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Condition:
    """A condition on a row: SQL made of our own constants, with its parameters."""

    sql: str
    params: tuple[Any, ...] = ()


def equals(column: str, value: Any) -> Condition:
    """Return ``column = value``."""
    return Condition(f"{column} = %s", (value,))


def within(column: str, *, since: Any = None, until: Any = None) -> tuple[Condition, ...]:
    """Return the conditions for ``since <= column < until``, omitting bounds that are None."""
    low = (Condition(f"{column} >= %s", (bound(since),)),) if since is not None else ()
    high = (Condition(f"{column} < %s", (bound(until),)),) if until is not None else ()
    return low + high


def bound(value: Any) -> Any:
    """Convert a parameter for this engine: times as the column's type."""
    return UtcField().get_db_prep_value(value, connection) if isinstance(value, datetime) else value


def table_of(model: type[models.Model]) -> str:
    """Return a model's table name, quoted for the engine."""
    return str(model._meta.db_table)  # noqa: SLF001 (Django's own word for it)


@dataclass(frozen=True)
class Page:
    """The keys of one page, newest first, and the cursors of its neighbours (None if there are none)."""

    keys: tuple[Key, ...]
    older: str | None
    newer: str | None
    stopped: bool
    """Whether the walk stopped at its bound rather than at the end of the page or list."""

    @property
    def sequences(self) -> list[int]:
        """The rows' sequence numbers, newest first."""
        return [key[-1] for key in self.keys]


@dataclass(frozen=True)
class Walk:
    """A walk over the newest rows of ``arms`` that pass ``rest``. Without arms, nothing matches.

    Columns in ``rest`` are prefixed with the table's alias, ``t``.
    """

    model: type[models.Model]
    sequence: str
    arms: tuple[tuple[Condition, ...], ...] = ((),)
    rest: tuple[Condition, ...] = ()
    by_time: str | None = None
    may_overlap: bool = False
    """Whether a row may be in two arms, as when searching by several columns."""

    @property
    def _table(self) -> str:
        return table_of(self.model)

    @property
    def columns(self) -> tuple[str, ...]:
        """The key's columns, most significant first."""
        return (self.by_time, self.sequence) if self.by_time else (self.sequence,)

    def page(self, *, older: str | None = None, newer: str | None = None, rows: int = PAGE_ROWS) -> Page:
        """Return the page after cursor ``older``, before ``newer``, or the first one; an invalid cursor is ignored."""
        if newer and (cursor := self._read(newer)) is not None:
            return self._newer(cursor, rows)
        cursor = self._read(older) if older else None
        keys, stop = self._keys(cursor, rows + 1, down=True)
        more = self._write(keys[rows - 1]) if len(keys) > rows else self._write(stop) if stop else None
        keys = keys[:rows]
        up = self._write(keys[0] if keys else _beside(cursor, -1)) if cursor else None
        return Page(tuple(keys), older=more, newer=up, stopped=stop is not None)

    def _newer(self, cursor: Key, rows: int) -> Page:
        keys, stop = self._keys(cursor, rows + 1, down=False)
        more = self._write(keys[rows - 1]) if len(keys) > rows else self._write(stop) if stop else None
        keys = keys[:rows][::-1]
        below = self._write(keys[-1] if keys else _beside(cursor, 1))
        return Page(tuple(keys), older=below, newer=more, stopped=stop is not None)

    def batches(self, *, rows: int, start: str | None = None) -> Iterator[Page]:
        """Yield all pages; each knows where the next one starts."""
        cursor = start
        while True:
            page = self.page(older=cursor, rows=rows)
            yield page
            if page.older is None:
                return
            cursor = page.older

    def start(self) -> str:
        """Return a cursor just above the newest row, so that later rows are excluded; empty if there are no rows."""
        found = self.page(rows=1).keys
        return self._write((*found[0][:-1], found[0][-1] + 1)) if found else ""

    def count(self) -> tuple[int, bool]:
        """Return the number of matching rows, up to 10,000, and whether it is exact."""
        if not self.arms:
            return 0, True
        if not self.rest:
            inner, params = self._merged(None, COUNT_TO + 1, down=True)
            counted = _one(f"SELECT COUNT(*) FROM ({inner}) AS w", params)  # noqa: S608 (our own constants)
            return min(counted[0], COUNT_TO), counted[0] <= COUNT_TO
        inner, params = self._judged(None, COUNT_TO + 1, COUNT_LOOK_AT, down=True)
        counted = _one(f"SELECT COUNT(*) FROM ({inner}) AS w", params)  # noqa: S608 (our own constants)
        if counted[0] > COUNT_TO:
            return COUNT_TO, False
        return counted[0], self._edge(None, COUNT_LOOK_AT, down=True) is None

    def _keys(self, cursor: Key | None, rows: int, *, down: bool) -> tuple[list[Key], Key | None]:
        """Return up to this many keys, and the key at which the walk gave up, if it did."""
        if not self.arms:
            return [], None
        if not self.rest:
            return _all(*self._merged(cursor, rows, down=down)), None
        keys, edge = [], None
        # Common values appear within the first few rows; only rare ones justify checking more.
        for look_at in (min(LOOK_AT_FIRST, LOOK_AT), LOOK_AT):
            keys = _all(*self._judged(cursor, rows, look_at, down=down))
            edge = self._edge(cursor, look_at, down=down) if len(keys) < rows else None
            if edge is None:
                break
        return keys, edge

    def _merged(self, cursor: Key | None, rows: int, *, down: bool, skip: int = 0) -> tuple[str, list[Any]]:
        """Return the SQL for the first keys of all arms, merged in order."""
        columns, order = ", ".join(self.columns), _order(self.columns, down=down)
        parts, params = [], []
        for place, arm in enumerate(self.arms):
            conditions = (*arm, *self._beyond(cursor, down=down))
            where = f" WHERE {' AND '.join(one.sql for one in conditions)}" if conditions else ""
            parts.append(
                f"SELECT {columns} FROM (SELECT {columns} FROM {self._table}{where} ORDER BY {order} "  # noqa: S608 (our own constants)
                f"OFFSET 0 ROWS FETCH NEXT {rows + skip} ROWS ONLY) AS a{place}"
            )
            params += [param for one in conditions for param in one.params]
        union = (" UNION " if self.may_overlap else " UNION ALL ").join(parts)
        sql = f"SELECT {columns} FROM ({union}) AS u ORDER BY {order} OFFSET {skip} ROWS FETCH NEXT {rows} ROWS ONLY"  # noqa: S608 (our own constants)
        return sql, params

    def _judged(self, cursor: Key | None, rows: int, look_at: int, *, down: bool) -> tuple[str, list[Any]]:
        """Return the SQL for the first keys that pass the rest, among the first ``look_at``."""
        inner, params = self._merged(cursor, look_at, down=down)
        columns = [f"k.{column}" for column in self.columns]
        rest = " AND ".join(one.sql for one in self.rest)
        sql = (
            f"SELECT {', '.join(columns)} FROM ({inner}) AS k "  # noqa: S608 (our own constants)
            f"INNER JOIN {self._table} AS t ON t.{self.sequence} = k.{self.sequence} "
            f"WHERE {rest} ORDER BY {_order(columns, down=down)} OFFSET 0 ROWS FETCH NEXT {rows} ROWS ONLY"
        )
        return sql, [*params, *(param for one in self.rest for param in one.params)]

    def _edge(self, cursor: Key | None, look_at: int, *, down: bool) -> Key | None:
        """Return the last key checked, or None if there were fewer."""
        sql, params = self._merged(cursor, 1, down=down, skip=look_at - 1)
        found = _all(sql, params)
        return found[0] if found else None

    def _beyond(self, cursor: Key | None, *, down: bool) -> tuple[Condition, ...]:
        if cursor is None:
            return ()
        than = "<" if down else ">"
        if self.by_time is None:
            return (Condition(f"{self.sequence} {than} %s", cursor),)
        time, sequence = bound(cursor[0]), cursor[1]
        # The first condition alone gives the index its range: SQL Server has no row comparison.
        either = f"({self.by_time} {than} %s OR {self.sequence} {than} %s)"
        return (Condition(f"{self.by_time} {than}= %s", (time,)), Condition(either, (time, sequence)))

    def _write(self, key: Key) -> str:
        if self.by_time is None:
            return str(key[0])
        moment = key[0] if key[0].tzinfo else key[0].replace(tzinfo=UTC)
        return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S.%f}~{key[1]}"

    def _read(self, cursor: str) -> Key | None:
        time, _tilde, sequence = cursor.rpartition("~")
        if not (sequence.isascii() and sequence.isdigit() and len(sequence) <= 18) or bool(time) != bool(self.by_time):
            return None
        if not time:
            return (int(sequence),)
        try:
            return datetime.strptime(time, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC), int(sequence)
        except ValueError:
            return None


def _beside(cursor: Key, step: int) -> Key:
    """Return the key next to a cursor: the neighbour of an empty page starts with the cursor's own row."""
    return (*cursor[:-1], max(0, cursor[-1] + step))


def _order(columns: Sequence[str], *, down: bool) -> str:
    return ", ".join(f"{column} {'DESC' if down else 'ASC'}" for column in columns)


def _all(sql: str, params: Sequence[Any]) -> list[Key]:
    with connection.cursor() as cursor:
        cursor.execute(sql, list(params))
        return [tuple(row) for row in cursor.fetchall()]


def _one(sql: str, params: Sequence[Any]) -> Key:
    return _all(sql, params)[0]
