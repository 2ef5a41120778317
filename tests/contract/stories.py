"""What the rows must tell together, read from SQL alone."""

from collections import Counter, defaultdict
from itertools import pairwise
from uuid import UUID

from derive.models import Job, JobEvent, Run
from derive.states import HOLDS_DEDUPE_KEY


def every_count_is_right() -> None:
    """Check attempt_count against the runs since the last requeue, and that no dedupe key has two holders."""
    counted = {run.run_id: run.counted for run in Run.objects.all()}
    since: dict[UUID, list[UUID]] = defaultdict(list)
    for event in JobEvent.objects.order_by("event_seq"):
        if event.event == "requeued":
            since[event.job_id].clear()
        elif event.event == "claimed":
            since[event.job_id].append(event.run_id)
    jobs = list(Job.objects.all())
    for job in jobs:
        assert job.attempt_count == sum(counted[run_id] for run_id in since[job.job_id])
        assert job.attempt_count <= job.max_attempts
    holders = Counter(
        (job.interrogation_key, job.dedupe_key) for job in jobs if job.dedupe_key and job.status in HOLDS_DEDUPE_KEY
    )
    assert all(count == 1 for count in holders.values()), holders


def no_runs_of_a_job_overlap() -> None:
    """Check that each run of a job began when the one before it had ended."""
    runs_of: dict[UUID, list[Run]] = defaultdict(list)
    for run in Run.objects.order_by("attempt"):
        runs_of[run.job_id].append(run)
    for runs in runs_of.values():
        for before, after in pairwise(runs):
            assert before.completed_utc is not None
            assert before.completed_utc <= after.started_utc
