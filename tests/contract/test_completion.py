from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from derive.contracts import Outcome, RunFacts
from derive.errors import BadArgument, ErrorKind
from derive.models import Artifact, JobEvent
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import JobStatus, RunStatus
from tests.contract.scenes import (
    ACTOR,
    WORKER,
    an_artifact,
    cancelled,
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
    said,
    status_of,
    success,
)

FACTS = RunFacts(
    ollama_base_url="http://127.0.0.1:11434",
    model_name="llama3.2",
    model_tag="latest",
    model_digest="cd" * 32,
    options_json='{"seed": 0}',
    metrics_json='{"total_duration": 123456789012}',
    prompt_tokens=11,
    output_tokens=22,
    total_ms=33,
    interrogation_version="1",
    definition_sha256="01" * 32,
    evidence_sha256="23" * 32,
    output_json='{"facts": [{"value": "ä€🚀"}]}',
    trace_id="ef" * 16,
)


def test_success_ends_job_and_run_and_keeps_facts_and_artifacts(queue: JobQueue) -> None:
    claim = claimed(queue)
    artifacts = (an_artifact("prompt_text"), an_artifact("manifest"))
    answer = queue.complete(success(claim, run=FACTS, artifacts=artifacts))
    job, run = job_of(claim), run_of(claim)
    assert (answer.accepted, answer.final_status, answer.available_utc) == (True, JobStatus.SUCCEEDED, None)
    assert (job.status, run.status, run.counted) == (JobStatus.SUCCEEDED, RunStatus.SUCCEEDED, True)
    assert (job.locked_by, job.lease_expires_utc, job.current_run_id) == (None, None, None)
    assert job.finished_utc == run.completed_utc
    for name, value in FACTS.model_dump().items():
        assert getattr(run, name) == value, name
    stored = {row.artifact_type: row for row in Artifact.objects.filter(run_id=claim.run_id)}
    for artifact in artifacts:
        row = stored[artifact.artifact_type]
        for name, value in artifact.model_dump().items():
            assert getattr(row, name) == value, name
    assert moves_of(claim)[-1] == ("completed", "RUNNING", "SUCCEEDED")


def test_a_failure_without_a_retry_ends_the_job(queue: JobQueue) -> None:
    claim = claimed(queue)
    outcome = failure(claim, error="no such key", error_kind=ErrorKind.INVALID_INPUT, run=FACTS)
    answer = queue.complete(outcome)
    job, run = job_of(claim), run_of(claim)
    assert (answer.accepted, answer.final_status) == (True, JobStatus.FAILED)
    assert (run.status, run.error, run.error_kind, run.model_name) == (
        "FAILED",
        "no such key",
        "invalid_input",
        "llama3.2",
    )
    assert (job.status, job.last_error, job.error_kind) == ("FAILED", "no such key", "invalid_input")
    assert job.finished_utc is not None
    assert moves_of(claim)[-1] == ("completed", "RUNNING", "FAILED")


def test_a_retry_later_waits_out_its_delay(queue: JobQueue) -> None:
    claim = claimed(queue)
    answer = queue.complete(failure(claim, retry_after_seconds=60))
    assert answer.final_status == JobStatus.SCHEDULED
    assert answer.available_utc is not None
    assert answer.available_utc == job_of(claim).available_utc == run_of(claim).completed_utc + timedelta(seconds=60)
    assert moves_of(claim)[-1] == ("retried", "RUNNING", "SCHEDULED")
    assert queue.claim(WORKER) == []
    pass_time(61)
    assert claim_one(queue).attempt == 2


def test_an_immediate_retry_keeps_the_jobs_place_in_the_queue(queue: JobQueue) -> None:
    claim = claimed(queue)
    queued(queue)
    answer = queue.complete(failure(claim, retry_after_seconds=0))
    assert answer.final_status == JobStatus.NEW
    assert moves_of(claim)[-1] == ("retried", "RUNNING", "NEW")
    assert claim_one(queue).job_id == claim.job_id


