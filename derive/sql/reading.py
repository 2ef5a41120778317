"""Reads rows and raises every driver error as a QueueError."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import Error as DjangoDatabaseError
from django.db import connection, connections

from derive.sql.calls import MAX_CONTENDED_TRIES, drop_connection, pause_after
from derive.sql.fault_codes import Meaning
from derive.sql.faults import CONSEQUENCES, STRAY_ERRORS, driver_errors, queue_error, read_fault

Result = TypeVar("Result")


def reading(query: Callable[[], Result]) -> Result:
    """Run a query of the models and return its result, which must be fully read (a list, a row or a number).

    Deadlocks are retried a few times, because on SQL Server without row versions a reader can be the victim. Raises
    QueueError; depending on ``faults.CONSEQUENCES``, the next call opens a new connection.
    """
    tries = 0
    while True:
        try:
            with driver_errors(STRAY_ERRORS):
                return query()
        except DjangoDatabaseError as error:
            fault = read_fault(error)
            tries += 1
            if fault.meaning is Meaning.CONTENDED and tries < MAX_CONTENDED_TRIES and not connection.in_atomic_block:
                pause_after(tries)
                continue
            if CONSEQUENCES[fault.meaning].drops_connection and not connection.in_atomic_block:
                drop_connection(connections[connection.alias])
            raise queue_error(fault, "reading") from error


def read_rows(sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query without parameters, retried as needed; raises QueueError."""

    def query() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    return reading(query)
