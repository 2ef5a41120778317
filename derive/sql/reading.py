"""Reading rows with the queue's errors: whatever the driver raises leaves as a QueueError."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import Error as DjangoDatabaseError
from django.db import connection

from derive.sql.calls import MAX_CONTENDED_TRIES, pause_after
from derive.sql.faults import Meaning, queue_error, read_fault

Result = TypeVar("Result")


def reading(query: Callable[[], Result]) -> Result:
    """Run a query of the models and return its result, which must be read already (a list, a row, a number).

    A deadlock's victim is asked again, a few times: on SQL Server, where rows are not versioned, who reads may be one
    too. Raises QueueError; after DatabaseUnavailable the next call makes a new connection.
    """
    tries = 0
    while True:
        try:
            return query()
        except DjangoDatabaseError as error:
            fault = read_fault(error)
            tries += 1
            if fault.meaning is Meaning.CONTENDED and tries < MAX_CONTENDED_TRIES and not connection.in_atomic_block:
                pause_after(tries)
                continue
            if fault.meaning is Meaning.LOST:
                connection.close()
            raise queue_error(fault, "reading") from error


def read_rows(sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query without parameters, however often it has to be asked; raises QueueError."""

    def query() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    return reading(query)
