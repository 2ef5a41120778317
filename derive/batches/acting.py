"""Operations on all jobs of a batch: one call here, transactions of at most 500 jobs each.

Said again, each goes on with what is left, so one that was interrupted, or stopped after ``seconds``, is repeated.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from django.db.models import QuerySet

from derive.batch_contracts import BatchChange
from derive.contracts import JobChange, JobRef
from derive.models import Job
from derive.queue import CHANGE_BATCH, JobQueue
from derive.sql.reading import reading
from derive.states import REQUEUEABLE, JobStatus

RETRIED = (JobStatus.FAILED, JobStatus.DEADLETTER)
"""States that a retry of a batch requeues: what failed, not what was cancelled."""


@dataclass(slots=True)
class Changes:
    """How many jobs of a batch an operation found and changed, and why others stayed as they were."""

    matched: int = 0
    changed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    is_complete: bool = True
    """Whether it came to the last job in the time it had."""

    def add(self, answers: Sequence[JobChange]) -> None:
        """Count the answers of one step."""
        self.matched += len(answers)
        self.changed += sum(answer.changed for answer in answers)
        self.refused.update(answer.why or "unchanged" for answer in answers if not answer.changed)


def cancel_batch(
    queue: JobQueue, batch_id: UUID, *, actor: str, reason: str | None = None, seconds: float | None = None
) -> tuple[BatchChange, Changes]:
    """Take no more jobs into a batch, cancel those that wait and ask running ones to stop."""
    change = queue.close_batch(batch_id, actor=actor, reason=reason)
    jobs = _unfinished(batch_id).filter(cancel_requested_utc__isnull=True)
    changes = _change(_pages(jobs), lambda refs: queue.cancel(refs, actor=actor, reason=reason), seconds)
    return change, changes


def retry_batch(
    queue: JobQueue,
    batch_id: UUID,
    *,
    actor: str,
    reason: str | None = None,
    statuses: Collection[JobStatus] = RETRIED,
    seconds: float | None = None,
) -> Changes:
    """Requeue a batch's failed and dead-lettered jobs (or those of other ended ``statuses``).

    A batch that has ended stays ended; its counts follow what becomes of these jobs.
    """
    if not set(statuses) <= REQUEUEABLE:
        raise ValueError("only ended jobs that did not succeed can be requeued")
    pages = _in_states(batch_id, statuses)
    return _change(pages, lambda refs: queue.requeue(refs, actor=actor, reason=reason), seconds)


def reprioritize_batch(
    queue: JobQueue,
    batch_id: UUID,
    *,
    actor: str,
    priority: int,
    reason: str | None = None,
    seconds: float | None = None,
) -> Changes:
    """Set the priority of a batch's unfinished jobs; higher runs first."""
    pages = _pages(_unfinished(batch_id).exclude(priority=priority))
    return _change(pages, lambda refs: queue.reprioritize(refs, actor=actor, priority=priority, reason=reason), seconds)


def _change(
    pages: Iterator[list[JobRef]], change: Callable[[list[JobRef]], list[JobChange]], seconds: float | None
) -> Changes:
    changes = Changes()
    deadline = None if seconds is None else time.monotonic() + seconds
    for refs in pages:
        if deadline is not None and time.monotonic() > deadline:
            changes.is_complete = False
            break
        changes.add(change(refs))
    return changes


def _unfinished(batch_id: UUID) -> "QuerySet[Job]":
    """Return a batch's unfinished jobs; paged by number each is met once, whatever moves it makes meanwhile."""
    return Job.objects.filter(batch_id=batch_id, finished_utc__isnull=True)


def _in_states(batch_id: UUID, statuses: Collection[JobStatus]) -> Iterator[list[JobRef]]:
    for status in sorted(statuses):
        yield from _pages(Job.objects.filter(batch_id=batch_id, status=status), expected_status=status)


def _pages(jobs: "QuerySet[Job]", expected_status: JobStatus | None = None) -> Iterator[list[JobRef]]:
    after = 0
    while True:
        query = jobs.filter(job_seq__gt=after).order_by("job_seq").values_list("job_seq", "job_id")[:CHANGE_BATCH]
        page: list[tuple[int, UUID]] = reading(partial(list, query))
        if page:
            yield [JobRef(job_id=job_id, expected_status=expected_status) for _seq, job_id in page]
        if len(page) < CHANGE_BATCH:
            return
        after = page[-1][0]
