"""Reads rows by ranges of run numbers, with bounded work per range and bounded memory.

Raises QueueError.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from django.db import Error as DjangoDatabaseError
from django.db import connection

from derive.export.columns import COLUMNS, Column, Kind, Rows
from derive.export.selection import ExportSelection
from derive.sql.faults import STRAY_ERRORS, driver_errors, queue_error, read_fault
from derive.sql.reading import read_rows
from derive.sql.tables import Engine, engine_of, quoted_table

WINDOW_RUNS = 1_000
"""Run numbers per query, matching or not: few enough that jobs and files are looked up by key, without a table scan."""
MAX_WINDOW_BYTES = 8 * 1024 * 1024
"""Limit of the answers in one query; a range above it is halved until it fits, or is one run."""
FETCH_ROWS = 1_000
_STEPS_AHEAD = 3
"""The last step of a range is empty: with one step ahead, the next query would start only when all is written."""
_NO_NUMBER = 2**63

_FROM = {
    Rows.OUTPUTS: "{run} AS r INNER JOIN {job} AS j ON r.job_id = j.job_id"
    " LEFT JOIN {artifact} AS a ON r.run_id = a.run_id AND a.artifact_type = 'parsed_output'"
    " WHERE r.status = 'SUCCEEDED' AND j.parent_job_id IS NULL",
    Rows.FACTS: "{v_admitted_fact} AS f WHERE f.run_seq IS NOT NULL",
    Rows.ALL_FACTS: "{v_entity_fact} AS f WHERE f.run_seq IS NOT NULL",
}
_NUMBER = {Rows.OUTPUTS: "r.run_seq", Rows.FACTS: "f.run_seq", Rows.ALL_FACTS: "f.run_seq"}
_ORDER = {Rows.OUTPUTS: "r.run_seq", Rows.FACTS: "f.run_seq, f.fact_index", Rows.ALL_FACTS: "f.run_seq, f.fact_index"}
_BYTES = {Engine.POSTGRESQL: "octet_length(output_json)", Engine.SQLSERVER: "DATALENGTH(output_json)"}
_TEXT_OF = {
    Kind.GUID: "{}::text",
    # The form of ``time_text``, whatever the session's time zone and date style.
    Kind.TIME: """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
}

Batch = list[tuple[Any, ...]]
_T = TypeVar("_T")


def read_range(
    selection: ExportSelection, *, after: int, through: int, ended_by: datetime
) -> Iterator[tuple[int, Batch]]:
    """Yield rows in order, each batch with the run number up to which everything has been yielded.

    Covers ``after < run_seq <= through`` and runs that ended by a given time. A run's rows may span several batches;
    only the last batch of a range advances the number.
    """
    chosen = selection.model_copy(update={"until": min(filter(None, (selection.until, ended_by)))})
    first = after
    while first < through:
        last = min(first + WINDOW_RUNS, through)
        last, is_empty = _fitting(first, last)
        if not is_empty:
            for batch in _rows(chosen, f"{_NUMBER[chosen.rows]} > {first} AND {_NUMBER[chosen.rows]} <= {last}"):
                yield first, batch
        if is_empty:
            # Skips the numbers of purged runs in one step, however many they are.
            last = min(through, _number_after(last) - 1)
        yield last, []
        first = last


def read_ahead(steps: Iterator[_T]) -> Iterator[_T]:
    """Yield the steps, read ahead on a thread with its own connection."""
    with ThreadPoolExecutor(1, thread_name_prefix="export") as reader:
        coming: deque[Future[_T | None]] = deque(reader.submit(next, steps, None) for _ in range(_STEPS_AHEAD))
        try:
            while (step := coming.popleft().result()) is not None:
                coming.append(reader.submit(next, steps, None))
                yield step
        finally:
            for future in coming:
                future.cancel()
            reader.submit(lambda: connection.close())  # noqa: PLW0108 (the proxy looks up the calling thread)


