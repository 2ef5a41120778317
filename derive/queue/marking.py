"""One step of bringing a pause or resume to a batch's jobs, for operators and workers alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from derive.batch_contracts import BatchMarked
from derive.sql import procedures
from derive.sql.calls import Row
from derive.sql.procedures import Procedure


def mark_step(call: Callable[[Procedure, Mapping[str, Any]], Sequence[Row]], batch_id: UUID) -> BatchMarked:
    """Take the next step, of 500 jobs at most. Repeatable: how far it has come is kept with the batch."""
    marked, is_done = call(procedures.MARK_BATCH_JOBS, {"batch_id": batch_id})[0]
    return BatchMarked(marked=int(marked), is_done=bool(is_done))
