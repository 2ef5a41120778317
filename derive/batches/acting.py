"""Operations on all jobs of a batch: one call here, transactions of at most 500 jobs each.

Said again, each goes on with what is left, so one that was interrupted is repeated.
"""

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

    def add(self, answers: Sequence[JobChange]) -> None:
        """Count the answers of one step."""
        self.matched += len(answers)
        self.changed += sum(answer.changed for answer in answers)
        self.refused.update(answer.why or "unchanged" for answer in answers if not answer.changed)


def cancel_batch(
    queue: JobQueue, batch_id: UUID, *, actor: str, reason: str | None = None
) -> tuple[BatchChange, Changes]:
    """Take no more jobs into a batch, cancel those that wait and ask running ones to stop."""
    change = queue.close_batch(batch_id, actor=actor, reason=reason)
    changes = _change(_unfinished(batch_id), lambda refs: queue.cancel(refs, actor=actor, reason=reason))
    return change, changes


def retry_batch(
    queue: JobQueue,
    batch_id: UUID,
    *,
    actor: str,
    reason: str | None = None,
    statuses: Collection[JobStatus] = RETRIED,
) -> Changes:
    """Requeue a batch's failed and dead-lettered jobs (or those of other ended ``statuses``).

    A batch that has ended stays ended; its counts follow what becomes of these jobs.
    """
    if not set(statuses) <= REQUEUEABLE:
        raise ValueError("only ended jobs that did not succeed can be requeued")
    return _change(_in_states(batch_id, statuses), lambda refs: queue.requeue(refs, actor=actor, reason=reason))


def reprioritize_batch(
    queue: JobQueue, batch_id: UUID, *, actor: str, priority: int, reason: str | None = None
) -> Changes:
    """Set the priority of a batch's unfinished jobs; higher runs first."""
    return _change(
        _unfinished(batch_id), lambda refs: queue.reprioritize(refs, actor=actor, priority=priority, reason=reason)
    )


def _change(pages: Iterator[list[JobRef]], change: Callable[[list[JobRef]], list[JobChange]]) -> Changes:
    changes = Changes()
    for refs in pages:
        changes.add(change(refs))
    return changes


def _unfinished(batch_id: UUID) -> Iterator[list[JobRef]]:
    """Yield a batch's unfinished jobs by number; each once, whatever moves it makes meanwhile."""
    return _pages(Job.objects.filter(batch_id=batch_id, finished_utc__isnull=True))


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
