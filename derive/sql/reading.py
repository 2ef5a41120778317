"""Reading rows with the queue's errors: whatever the driver raises leaves as a QueueError."""

from collections.abc import Callable
from typing import TypeVar

from django.db import Error as DjangoDatabaseError
from django.db import connection

from derive.sql.faults import Meaning, queue_error, read_fault

Result = TypeVar("Result")


def reading(query: Callable[[], Result]) -> Result:
    """Run a query of the models and return its result, which must be read already (a list, a row, a number).

    Raises QueueError; after DatabaseUnavailable the next call makes a new connection.
    """
    try:
        return query()
    except DjangoDatabaseError as error:
        fault = read_fault(error)
        if fault.meaning is Meaning.LOST:
            connection.close()
        raise queue_error(fault, "reading") from error
