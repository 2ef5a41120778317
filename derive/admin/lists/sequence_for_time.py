"""Converts times to sequence numbers, so that a range of creation times needs no index of its own.

Rows are numbered roughly in the order of their times (at most seconds apart), so times can be searched like a sorted
list: several probes per query, and a few queries whatever the table's size. The result is at or beyond the true edge;
the walk still checks each row's time.
"""

from datetime import datetime, timedelta

from django.db import connection, models

from derive.admin.lists.keyset import bound, table_of

PROBES = 24
NEAR = 2_000
"""How many rows between the result and the true edge may be left to the walk."""
SLACK = timedelta(seconds=60)
"""How far a row's time may be out of order."""
MAX_ROUNDS = 6


class SequenceSearch:
    """Searches one table's sequence by time; caches the table's ends."""

    def __init__(self, model: type[models.Model], *, sequence: str, time: str) -> None:
        self._table = table_of(model)
        self._sequence, self._time = sequence, time
        self._ends: tuple[int, int] | None = None

    def first_since(self, moment: datetime) -> int:
        """Return a number at or before the first row since a time."""
        return self._search(moment - SLACK)[0]

    def last_before(self, moment: datetime) -> int:
        """Return a number at or after the last row before a time."""
        return self._search(moment + SLACK)[1]

    def _search(self, moment: datetime) -> tuple[int, int]:
        low, high = self._get_ends()
        for _round in range(MAX_ROUNDS):
            if high - low <= NEAR:
                break
            step = max(1, (high - low) // (PROBES + 1))
            probes = range(low + step, high, step)
            earlier = self._earlier([*probes], moment)
            low, high = (
                max([low, *(p for p, is_earlier in earlier if is_earlier)]),
                min([high, *(p for p, is_earlier in earlier if not is_earlier)]),
            )
            if low >= high:
                # Times do not ascend with the numbers: leave everything to the walk.
                return self._get_ends()
        return low, high

    def _earlier(self, probes: list[int], moment: datetime) -> list[tuple[int, bool]]:
        """Return, for each number, whether the first row at or after it is earlier than the time."""
        parts = " UNION ALL ".join(
            f"SELECT {probe} AS probe, {self._time} AS at FROM (SELECT {self._time} FROM {self._table} "  # noqa: S608 (our own constants)
            f"WHERE {self._sequence} >= {probe} ORDER BY {self._sequence} OFFSET 0 ROWS FETCH NEXT 1 ROWS ONLY) AS p{n}"
            for n, probe in enumerate(probes)
        )
        sql = f"SELECT u.probe, CASE WHEN u.at < %s THEN 1 ELSE 0 END FROM ({parts}) AS u"  # noqa: S608 (our own constants)
        with connection.cursor() as cursor:
            cursor.execute(sql, [bound(moment)])
            return [(int(probe), bool(is_earlier)) for probe, is_earlier in cursor.fetchall()]

    def _get_ends(self) -> tuple[int, int]:
        if self._ends is None:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT MIN({self._sequence}), MAX({self._sequence}) FROM {self._table}")  # noqa: S608 (our own constants)
                first, last = cursor.fetchone() or (None, None)
            self._ends = (int(first or 0), int(last or 0) + 1)
        return self._ends