def test_when_the_attempts_are_used_up_a_retry_becomes_a_dead_letter(queue: JobQueue) -> None:
    first = claimed(queue, max_attempts=2)
    queue.complete(failure(first, retry_after_seconds=0))
    second = claim_one(queue)
    assert second.is_last_attempt
    answer = queue.complete(failure(second, retry_after_seconds=0))
    assert (answer.final_status, status_of(first)) == (JobStatus.DEADLETTER, JobStatus.DEADLETTER)
    assert moves_of(first)[-1] == ("dead_lettered", "RUNNING", "DEADLETTER")
    assert job_of(first).finished_utc is not None


def test_an_uncounted_failure_gives_its_attempt_back(queue: JobQueue) -> None:
    first = claimed(queue, max_attempts=1)
    outcome = failure(first, retry_after_seconds=0, count_attempt=False, error_kind=ErrorKind.LAKE_UNAVAILABLE)
    assert queue.complete(outcome).final_status == JobStatus.NEW
    assert (job_of(first).attempt_count, run_of(first).counted) == (0, False)
    second = claim_one(queue)
    assert (second.attempt, second.attempt_count) == (2, 1)


def test_a_success_clears_the_jobs_last_error(queue: JobQueue) -> None:
    first = claimed(queue)
    queue.complete(failure(first, retry_after_seconds=0))
    assert job_of(first).error_kind == "model_crashed"
    queue.complete(success(claim_one(queue)))
    assert (job_of(first).last_error, job_of(first).error_kind) == (None, None)
    assert run_of(first).error_kind == "model_crashed"


def test_a_completion_after_the_lease_time_is_accepted_if_nobody_ended_the_run(queue: JobQueue) -> None:
    claim = claimed(queue)
    pass_time(3600)
    assert queue.complete(success(claim)).accepted


def test_repeating_a_completion_returns_the_same_and_changes_nothing(queue: JobQueue) -> None:
    claim = claimed(queue)
    outcome = success(claim, artifacts=(an_artifact(),))
    assert queue.complete(outcome) == queue.complete(outcome)
    assert Artifact.objects.count() == 1
    assert len(moves_of(claim)) == 3


def test_repeating_a_retry_returns_the_same_even_if_the_job_has_changed(queue: JobQueue) -> None:
    claim = claimed(queue)
    outcome = failure(claim, retry_after_seconds=30)
    answer = queue.complete(outcome)
    # By the queue's own means, not by shifting times: the answer's time is kept as it was given.
    queue.reschedule([ref(claim)], actor=ACTOR, available_utc=datetime.now(UTC) - timedelta(seconds=5))
    later = claim_one(queue)
    assert queue.complete(outcome) == answer
    assert queue.complete(success(later)).accepted
    assert queue.complete(outcome) == answer


def test_a_stale_worker_cannot_complete_a_reclaimed_job(queue: JobQueue) -> None:
    stale = claimed(queue, max_attempts=5)
    pass_time(3600)
    assert len(queue.reap()) == 1
    fresh = claim_one(queue, "worker-2")
    assert fresh.job_id == stale.job_id
    answer = queue.complete(success(stale, artifacts=(an_artifact(),)))
    assert (answer.accepted, answer.final_status) == (False, JobStatus.RUNNING)
    assert Artifact.objects.count() == 0
    assert run_of(stale).error_kind == "lease_expired"
    assert queue.complete(success(fresh)).final_status == JobStatus.SUCCEEDED


