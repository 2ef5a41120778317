from datetime import UTC, datetime, timedelta

import pytest

from derive.errors import ErrorKind
from derive.queue import JobQueue
from derive.states import JobStatus, RunStatus
from tests.contract.scenes import (
    ACTOR,
    WORKER,
    claim_one,
    claimed,
    failure,
    in_state,
    job_of,
    moves_of,
    pass_time,
    queued,
    ref,
    run_of,
    status_of,
)


def test_an_empty_queue_gives_nothing(queue: JobQueue) -> None:
    assert queue.claim(WORKER, max_jobs=10) == []


def test_a_claim_takes_the_job_under_a_lease_as_a_new_run(queue: JobQueue) -> None:
    answer = queued(queue, priority=9, max_attempts=4, model_hint="m", evidence_ref_json='{"items": []}')
    claim = claim_one(queue, lease_seconds=90)
    job, run = job_of(answer), run_of(claim)
    assert (claim.job_id, claim.attempt, claim.attempt_count, claim.max_attempts) == (answer.job_id, 1, 1, 4)
    assert (claim.priority, claim.model_hint, claim.evidence_ref_json) == (9, "m", '{"items": []}')
    assert (claim.previous_run_id, claim.previous_error_kind, claim.previous_error) == (None, None, None)
    assert (job.status, job.locked_by, job.current_run_id) == (JobStatus.RUNNING, WORKER, claim.run_id)
    assert (run.status, run.worker_id, run.attempt, run.job_id) == (RunStatus.RUNNING, WORKER, 1, answer.job_id)
    assert job.lease_expires_utc == run.lease_until_utc == claim.lease_expires_utc
    assert claim.started_utc == claim.lease_expires_utc - timedelta(seconds=90) == run.started_utc == job.locked_utc
    assert abs(claim.started_utc - datetime.now(UTC)) < timedelta(seconds=60)
    assert moves_of(answer)[-1] == ("claimed", "NEW", "RUNNING")


def test_jobs_come_by_priority_then_by_the_time_they_became_ready_then_by_number(queue: JobQueue) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    third = queued(queue)
    fourth = queued(queue, priority=99, available_utc=long_ago)
    second = queued(queue, available_utc=long_ago)
    first = queued(queue, priority=101)
    fifth = queued(queue, priority=0)
    order = [claim.job_id for claim in queue.claim(WORKER, max_jobs=10)]
    assert order == [job.job_id for job in (first, second, third, fourth, fifth)]


