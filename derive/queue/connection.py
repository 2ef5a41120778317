"""Calls of the stored procedures over a Django connection."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from derive.sql.calls import Row, call
from derive.sql.procedures import Procedure
from derive.states import JobStatus

_T = TypeVar("_T")


class QueueConnection:
    """The queue over one of Django's connections; each thread has its own connection.

    Every method may raise the errors of ``derive.errors.QueueError``.
    """

    def __init__(self, using: str = "default") -> None:
        self._using = using

    def _call(self, procedure: Procedure, arguments: Mapping[str, Any]) -> Sequence[Row]:
        return call(self._using, procedure, arguments)


def status_of(value: str | None) -> JobStatus | None:
    """Return the job state in a row, or None."""
    return None if value is None else JobStatus(value)


def given(**arguments: Any) -> dict[str, Any]:
    """Drop None values, so that the procedure's defaults apply."""
    return {name: value for name, value in arguments.items() if value is not None}


def batches_of(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of at most ``size``."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
