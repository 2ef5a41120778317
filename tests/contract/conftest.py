"""What the queue's promises are tested with, on the engine that DATABASE_URL names; none is named here."""

from collections.abc import Iterator

import pytest

from derive.models import Job, JobEvent, Run
from derive.queue import JobQueue
from derive.states import JobStatus, RunStatus, is_legal_move


@pytest.fixture
def queue(empty_queue: None) -> Iterator[JobQueue]:
    """An empty queue; after the test its history must hold together, whatever the test did."""
    yield JobQueue()
    every_history_holds_together()


def every_history_holds_together() -> None:
    """Check what must be true of all jobs at any time."""
    for job in Job.objects.all():
        events = list(JobEvent.objects.filter(job_id=job.job_id).order_by("event_seq"))
        before: str | None = None
        for event in events:
            assert event.from_status == before, f"{event.event} does not begin where the event before it ended"
            assert is_legal_move(JobStatus(before) if before else None, JobStatus(event.to_status))
            assert event.actor
            assert event.db_user
            before = event.to_status
        assert before == job.status, "the last event does not say where the job stands"
        assert [event.at_utc for event in events] == sorted(event.at_utc for event in events)
        runs = list(Run.objects.filter(job_id=job.job_id).order_by("attempt"))
        assert [run.attempt for run in runs] == list(range(1, len(runs) + 1))
        assert sum(run.status == RunStatus.SUCCEEDED for run in runs) == (job.status == JobStatus.SUCCEEDED)
        running = [run.run_id for run in runs if run.status == RunStatus.RUNNING]
        assert running == ([job.current_run_id] if job.status == JobStatus.RUNNING else [])