def test_a_claim_takes_no_more_than_asked(queue: JobQueue) -> None:
    for _ in range(5):
        queued(queue)
    assert [len(queue.claim(WORKER, max_jobs=2)) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("status", sorted(set(JobStatus) - {JobStatus.NEW}))
def test_only_ready_jobs_are_claimed(queue: JobQueue, status: JobStatus) -> None:
    in_state(queue, status)
    assert queue.claim(WORKER, max_jobs=10) == []


def test_a_due_job_is_promoted_by_the_claim_that_takes_it(queue: JobQueue) -> None:
    job = queued(queue, available_utc=datetime.now(UTC) + timedelta(hours=1))
    assert queue.claim(WORKER) == []
    pass_time(3700)
    assert claim_one(queue).job_id == job.job_id
    assert moves_of(job) == [
        ("enqueued", None, "SCHEDULED"),
        ("promoted", "SCHEDULED", "NEW"),
        ("claimed", "NEW", "RUNNING"),
    ]


def test_promoting_makes_due_jobs_ready_and_counts_them(queue: JobQueue) -> None:
    due = [queued(queue, available_utc=datetime.now(UTC) + timedelta(minutes=1)) for _ in range(3)]
    later = queued(queue, available_utc=datetime.now(UTC) + timedelta(days=1))
    assert queue.promote() == 0
    pass_time(120)
    assert (queue.promote(max_rows=2), queue.promote(), queue.promote()) == (2, 1, 0)
    assert {status_of(job) for job in due} == {JobStatus.NEW}
    assert status_of(later) == JobStatus.SCHEDULED


def test_a_worker_for_one_model_takes_its_jobs_and_those_that_ask_for_none(queue: JobQueue) -> None:
    low_own = queued(queue, model_hint="a", priority=1)
    high_any = queued(queue, priority=200)
    queued(queue, model_hint="b", priority=300)
    high_own = queued(queue, model_hint="a", priority=250)
    low_any = queued(queue, priority=0)
    order = [claim.job_id for claim in queue.claim(WORKER, model="a", max_jobs=3)]
    assert order == [job.job_id for job in (high_own, high_any, low_own)]
    assert [claim.job_id for claim in queue.claim(WORKER, model="a", max_jobs=3)] == [low_any.job_id]


def test_a_worker_without_a_model_takes_every_job(queue: JobQueue) -> None:
    for model in ("a", "b", None):
        queued(queue, model_hint=model)
    assert len(queue.claim(WORKER, max_jobs=10)) == 3


def test_the_next_attempt_learns_of_the_one_before(queue: JobQueue) -> None:
    first = claimed(queue)
    queue.complete(failure(first, retry_after_seconds=0, error="cut short", error_kind=ErrorKind.TRUNCATED_OUTPUT))
    second = claim_one(queue)
    assert (second.job_id, second.attempt, second.attempt_count) == (first.job_id, 2, 2)
    assert (second.previous_run_id, second.previous_error_kind) == (first.run_id, "truncated_output")
    assert second.previous_error == "cut short"


def test_a_held_job_is_worked_like_any_other(queue: JobQueue) -> None:
    job = queued(queue)
    queue.set_hold([ref(job)], actor=ACTOR, hold=True)
    assert claim_one(queue).job_id == job.job_id


@pytest.mark.parametrize("model", [None, "m"])
def test_jobs_of_excepted_interrogations_are_left_for_others(queue: JobQueue, model: str | None) -> None:
    refused, quoted, other = "refused", 'a "b" \\ é', "refused_not"
    left = [queued(queue, interrogation_key=key, priority=900) for key in (refused, quoted)]
    taken = [queued(queue, interrogation_key=other), queued(queue, interrogation_key=other, model_hint=model)]
    claims = queue.claim(WORKER, max_jobs=10, model=model, except_interrogations=[quoted, refused])
    assert [claim.job_id for claim in claims] == [job.job_id for job in taken]
    assert {status_of(job) for job in left} == {JobStatus.NEW}
    assert len(queue.claim(WORKER, max_jobs=10, model=model)) == 2


@pytest.mark.parametrize("hint", [None, "m"])
@pytest.mark.parametrize("model", [None, "m"])
def test_jobs_claimed_one_by_one_come_in_the_same_order(queue: JobQueue, model: str | None, hint: str | None) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    third = queued(queue, model_hint=hint)
    second = queued(queue, model_hint=hint, available_utc=long_ago)
    fourth = queued(queue, model_hint=hint, priority=99)
    first = queued(queue, model_hint=hint, priority=101)
    order = [claim_one(queue, model=model).job_id for _ in range(4)]
    assert order == [job.job_id for job in (first, second, third, fourth)]


def test_of_a_models_own_jobs_and_those_that_ask_for_none_the_best_is_claimed_first(queue: JobQueue) -> None:
    jobs = [queued(queue, model_hint=hint, priority=priority) for priority, hint in enumerate(("m", None, "m", None))]
    order = [claim_one(queue, model="m").job_id for _ in jobs]
    assert order == [job.job_id for job in reversed(jobs)]


def test_a_models_own_jobs_of_excepted_interrogations_are_left_too(queue: JobQueue) -> None:
    queued(queue, interrogation_key="refused", model_hint="m")
    assert queue.claim(WORKER, max_jobs=10, model="m", except_interrogations=["refused"]) == []


def test_a_later_attempt_learns_of_the_last_one_before(queue: JobQueue) -> None:
    claim = claimed(queue)
    for attempt in (1, 2, 3):
        assert claim.attempt == attempt
        queue.complete(failure(claim, retry_after_seconds=0, error=f"error {attempt}", count_attempt=False))
        ended, claim = claim, claim_one(queue)
        assert (claim.previous_run_id, claim.previous_error) == (ended.run_id, f"error {attempt}")


def test_the_longest_due_is_promoted_first_and_what_is_ready_already_is_not_counted(queue: JobQueue) -> None:
    queued(queue, available_utc=datetime.now(UTC) - timedelta(days=9))
    later, sooner = (queued(queue, available_utc=datetime.now(UTC) + timedelta(minutes=n)) for n in (2, 1))
    pass_time(300)
    assert queue.promote(max_rows=1) == 1
    assert (status_of(sooner), status_of(later)) == (JobStatus.NEW, JobStatus.SCHEDULED)
