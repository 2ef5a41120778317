"""Finds the batch that somebody names, by its id or by its name."""

from functools import partial
from uuid import UUID

from derive.models import Batch
from derive.sql.reading import reading


def find_batch(named: str) -> Batch | None:
    """Return the batch with this id, or the newest with this name (which is the one that has not ended, if any).

    None if there is none. Raises QueueError.
    """
    try:
        batches = Batch.objects.filter(batch_id=UUID(named))
    except ValueError:
        batches = Batch.objects.filter(name=named)
    return next(iter(reading(partial(list, batches.order_by("-batch_seq")[:1]))), None)
