"""What the queue's promises are tested with, on the engine that DATABASE_URL names; none is named here."""

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.urls import get_resolver

from derive.models import Job, JobEvent, Run
from derive.queue import JobQueue
from derive.states import JobStatus, RunStatus, is_legal_move
from tests.contract.babelfish import skip_on_babelfish


@pytest.fixture(autouse=True)
def skipped_where_babelfish_lacks_it(request: pytest.FixtureRequest, _django_db_marker: None) -> None:
    """Skip what is marked with ``lacks`` on a Babelfish."""
    skip_on_babelfish(request.node)


@pytest.fixture(scope="session", autouse=True)
def site_loaded() -> None:
    """Load the middleware and the pages while every app is installed: most tests here see the app ``derive`` alone."""
    WSGIHandler()
    assert get_resolver().url_patterns


@pytest.fixture
def queue(empty_queue: None) -> Iterator[JobQueue]:
    """An empty queue; after the test its history must hold together, whatever the test did."""
    yield JobQueue()
    every_history_holds_together()


def every_history_holds_together() -> None:
    """Check what must be true of all jobs at any time."""
    events_of: dict[UUID, list[JobEvent]] = defaultdict(list)
    for event in JobEvent.objects.order_by("event_seq"):
        events_of[event.job_id].append(event)
    runs_of: dict[UUID, list[Run]] = defaultdict(list)
    for run in Run.objects.order_by("attempt"):
        runs_of[run.job_id].append(run)
    jobs = list(Job.objects.all())
    for job in jobs:
        the_events_have_no_gap(job, events_of[job.job_id])
        the_runs_are_in_order(job, runs_of[job.job_id])
    # A purge leaves of a job one event, the one that tells of the purge.
    purged = {job_id for job_id, events in events_of.items() if [event.event for event in events] == ["purged"]}
    assert {job.job_id for job in jobs} | purged >= events_of.keys() | runs_of.keys()


def the_events_have_no_gap(job: Job, events: list[JobEvent]) -> None:
    before: str | None = None
    for event in events:
        assert event.from_status == before, f"{event.event} does not begin where the event before it ended"
        assert is_legal_move(JobStatus(before) if before else None, JobStatus(event.to_status))
        assert event.actor
        assert event.db_user
        before = event.to_status
    assert before == job.status, "the last event does not say where the job stands"
    assert [event.at_utc for event in events] == sorted(event.at_utc for event in events)


def the_runs_are_in_order(job: Job, runs: list[Run]) -> None:
    assert [run.attempt for run in runs] == list(range(1, len(runs) + 1))
    assert sum(run.status == RunStatus.SUCCEEDED for run in runs) == (job.status == JobStatus.SUCCEEDED)
    running = [run.run_id for run in runs if run.status == RunStatus.RUNNING]
    assert running == ([job.current_run_id] if job.status == JobStatus.RUNNING else [])