def read_jobs(rows: Rows, job_numbers: Sequence[int]) -> Iterator[Batch]:
    """Yield the rows of these jobs' succeeded runs, by run number."""
    if not job_numbers:
        return
    engine = engine_of(connection)
    found = read_rows(
        f"SELECT r.run_seq, {_BYTES[engine]} FROM {quoted_table(engine, 'run')} AS r"  # noqa: S608 (numbers, our own)
        f" INNER JOIN {quoted_table(engine, 'job')} AS j ON r.job_id = j.job_id"
        f" WHERE j.job_seq IN ({_list(job_numbers)}) AND r.status = 'SUCCEEDED' ORDER BY r.run_seq"
    )
    for numbers in _portions(found):
        yield from _rows(ExportSelection(rows=rows), f"{_NUMBER[rows]} IN ({_list(numbers)})")


def last_number() -> int:
    """Return the highest run number; 0 without runs."""
    found = read_rows(f"SELECT MAX(run_seq) FROM {quoted_table(engine_of(connection), 'run')}")  # noqa: S608 (constants)
    return int(found[0][0] or 0)


def _fitting(first: int, last: int) -> tuple[int, bool]:
    """Return the end of a range that fits in memory, and whether it is empty."""
    engine = engine_of(connection)
    while True:
        ((runs, size),) = read_rows(
            f"SELECT COUNT(*), SUM(CAST({_BYTES[engine]} AS bigint)) FROM {quoted_table(engine, 'run')}"  # noqa: S608 (our own)
            f" WHERE run_seq > {first} AND run_seq <= {last} AND status = 'SUCCEEDED'"
        )
        if int(size or 0) <= MAX_WINDOW_BYTES or last - first == 1:
            return last, not runs
        last = first + (last - first) // 2


def _number_after(number: int) -> int:
    """Return the next existing run number; beyond any range if there is none."""
    table = quoted_table(engine_of(connection), "run")
    found = read_rows(f"SELECT MIN(run_seq) FROM {table} WHERE run_seq > {number}")  # noqa: S608 (a number, our own)
    return int(found[0][0] or _NO_NUMBER)


def _portions(sized: Batch) -> Iterator[list[int]]:
    """Yield the numbers in parts whose answers fit in memory."""
    portion: list[int] = []
    size = 0
    for number, byte_count in sized:
        if portion and size + int(byte_count or 0) > MAX_WINDOW_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(number)
        size += int(byte_count or 0)
    if portion:
        yield portion


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(str(int(number)) for number in numbers)


def _rows(selection: ExportSelection, where: str) -> Iterator[Batch]:
    engine = engine_of(connection)
    names = ("run", "job", "artifact", "v_entity_fact", "v_admitted_fact")
    tables = {name: quoted_table(engine, name) for name in names}
    columns = ", ".join(_column(column, engine) for column in COLUMNS[selection.rows]).format(**tables)
    conditions, values = selection.conditions()
    sql = (
        f"SELECT {columns} FROM {_FROM[selection.rows].format(**tables)} AND {where}{conditions}"  # noqa: S608 (own)
        f" ORDER BY {_ORDER[selection.rows]}"
    )
    try:
        with driver_errors(STRAY_ERRORS), connection.cursor() as cursor:
            yield from _fetch(cursor, sql, values)
    except DjangoDatabaseError as error:
        raise queue_error(read_fault(error), "exporting") from error


def _fetch(cursor: Any, sql: str, values: Sequence[Any]) -> Iterator[Batch]:
    """Stream a query's rows: an answer with very many facts is never in memory as a whole.

    SQL Server's driver streams by default. PostgreSQL's needs its own cursor: a named one would belong to the session,
    which a pooler does not keep.
    """
    if engine_of(connection) is Engine.SQLSERVER:
        cursor.execute(sql, values)
        while batch := cursor.fetchmany(FETCH_ROWS):
            yield batch
        return
    with connection.wrap_database_errors, closing(cursor.stream(sql, values, size=FETCH_ROWS)) as rows:
        while batch := list(islice(rows, FETCH_ROWS)):
            yield batch


def _column(column: Column, engine: Engine) -> str:
    # Already as text: creating UUIDs and datetimes only to write them takes half of an export (measured).
    return _TEXT_OF.get(column.kind, "{}").format(column.sql) if engine is Engine.POSTGRESQL else column.sql
