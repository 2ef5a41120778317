from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from derive.contracts import JobChange, JobRef
from derive.models import JobEvent
from derive.queue import JobQueue
from derive.states import REQUEUEABLE, WAITING, JobStatus
from tests.contract.scenes import (
    ACTOR,
    a_job,
    claim_one,
    claimed,
    failure,
    in_state,
    job_of,
    moves_of,
    queued,
    ref,
    status_of,
)

EVERY_STATE = sorted(JobStatus)


def tomorrow() -> datetime:
    return datetime.now(UTC).replace(microsecond=123456) + timedelta(days=1)


def last_event(job: object) -> JobEvent:
    found = JobEvent.objects.filter(job_id=job.job_id).order_by("event_seq").last()  # type: ignore[attr-defined]
    assert found is not None
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("status", sorted(WAITING))
def test_a_waiting_job_is_cancelled_at_once(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    (change,) = queue.cancel([ref(job)], actor="eve", reason="not wanted")
    assert (change.job_id, change.changed) == (job.job_id, True)
    assert (change.from_status, change.to_status) == (status, JobStatus.CANCELLED)
    event = last_event(job)
    assert (event.event, event.actor, event.reason) == ("cancelled", "eve", "not wanted")
    assert job_of(job).finished_utc is not None


def test_a_running_job_is_asked_to_stop(queue: JobQueue) -> None:
    claim = claimed(queue)
    (change,) = queue.cancel([ref(claim)], actor=ACTOR)
    assert (change.changed, change.from_status, change.to_status) == (True, JobStatus.RUNNING, JobStatus.RUNNING)
    assert job_of(claim).cancel_requested_utc is not None
    assert moves_of(claim)[-1] == ("cancel_requested", "RUNNING", "RUNNING")
    (again,) = queue.cancel([ref(claim)], actor=ACTOR)
    assert (again.changed, again.why) == (False, "cancellation already requested")


@pytest.mark.parametrize("status", sorted(set(JobStatus) - WAITING - {JobStatus.RUNNING, JobStatus.SPLIT}))
def test_an_ended_job_cannot_be_cancelled(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    (change,) = queue.cancel([ref(job)], actor=ACTOR)
    assert (change.changed, status_of(job)) == (False, status)
    assert change.why


@pytest.mark.parametrize("status", sorted(REQUEUEABLE))
def test_an_ended_job_is_queued_anew_with_all_its_attempts(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    (change,) = queue.requeue([ref(job)], actor="eve", reason="model mended")
    after = job_of(job)
    assert (change.changed, change.from_status, change.to_status) == (True, status, JobStatus.NEW)
    assert (after.attempt_count, after.error_kind, after.last_error, after.finished_utc) == (0, None, None, None)
    assert after.cancel_requested_utc is None
    assert (last_event(job).event, last_event(job).reason) == ("requeued", "model mended")


def test_a_requeued_job_goes_on_numbering_its_runs(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.DEADLETTER, max_attempts=2)
    queue.requeue([ref(job)], actor=ACTOR)
    claim = claim_one(queue)
    assert (claim.attempt, claim.attempt_count) == (3, 1)


def test_a_job_can_be_requeued_for_later(queue: JobQueue) -> None:
    job, later = in_state(queue, JobStatus.FAILED), tomorrow()
    (change,) = queue.requeue([ref(job)], actor=ACTOR, available_utc=later)
    assert (change.to_status, job_of(job).available_utc) == (JobStatus.SCHEDULED, later)


@pytest.mark.parametrize("status", sorted(set(JobStatus) - REQUEUEABLE))
def test_a_job_that_lives_or_succeeded_cannot_be_requeued(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    (change,) = queue.requeue([ref(job)], actor=ACTOR)
    assert (change.changed, status_of(job)) == (False, status)
    assert change.why


@pytest.mark.parametrize("status", EVERY_STATE)
def test_the_priority_changes_in_every_state_but_succeeded(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    (change,) = queue.reprioritize([ref(job)], actor=ACTOR, priority=7)
    assert change.changed == (status != JobStatus.SUCCEEDED)
    assert (job_of(job).priority == 7) == change.changed
    assert status_of(job) == status
    if change.changed:
        assert moves_of(job)[-1] == ("reprioritized", status, status)
        (again,) = queue.reprioritize([ref(job)], actor=ACTOR, priority=7)
        assert not again.changed
        assert again.why
        assert again.why.startswith("already")


@pytest.mark.parametrize("status", EVERY_STATE)
def test_the_model_changes_in_every_state_but_succeeded(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status, model_hint="a")
    (change,) = queue.set_model_hint([ref(job)], actor=ACTOR, model_hint="b")
    assert change.changed == (status != JobStatus.SUCCEEDED)
    assert job_of(job).model_hint == ("b" if change.changed else "a")
    if change.changed:
        assert moves_of(job)[-1] == ("model_changed", status, status)


def test_a_job_can_be_left_to_the_workers_own_model_again(queue: JobQueue) -> None:
    job = queued(queue, model_hint="a")
    (change,) = queue.set_model_hint([ref(job)], actor=ACTOR, model_hint=None)
    assert (change.changed, job_of(job).model_hint) == (True, None)
    (again,) = queue.set_model_hint([ref(job)], actor=ACTOR, model_hint=None)
    assert not again.changed


@pytest.mark.parametrize("status", EVERY_STATE)
def test_a_job_can_be_held_in_every_state(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    (change,) = queue.set_hold([ref(job)], actor=ACTOR, hold=True)
    assert change.changed
    assert job_of(job).hold_utc is not None
    assert not queue.set_hold([ref(job)], actor=ACTOR, hold=True)[0].changed
    assert queue.set_hold([ref(job)], actor=ACTOR, hold=False)[0].changed
    assert job_of(job).hold_utc is None
    assert [move[0] for move in moves_of(job)[-2:]] == ["held", "unheld"]


def test_a_waiting_job_is_put_off_and_brought_forward(queue: JobQueue) -> None:
    job, later = queued(queue), tomorrow()
    (change,) = queue.reschedule([ref(job)], actor=ACTOR, available_utc=later)
    assert (change.from_status, change.to_status) == (JobStatus.NEW, JobStatus.SCHEDULED)
    assert job_of(job).available_utc == later
    (change,) = queue.reschedule([ref(job)], actor=ACTOR, available_utc=later + timedelta(days=1))
    assert (change.from_status, change.to_status) == (JobStatus.SCHEDULED, JobStatus.SCHEDULED)
    (change,) = queue.reschedule([ref(job)], actor=ACTOR, available_utc=later - timedelta(days=3))
    assert (change.from_status, change.to_status) == (JobStatus.SCHEDULED, JobStatus.NEW)
    assert [move[0] for move in moves_of(job)[1:]] == ["rescheduled"] * 3


@pytest.mark.parametrize("status", sorted(set(JobStatus) - WAITING - {JobStatus.SPLIT}))
def test_a_job_that_does_not_wait_cannot_be_rescheduled(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    (change,) = queue.reschedule([ref(job)], actor=ACTOR, available_utc=tomorrow())
    assert (change.changed, status_of(job)) == (False, status)


def test_a_job_that_is_no_longer_in_the_expected_state_is_left_alone(queue: JobQueue) -> None:
    job = queued(queue)
    for change in (
        queue.cancel([ref(job, JobStatus.FAILED)], actor=ACTOR)[0],
        queue.requeue([ref(job, JobStatus.FAILED)], actor=ACTOR)[0],
        queue.reprioritize([ref(job, JobStatus.FAILED)], actor=ACTOR, priority=1)[0],
        queue.reschedule([ref(job, JobStatus.FAILED)], actor=ACTOR, available_utc=tomorrow())[0],
        queue.set_model_hint([ref(job, JobStatus.FAILED)], actor=ACTOR, model_hint="b")[0],
        queue.set_hold([ref(job, JobStatus.FAILED)], actor=ACTOR, hold=True)[0],
    ):
        assert not change.changed
        assert change.why
        assert "NEW" in change.why
    assert len(moves_of(job)) == 1


def test_a_job_in_the_expected_state_is_changed(queue: JobQueue) -> None:
    job = queued(queue)
    assert queue.cancel([ref(job, JobStatus.NEW)], actor=ACTOR)[0].changed


def test_an_unknown_job_is_answered_as_such(queue: JobQueue) -> None:
    unknown = uuid4()
    (change,) = queue.cancel([JobRef(job_id=unknown)], actor=ACTOR)
    assert change == JobChange(job_id=unknown, changed=False, from_status=None, to_status=None, why="no such job")


def test_every_job_named_is_answered_in_batches_too(queue: JobQueue) -> None:
    answers = queue.enqueue_many([a_job() for _ in range(1_203)], actor=ACTOR)
    changes = queue.reprioritize([ref(answer) for answer in answers], actor=ACTOR, priority=1)
    assert len(changes) == 1_203
    assert all(change.changed for change in changes)
    assert {change.job_id for change in changes} == {answer.job_id for answer in answers}


def test_a_reprioritized_job_is_claimed_in_its_new_place(queue: JobQueue) -> None:
    queued(queue)
    second = queued(queue)
    queue.reprioritize([ref(second)], actor=ACTOR, priority=101)
    assert claim_one(queue).job_id == second.job_id


def test_a_requeued_job_may_succeed(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.complete(failure(claim))
    queue.requeue([ref(claim)], actor=ACTOR)
    assert claim_one(queue).previous_run_id == claim.run_id


CHANGES: dict[str, Callable[[JobQueue, list[JobRef]], list[JobChange]]] = {
    "cancel": lambda queue, jobs: queue.cancel(jobs, actor=ACTOR),
    "requeue": lambda queue, jobs: queue.requeue(jobs, actor=ACTOR),
    "reprioritize": lambda queue, jobs: queue.reprioritize(jobs, actor=ACTOR, priority=1),
    "reschedule": lambda queue, jobs: queue.reschedule(jobs, actor=ACTOR, available_utc=tomorrow()),
    "set_model_hint": lambda queue, jobs: queue.set_model_hint(jobs, actor=ACTOR, model_hint="b"),
    "set_hold": lambda queue, jobs: queue.set_hold(jobs, actor=ACTOR, hold=True),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_changes_are_answered_in_the_order_named(queue: JobQueue, name: str) -> None:
    jobs = [queued(queue, job_id=UUID(int=n)) for n in (4, 1, 6, 2, 5, 3)]
    if name == "requeue":
        queue.cancel([ref(job) for job in jobs], actor=ACTOR)
    named = [jobs[n].job_id for n in (2, 5, 0, 4, 1, 3)]
    before = JobEvent.objects.order_by("event_seq").last()
    assert before is not None
    changes = CHANGES[name](queue, [JobRef(job_id=job_id) for job_id in named])
    assert [(change.job_id, change.changed) for change in changes] == [(job_id, True) for job_id in named]
    if name != "requeue":  # it takes dedupe keys in their order, and writes each event with its change
        events = JobEvent.objects.filter(event_seq__gt=before.event_seq).order_by("event_seq")
        assert [event.job_id for event in events] == named


def test_a_job_that_was_cancelled_is_said_to_be_so(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.CANCELLED)
    assert [change.why for change in queue.cancel([ref(job)], actor=ACTOR)] == ["already CANCELLED"]
