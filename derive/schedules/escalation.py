"""Escalation policies: raise the priority of jobs that have waited too long, in steps and up to a limit.

The time of the last raise is stored with the job, so a policy that runs every minute raises each job once per interval.
Two policies that match one job take turns: whichever raises it first restarts the interval.
"""

from datetime import datetime, timedelta

from django.db.models import Q

from derive.contracts import AgedPlace, Ageing
from derive.deadline import Deadline
from derive.models import Job
from derive.models.schedules import EscalationPolicy
from derive.plural import plural
from derive.queue import JobQueue
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import JobStatus

COUNT_TO = 10_000


def escalate(policy: EscalationPolicy, _due_utc: datetime, deadline: Deadline) -> TaskResult:
    """Raise the jobs that have waited too long, from the highest priority below the policy's limit downwards."""
    queue, ageing, raised = JobQueue(), _ageing(policy), 0
    after: AgedPlace | None = None
    while not deadline.is_over:
        step = queue.escalate(ageing, actor=policy.actor, after=after, reason=f"escalation policy {policy.name}")
        raised += step.raised
        after = step.after
        if after is None:
            return TaskResult(TaskOutcome.DONE, _told(raised)) if raised else TaskResult(TaskOutcome.IDLE)
    return TaskResult(TaskOutcome.DONE, f"{_told(raised)}; it took too long, the others wait for the next time")


def count_aged(policy: EscalationPolicy) -> tuple[int, bool]:
    """Return how many jobs the policy would raise now (up to 10,000), and whether that is exact."""
    before = database_now() - timedelta(seconds=policy.waiting_seconds)
    jobs = Job.objects.filter(
        Q(escalated_utc__isnull=True) | Q(escalated_utc__lte=before),
        status=JobStatus.NEW.value,
        priority__lt=policy.max_priority,
        available_utc__lte=before,
    )
    if policy.interrogation_key:
        jobs = jobs.filter(interrogation_key=policy.interrogation_key)
    found = reading(jobs.order_by()[: COUNT_TO + 1].count)
    return min(found, COUNT_TO), found <= COUNT_TO


def _ageing(policy: EscalationPolicy) -> Ageing:
    return Ageing(
        waiting_seconds=policy.waiting_seconds,
        raise_by=policy.raise_by,
        max_priority=policy.max_priority,
        interrogation_key=policy.interrogation_key or None,
    )


def _told(raised: int) -> str:
    return f"{plural(raised, 'job')} raised"
