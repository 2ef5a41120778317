"""Random histories of one connection, each step compared with the plain model of the queue.

A deeper search: ``QUEUE_MODEL_EXAMPLES=500 QUEUE_MODEL_STEPS=60 pytest tests/contract/test_queue_model.py``.
"""

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from derive.contracts import JobChange, JobRef, Outcome
from derive.errors import ErrorKind
from derive.models import Job, JobEvent, Run
from derive.queue import JobQueue
from derive.states import JobStatus, RunStatus
from tests.conftest import empty_own_tables
from tests.contract.queue_model import ModelJob, ModelQueue, ModelRun
from tests.contract.scenes import ACTOR, a_job, pass_time
from tests.contract.stories import every_count_is_right

EXAMPLES = int(os.environ.get("QUEUE_MODEL_EXAMPLES", "50"))
STEPS = int(os.environ.get("QUEUE_MODEL_STEPS", "40"))

PASSING_SECONDS = 600
# Odd multiples of half a step: what is due or expired never hangs on how long a statement took.
SPANS = st.sampled_from([300, 900])
DELAYS = st.sampled_from([0, 300, 900])
MODELS = st.sampled_from([None, "a", "b"])
PRIORITIES = st.sampled_from([50, 100, 200])
WORKERS = st.sampled_from(["worker-1", "worker-2"])
PLACES = st.integers(0, 1000)
TOLERANCE = timedelta(seconds=60)
"""How much real time one example may take, and how far two clocks may lie apart."""


class QueueAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        empty_own_tables()
        self.queue = JobQueue()
        self.model = ModelQueue()

    def job_at(self, place: int) -> ModelJob:
        jobs = list(self.model.jobs.values())
        return jobs[place % len(jobs)]

    def run_at(self, place: int) -> tuple[ModelJob, ModelRun]:
        # The newest runs first: a small place is one that may still be running.
        runs = [(job, run) for job in self.model.jobs.values() for run in job.runs]
        runs.sort(key=lambda pair: pair[1].status is not RunStatus.RUNNING)
        return runs[place % len(runs)]

    def has_jobs(self) -> bool:
        return bool(self.model.jobs)

    def has_runs(self) -> bool:
        return any(job.runs for job in self.model.jobs.values())

    @rule(
        priority=PRIORITIES,
        delay=DELAYS,
        hint=MODELS,
        key=st.sampled_from([None, None, "x", "y"]),
        max_attempts=st.integers(1, 3),
    )
    def enqueue(self, priority: int, delay: int, hint: str | None, key: str | None, max_attempts: int) -> None:
        available = self.model.now + delay
        job = ModelJob(
            uuid4(), self.model.waiting_state(available), priority, max_attempts, hint, key, available=available
        )
        given = a_job(
            job_id=job.job_id,
            priority=priority,
            available_utc=moment(delay) if delay else None,
            model_hint=hint,
            dedupe_key=key,
            max_attempts=max_attempts,
        )
        answer = self.queue.enqueue(given, actor=ACTOR)
        assert (answer.job_id, answer.is_duplicate, answer.status) == self.model.enqueue(job)

    @rule(worker_id=WORKERS, model=MODELS, max_jobs=st.integers(1, 3), lease=SPANS)
    def claim(self, worker_id: str, model: str | None, max_jobs: int, lease: int) -> None:
        self.model.promote()
        # Equal priorities go by exact times, which only the rows know; that these are right is checked after each step.
        times = {row.job_id: (row.available_utc, row.job_seq) for row in Job.objects.all()}
        best = sorted(self.model.claimable(model), key=lambda job: (-job.priority, times[job.job_id]))[:max_jobs]
        claims = self.queue.claim(worker_id, lease_seconds=lease, max_jobs=max_jobs, model=model)
        assert [claim.job_id for claim in claims] == [job.job_id for job in best]
        for claim, job in zip(claims, best, strict=True):
            previous = job.runs[-1] if job.runs else None
            assert claim.previous_run_id == (previous.run_id if previous else None)
            assert claim.previous_error_kind == (previous.error_kind if previous else None)
            self.model.claim(job, ModelRun(claim.run_id, worker_id), lease)
            assert (claim.attempt, claim.attempt_count) == (len(job.runs), job.attempt_count)

    @precondition(has_runs)
    @rule(worker_id=WORKERS, places=st.lists(PLACES, max_size=3), lease=SPANS)
    def heartbeat(self, worker_id: str, places: list[int], lease: int) -> None:
        named = list({self.run_at(place)[1].run_id for place in places})
        leases = self.queue.heartbeat(worker_id, named, lease_seconds=lease)
        assert {answer.run_id: answer.state for answer in leases} == self.model.heartbeat(worker_id, named, lease)

    @precondition(has_runs)
    @rule(
        place=PLACES,
        status=st.sampled_from([RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.FAILED, RunStatus.CANCELLED]),
        retry=st.sampled_from([None, 0, 0, 300]),
        count=st.booleans(),
    )
    def complete(self, place: int, status: RunStatus, retry: int | None, count: bool) -> None:
        job, run = self.run_at(place)
        kinds = {RunStatus.FAILED: ErrorKind.MODEL_CRASHED, RunStatus.CANCELLED: ErrorKind.CANCELLED}
        kind = kinds.get(status)
        outcome = Outcome.model_validate(
            {
                "job_id": job.job_id,
                "run_id": run.run_id,
                "status": status,
                "error_kind": kind,
                "retry_after_seconds": retry,
                "count_attempt": count,
            }
        )
        expected = self.model.complete(job, run, status, kind.value if kind else None, retry, count=count)
        for _ in range(2):
            answer = self.queue.complete(outcome)
            assert (answer.accepted, answer.final_status) == expected

    @precondition(has_runs)
    @rule(place=PLACES)
    def release(self, place: int) -> None:
        job, run = self.run_at(place)
        if run.status is RunStatus.RUNNING:
            answer = self.queue.release(run.run_id)
            assert (answer.accepted, answer.final_status) == (True, self.model.release(job))
        elif run.error_kind != "released":
            assert not self.queue.release(run.run_id).accepted

    @rule(later=st.booleans())
    def reap(self, later: bool) -> None:
        if later:
            self.time_passes()
        assert {reaped.run_id: reaped.final_status for reaped in self.queue.reap()} == self.model.reap()

    @rule()
    def promote(self) -> None:
        assert self.queue.promote() == self.model.promote()

    @rule()
    def some_time_passes(self) -> None:
        self.time_passes()

    def time_passes(self) -> None:
        pass_time(PASSING_SECONDS)
        self.model.now += PASSING_SECONDS

    def changes(self, job: ModelJob, before: JobStatus, changed: bool, answers: list[JobChange]) -> None:
        (answer,) = answers
        assert (answer.changed, answer.from_status, answer.to_status) == (changed, before, job.status)
        assert changed == (answer.why is None)

    @precondition(has_jobs)
    @rule(place=PLACES)
    def cancel(self, place: int) -> None:
        job = self.job_at(place)
        before = job.status
        self.changes(job, before, self.model.cancel(job), self.queue.cancel(refs(job), actor=ACTOR))

    @precondition(has_jobs)
    @rule(place=PLACES, delay=DELAYS)
    def requeue(self, place: int, delay: int) -> None:
        job = self.job_at(place)
        before = job.status
        answers = self.queue.requeue(refs(job), actor=ACTOR, available_utc=moment(delay) if delay else None)
        self.changes(job, before, self.model.requeue(job, delay), answers)

    @precondition(has_jobs)
    @rule(place=PLACES, delay=SPANS)
    def reschedule(self, place: int, delay: int) -> None:
        job = self.job_at(place)
        before = job.status
        answers = self.queue.reschedule(refs(job), actor=ACTOR, available_utc=moment(delay))
        self.changes(job, before, self.model.reschedule(job, delay), answers)

    @precondition(has_jobs)
    @rule(place=PLACES, priority=PRIORITIES)
    def reprioritize(self, place: int, priority: int) -> None:
        job = self.job_at(place)
        answers = self.queue.reprioritize(refs(job), actor=ACTOR, priority=priority)
        self.changes(job, job.status, self.model.reprioritize(job, priority), answers)

    @precondition(has_jobs)
    @rule(place=PLACES, hint=MODELS)
    def set_model_hint(self, place: int, hint: str | None) -> None:
        job = self.job_at(place)
        answers = self.queue.set_model_hint(refs(job), actor=ACTOR, model_hint=hint)
        self.changes(job, job.status, self.model.set_model_hint(job, hint), answers)

    @precondition(has_jobs)
    @rule(place=PLACES, hold=st.booleans())
    def set_hold(self, place: int, hold: bool) -> None:
        job = self.job_at(place)
        answers = self.queue.set_hold(refs(job), actor=ACTOR, hold=hold)
        self.changes(job, job.status, self.model.set_hold(job, hold=hold), answers)

    @precondition(has_jobs)
    @rule(place=PLACES, other=st.sampled_from(JobStatus))
    def act_on_another_state(self, place: int, other: JobStatus) -> None:
        job = self.job_at(place)
        if other is not job.status:
            answers = self.queue.cancel([JobRef(job_id=job.job_id, expected_status=other)], actor=ACTOR)
            self.changes(job, job.status, False, answers)

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        rows = {row.job_id: row for row in Job.objects.all()}
        assert rows.keys() == self.model.jobs.keys()
        for job in self.model.jobs.values():
            row = rows[job.job_id]
            assert (row.status, row.attempt_count, row.priority, row.model_hint, row.error_kind) == (
                job.status,
                job.attempt_count,
                job.priority,
                job.model_hint,
                job.error_kind,
            )
            assert (row.hold_utc is not None) == job.held
            assert (row.cancel_requested_utc is not None) == job.cancel_requested
            away = moment(0) + timedelta(seconds=job.available - self.model.now)
            assert abs(row.available_utc - away) < TOLERANCE
            runs = Run.objects.filter(job_id=job.job_id).order_by("attempt")
            assert [(run.run_id, run.status, run.counted, run.error_kind, run.worker_id) for run in runs] == [
                (run.run_id, run.status, run.counted, run.error_kind, run.worker_id) for run in job.runs
            ]
            events = JobEvent.objects.filter(job_id=job.job_id).order_by("event_seq")
            assert [(event.event, event.from_status, event.to_status) for event in events] == job.moves
        every_count_is_right()


def refs(job: ModelJob) -> list[JobRef]:
    return [JobRef(job_id=job.job_id)]


def moment(delay: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=delay)


@pytest.mark.slow
def test_every_step_does_what_the_model_says(queue: JobQueue) -> None:
    run_state_machine_as_test(
        QueueAgainstModel,
        settings=settings(
            # No shrinking: on a real database it outlasts the time limit, and the failing steps would never be shown.
            phases=[Phase.explicit, Phase.generate],
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
