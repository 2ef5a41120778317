"""Read rows with the queue's errors: whatever the driver raises becomes a QueueError."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import Error as DjangoDatabaseError
from django.db import connection, connections

from derive.sql.calls import MAX_CONTENDED_TRIES, drop_connection, pause_after
from derive.sql.fault_codes import Meaning
from derive.sql.faults import CONSEQUENCES, STRAY_ERRORS, driver_errors, queue_error, read_fault

Result = TypeVar("Result")


def reading(query: Callable[[], Result]) -> Result:
    """Run a query of the models and return its result, which must be read already (a list, a row, a number).

    A deadlock's victim is retried a few times: on SQL Server, where rows are not versioned, a reader may be one too.
    Raises QueueError; where ``faults.CONSEQUENCES`` says so the next call makes a new connection.
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
