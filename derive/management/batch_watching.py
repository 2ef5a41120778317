"""``manage.py batches watch``: follows a batch until it has ended."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from derive.batches.document import as_document
from derive.batches.finding import find_batch
from derive.batches.reading import read_figures

WATCH_SECONDS = 2.0
"""Time between two looks; workers count an open batch about as often."""


def watched(batch_id: UUID, *, sleep: Callable[[float], object] = time.sleep) -> Iterator[dict[str, Any]]:
    """Yield a batch's figures at first and whenever they changed, until it has ended. Raises QueueError.

    A paused batch is watched on: somebody may resume it. One that was purged has no more figures.
    """
    last: dict[str, Any] | None = None
    while (batch := find_batch(str(batch_id))) is not None:
        document = as_document(read_figures(batch))
        if last is None or _moving(document) != _moving(last):
            yield document
        if document["finished_utc"] is not None:
            return
        last = document
        sleep(WATCH_SECONDS)


def line_of(document: dict[str, Any]) -> str:
    """Return a line of progress."""
    failed = document["jobs"].get("FAILED", 0) + document["jobs"].get("DEADLETTER", 0)
    words = f"{document['state']}: {document['percent']} %, {document['left']:,} left"
    words += f", {failed:,} failed" if failed else ""
    left = document["seconds_left"]
    words += f", about {left['expected']:,.0f} s to go" if left and document["left"] else ""
    return f"{words}, {document['spent']['tokens']:,} tokens"


def _moving(document: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a line tells, without the estimate, which is another one each time."""
    return tuple(document[name] for name in ("state", "jobs", "left", "spent"))
