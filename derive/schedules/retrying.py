"""Retry policies: ended jobs queued anew, by what they are and why they ended."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from derive.contracts import JobRef
from derive.models import Job
from derive.queue import CHANGE_BATCH, JobQueue
from derive.schedule_models import RetryPolicy
from derive.schedules.alone import Deadline, Outcome, Told
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import REQUEUEABLE, JobStatus

RETRYABLE = tuple(sorted(status.value for status in REQUEUEABLE))
COUNT_TO = 10_000
MOST_JOBS = 5_000
"""The most that one policy queues anew at a time."""


def lines_of(text: str) -> list[str]:
    """Return the values of a list that holds one a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def count_matching(policy: RetryPolicy) -> tuple[int, bool]:
    """Return how many jobs a policy is about now, and whether that is exact: more than 10,000 are not counted."""
    now = database_now()
    statuses = [one for one in lines_of(policy.statuses) if one in RETRYABLE]
    found = reading(_matching(policy, now).filter(status__in=statuses)[: COUNT_TO + 1].count)
    return min(found, COUNT_TO), found <= COUNT_TO


def retry(policy: RetryPolicy, _due_utc: datetime, deadline: Deadline) -> Told:
    """Queue anew at most ``max_jobs`` of the policy's jobs, those that ended first."""
    most = min(policy.max_jobs, MOST_JOBS)
    refs = reading(lambda: _first_ended(policy, database_now(), most))
    queue, requeued, refused = JobQueue(), 0, 0
    for start in range(0, len(refs), CHANGE_BATCH):
        if deadline.is_over:
            break
        batch = refs[start : start + CHANGE_BATCH]
        changes = queue.requeue(batch, actor=policy.actor, reason=f"retry policy {policy.name}")
        requeued += sum(change.changed for change in changes)
        refused += sum(not change.changed for change in changes)
    return _tell(requeued, refused, left=len(refs) - requeued - refused, at_cap=len(refs) == most)


def _first_ended(policy: RetryPolicy, now: datetime, most: int) -> list[JobRef]:
    """Return the jobs that ended first: what fails again goes to the end and does not keep the others waiting."""
    order = ("finished_utc", "job_seq")
    found: list[tuple[Any, ...]] = []
    for status in lines_of(policy.statuses):
        if status in RETRYABLE:
            # State by state, since the index of what ended is in this order within one.
            jobs = _matching(policy, now).filter(status=status).order_by(*order)
            found += jobs.values_list(*order, "job_id", "status")[:most]
    return [
        JobRef.model_construct(job_id=job_id, expected_status=JobStatus(status))
        for _ended, _number, job_id, status in sorted(found)[:most]
    ]


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


def _tell(requeued: int, refused: int, *, left: int, at_cap: bool) -> Told:
    if not requeued and not refused:
        return Told(Outcome.IDLE, "no job matched")
    text = f"{requeued} requeued"
    if refused:
        text += f", {refused} refused (changed meanwhile, or their dedupe key is held by another job)"
    if left:
        text += f", {left} left for the next time: it took too long"
    elif at_cap:
        text += "; that is the most at a time, the others wait for the next"
    return Told(Outcome.DONE, text)
