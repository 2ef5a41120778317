"""Retry policies: requeue ended jobs by state and error, a limited number of times.

The job's own history records how often a policy requeued it, under the policy's name; no other state is needed. A job
that always fails the same way is eventually left alone, and reported.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet

from derive.contracts import JobRef
from derive.deadline import Deadline
from derive.models import Job, JobEvent
from derive.models.schedules import RetryPolicy
from derive.queue import CHANGE_BATCH, JobQueue
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import REQUEUEABLE, JobStatus

RETRYABLE = tuple(sorted(status.value for status in REQUEUEABLE))
COUNT_TO = 10_000
MOST_JOBS = 5_000
"""The most jobs that one policy requeues per run."""
MOST_REQUEUES = 1_000
PAGE = 1_000
"""Jobs read at a time with their events; a SQL Server statement takes at most 2,100 parameters."""


def lines_of(text: str) -> list[str]:
    """Return the values of a field with one per line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


class _Match(NamedTuple):
    """A job that a policy matches, and how often the policy has requeued it."""

    finished_utc: datetime
    job_seq: int
    job_id: UUID
    status: str
    requeues: int


@dataclass(frozen=True)
class RetryPreview:
    """What a policy would do now: the jobs to requeue, and those left alone at their limit."""

    ready: int
    exhausted: int
    is_exact: bool
    """Whether these are all: at most 10,000 are examined."""


def preview_retries(policy: RetryPolicy) -> RetryPreview:
    """Return what the policy would do now; raise QueueError."""
    ready = exhausted = 0
    for match in _matches(policy, database_now()):
        if ready + exhausted == COUNT_TO:
            return RetryPreview(ready, exhausted, is_exact=False)
        is_exhausted = match.requeues >= policy.max_requeues
        exhausted += is_exhausted
        ready += not is_exhausted
    return RetryPreview(ready, exhausted, is_exact=True)


@dataclass
class _Progress:
    """A policy's results so far."""

    requeued: int = 0
    refused: int = 0
    exhausted: int = 0
    is_at_cap: bool = False
    is_out_of_time: bool = False


def retry(policy: RetryPolicy, _due_utc: datetime, deadline: Deadline) -> TaskResult:
    """Requeue at most ``max_jobs`` of the policy's jobs, earliest ended first."""
    most, done = min(policy.max_jobs, MOST_JOBS), _Progress()
    batch: list[JobRef] = []
    taken = 0
    for match in _matches(policy, database_now()):
        if deadline.is_over:
            done.is_out_of_time = True
            break
        if match.requeues >= policy.max_requeues:
            done.exhausted += 1
            continue
        if taken == most:
            done.is_at_cap = True
            break
        taken += 1
        batch.append(JobRef.model_construct(job_id=match.job_id, expected_status=JobStatus(match.status)))
        if len(batch) == CHANGE_BATCH:
            _requeue(policy, batch, done)
            batch = []
    if batch:
        _requeue(policy, batch, done)
    return _result_of(policy, done)


def _requeue(policy: RetryPolicy, batch: list[JobRef], done: _Progress) -> None:
    changes = JobQueue().requeue(batch, actor=policy.actor, reason=f"retry policy {policy.name}")
    done.requeued += sum(change.changed for change in changes)
    done.refused += sum(not change.changed for change in changes)


def _matches(policy: RetryPolicy, now: datetime) -> Iterator[_Match]:
    """Yield the policy's jobs, earliest ended first, so that repeated failures never block the others."""
    # One state at a time: within a state, the index has this order.
    statuses = [status for status in lines_of(policy.statuses) if status in RETRYABLE]
    return merge(*(_of_status(policy, now, status) for status in statuses))


def _of_status(policy: RetryPolicy, now: datetime, status: str) -> Iterator[_Match]:
    order = ("finished_utc", "job_seq")
    jobs = _matching(policy, now).filter(status=status).order_by(*order).values_list(*order, "job_id", "status")
    rest = jobs
    while page := reading(lambda rest=rest: list(rest[:PAGE])):  # type: ignore[misc]  # bound early
        requeues = _requeues(policy, [row[2] for row in page])
        for ended_utc, number, job_id, its_status in page:
            yield _Match(ended_utc, number, job_id, its_status, requeues[job_id])
        if len(page) < PAGE:
            return
        finished_utc, job_seq, *_ = page[-1]
        rest = jobs.filter(Q(finished_utc__gt=finished_utc) | Q(job_seq__gt=job_seq), finished_utc__gte=finished_utc)


def _requeues(policy: RetryPolicy, job_ids: list[UUID]) -> Counter[UUID]:
    """Return how often the policy has requeued each of these jobs."""
    events = JobEvent.objects.filter(job_id__in=job_ids, event="requeued", actor=policy.actor)
    return Counter(reading(lambda: list(events.values_list("job_id", flat=True))))


def _matching(policy: RetryPolicy, now: datetime) -> QuerySet[Any]:
    """Return the policy's jobs, in whatever state."""
    jobs = Job.objects.filter(
        finished_utc__lte=now - timedelta(minutes=policy.min_age_minutes),
        finished_utc__gte=now - timedelta(days=policy.max_age_days),
    )
    if kinds := lines_of(policy.error_kinds):
        jobs = jobs.filter(error_kind__in=kinds)
    if keys := lines_of(policy.interrogation_keys):
        jobs = jobs.filter(interrogation_key__in=keys)
    return jobs


def _result_of(policy: RetryPolicy, done: _Progress) -> TaskResult:
    text = f"{done.requeued} requeued"
    if done.refused:
        text += f", {done.refused} refused (changed meanwhile, or their dedupe key is held by another job)"
    if done.exhausted:
        text += f", {done.exhausted} left alone: reached the limit ({policy.max_requeues} by this policy)"
    if done.is_out_of_time:
        return TaskResult(TaskOutcome.DONE, f"{text}; out of time, the rest wait for the next run")
    if done.is_at_cap:
        return TaskResult(TaskOutcome.DONE, f"{text}; maximum per run reached, the rest wait for the next run")
    if done.requeued or done.refused:
        return TaskResult(TaskOutcome.DONE, text)
    return TaskResult(TaskOutcome.SKIPPED, text) if done.exhausted else TaskResult(TaskOutcome.IDLE, "no job matched")