def test_another_outcome_for_an_ended_run_is_not_accepted(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.complete(success(claim))
    assert not queue.complete(failure(claim)).accepted
    assert status_of(claim) == JobStatus.SUCCEEDED


def test_an_unknown_run_is_not_accepted(queue: JobQueue) -> None:
    claim = claimed(queue)
    unknown = Outcome(job_id=claim.job_id, run_id=uuid4(), status=RunStatus.SUCCEEDED)
    assert not queue.complete(unknown).accepted
    nowhere = Outcome(job_id=uuid4(), run_id=claim.run_id, status=RunStatus.SUCCEEDED)
    assert not queue.complete(nowhere).accepted
    assert status_of(claim) == JobStatus.RUNNING


@pytest.mark.parametrize("status", sorted(set(JobStatus) - {JobStatus.RUNNING}))
def test_a_job_that_does_not_run_cannot_be_completed(queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    answer = queue.complete(Outcome(job_id=job.job_id, run_id=uuid4(), status=RunStatus.SUCCEEDED))
    assert (answer.accepted, status_of(job)) == (False, status)


def test_a_success_is_accepted_even_if_cancellation_was_requested(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    assert queue.complete(success(claim)).final_status == JobStatus.SUCCEEDED


def test_a_failure_after_a_cancellation_cancels_the_job_and_keeps_the_runs_kind(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    assert queue.complete(failure(claim, retry_after_seconds=0)).final_status == JobStatus.CANCELLED
    assert (run_of(claim).status, run_of(claim).error_kind) == ("FAILED", "model_crashed")
    assert moves_of(claim)[-2:] == [("cancel_requested", "RUNNING", "RUNNING"), ("cancelled", "RUNNING", "CANCELLED")]


def test_a_cancelled_completion_ends_a_job_that_was_asked_to_stop(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    answer = queue.complete(cancelled(claim))
    assert (answer.accepted, answer.final_status) == (True, JobStatus.CANCELLED)
    assert (run_of(claim).status, run_of(claim).counted, job_of(claim).attempt_count) == ("CANCELLED", False, 0)


def test_a_cancelled_completion_without_a_request_changes_nothing(queue: JobQueue) -> None:
    claim = claimed(queue)
    assert not queue.complete(cancelled(claim)).accepted
    assert (status_of(claim), run_of(claim).status) == (JobStatus.RUNNING, RunStatus.RUNNING)


def test_a_completion_that_cannot_be_stored_whole_stores_nothing(queue: JobQueue) -> None:
    first = claimed(queue)
    taken = an_artifact()
    queue.complete(success(first, artifacts=(taken,)))
    second = claimed(queue)
    with pytest.raises(Exception, match="usp_complete_job"):
        queue.complete(success(second, artifacts=(taken,)))
    assert (status_of(second), run_of(second).status) == (JobStatus.RUNNING, RunStatus.RUNNING)
    assert queue.complete(success(second)).accepted


def test_the_event_of_a_completion_names_the_worker_and_the_run(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.complete(success(claim))
    event = JobEvent.objects.get(job_id=claim.job_id, event="completed")
    assert (event.actor, event.run_id) == (WORKER, claim.run_id)


def test_a_lost_run_is_not_taken_for_an_earlier_one_that_ended_alike(queue: JobQueue) -> None:
    earlier = claimed(queue)
    queue.complete(failure(earlier, retry_after_seconds=0))
    lost = claim_one(queue)
    pass_time(3600)
    queue.reap()
    answer = queue.complete(failure(lost, retry_after_seconds=0))
    assert (answer.accepted, answer.final_status) == (False, JobStatus.NEW)


def test_a_cancelled_run_is_of_the_kind_cancelled_where_none_is_given(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    said(procedures.COMPLETE_JOB, job_id=claim.job_id, run_id=claim.run_id, status="CANCELLED")
    assert run_of(claim).error_kind == "cancelled"


@pytest.mark.parametrize("facts_json", ["nonsense", "{}"])
def test_bad_facts_are_refused_of_a_run_that_failed_and_of_one_that_has_ended(queue: JobQueue, facts_json: str) -> None:
    claim = claimed(queue)
    end = {"job_id": claim.job_id, "run_id": claim.run_id, "facts_json": facts_json}
    with pytest.raises(BadArgument):
        said(procedures.COMPLETE_JOB, status="FAILED", **end)
    queue.complete(success(claim))
    with pytest.raises(BadArgument):
        said(procedures.COMPLETE_JOB, status="SUCCEEDED", **end)
