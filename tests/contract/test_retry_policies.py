"""Retry policies: the right jobs, not too many, once, under their own name."""

from datetime import timedelta

import pytest

from derive.deadline import Deadline
from derive.errors import ErrorKind
from derive.models import Job, JobEvent, RetryPolicy, ScheduleRun, TaskState
from derive.queue import JobQueue
from derive.schedules import due, retry_policies
from derive.schedules.due import run_due, run_plan
from derive.schedules.retry_policies import RetryPreview, preview_retries, retry
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.contract.plans import a_policy
from tests.contract.scenes import at_once, claim_one, failure, in_state, pass_time, queued, ref, status_of

STATES = [JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.NEW]


def run_policies() -> TaskResult:
    return run_due(RetryPolicy, retry, Deadline(60))


def failed(queue: JobQueue, kind: ErrorKind, key: str = "sw_entity_facts_v1") -> object:
    job = queued(queue, interrogation_key=key)
    queue.complete(failure(claim_one(queue), error_kind=kind))
    return job


def test_a_policy_requeues_its_states_and_leaves_the_others(queue: JobQueue) -> None:
    jobs = {status: in_state(queue, status) for status in STATES}
    a_policy(statuses="FAILED\nDEADLETTER")
    run_policies()
    changed = {status for status, job in jobs.items() if status_of(job) != status}
    assert changed == {JobStatus.FAILED, JobStatus.DEADLETTER}
    (event,) = JobEvent.objects.filter(job_id=jobs[JobStatus.FAILED].job_id, event="requeued")
    assert (event.actor, event.reason) == ("schedule:nightly", "retry policy nightly")
    assert ScheduleRun.objects.get(task="retry:nightly").told == "2 requeued"


def test_a_policy_names_error_kinds_and_interrogations(queue: JobQueue) -> None:
    wanted = failed(queue, ErrorKind.MODEL_NOT_FOUND)
    others = [failed(queue, ErrorKind.INVALID_INPUT), failed(queue, ErrorKind.MODEL_NOT_FOUND, "another")]
    policy = a_policy(error_kinds="model_not_found\nmodel_timeout", interrogation_keys="sw_entity_facts_v1")
    assert preview_retries(policy) == RetryPreview(ready=1, exhausted=0, is_exact=True)
    run_policies()
    assert status_of(wanted) == JobStatus.NEW  # type: ignore[arg-type]
    assert {status_of(job) for job in others} == {JobStatus.FAILED}  # type: ignore[arg-type]


def test_what_only_just_ended_or_ended_long_ago_is_left(queue: JobQueue) -> None:
    old = in_state(queue, JobStatus.FAILED)
    pass_time(2 * 86_400)
    right = in_state(queue, JobStatus.FAILED)
    pass_time(3_600)
    young = in_state(queue, JobStatus.FAILED)
    a_policy(min_age_minutes=30, max_age_days=1)
    run_policies()
    assert [status_of(job) for job in (old, right, young)] == ["FAILED", "NEW", "FAILED"]


def test_a_policy_takes_so_many_at_a_time_and_those_first_that_ended_first(queue: JobQueue) -> None:
    jobs = [in_state(queue, JobStatus.FAILED) for _job in range(5)]
    a_policy(max_jobs=3)
    run_policies()
    assert [status_of(job) for job in jobs] == ["NEW"] * 3 + ["FAILED"] * 2
    assert "maximum per run reached" in TaskState.objects.get(name="retry:nightly").told


def test_a_count_ends_at_its_bound(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policies, "COUNT_TO", 2)
    for _job in range(3):
        in_state(queue, JobStatus.FAILED)
    assert preview_retries(a_policy()) == RetryPreview(ready=2, exhausted=0, is_exact=False)


def test_a_policy_that_is_off_or_not_due_does_nothing(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    a_policy("off", enabled=False)
    a_policy("later", due_minutes_ago=-5)
    run_policies()
    assert status_of(job) == JobStatus.FAILED


def test_a_day_without_a_scheduler_is_caught_up_with_once(queue: JobQueue) -> None:
    in_state(queue, JobStatus.FAILED)
    policy = a_policy(cron="* * * * *", due_minutes_ago=24 * 60)
    run_policies()
    policy.refresh_from_db()
    now = database_now()
    assert policy.next_utc is not None
    assert now < policy.next_utc <= now + timedelta(minutes=1)
    run_policies()
    assert ScheduleRun.objects.get(task="retry:nightly").times == 1


def test_a_plan_whose_next_time_a_jumping_clock_wrote_comes_when_it_should(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    far, now = a_policy("far", cron="* * * * *", due_minutes_ago=-900 * 24 * 60), database_now()
    right = a_policy("right", cron="0 0 1 1 *")
    RetryPolicy.objects.filter(pk=right.pk).update(next_utc=(soon := now + timedelta(minutes=5)))
    run_policies()
    far.refresh_from_db()
    right.refresh_from_db()
    assert far.next_utc is not None
    assert now < far.next_utc <= now + timedelta(seconds=70)
    assert (right.next_utc, status_of(job)) == (soon, JobStatus.FAILED)


def test_a_policy_that_finds_nothing_says_so_and_leaves_no_row(queue: JobQueue) -> None:
    a_policy()
    run_policies()
    assert TaskState.objects.get(name="retry:nightly").told == "no job matched"
    assert not ScheduleRun.objects.exists()


def test_two_schedulers_at_once_run_a_policy_once(queue: JobQueue) -> None:
    jobs = [in_state(queue, JobStatus.FAILED) for _job in range(4)]
    a_policy()
    at_once(*[lambda: run_plan(RetryPolicy, "nightly", retry)] * 4)
    assert JobEvent.objects.filter(event="requeued", actor="schedule:nightly").count() == len(jobs)
    assert ScheduleRun.objects.filter(task="retry:nightly").count() == 1


def test_a_policy_that_fails_stays_due_and_is_tried_again_after_a_pause(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = a_policy()
    tries = []

    def failing(plan: RetryPolicy, *_given: object) -> TaskResult:
        tries.append(plan.name)
        return TaskResult(TaskOutcome.FAILED, "no")

    run_due(RetryPolicy, failing, Deadline(60))
    run_due(RetryPolicy, failing, Deadline(60))
    assert tries == ["nightly"]
    state = TaskState.objects.get(name="retry:nightly")
    assert state.ended_utc is not None
    TaskState.objects.filter(pk=state.pk).update(ended_utc=state.ended_utc - timedelta(seconds=61))
    run_due(RetryPolicy, failing, Deadline(60))
    assert len(tries) == 2
    monkeypatch.setattr(due, "LONGEST_PAUSE_MINUTES", 0)
    run_policies()
    policy.refresh_from_db()
    assert policy.next_utc is not None
    assert policy.next_utc > database_now()


def test_a_job_that_always_ends_the_same_way_is_left_alone_when_its_limit_is_reached(queue: JobQueue) -> None:
    job, policy = in_state(queue, JobStatus.FAILED, max_attempts=1), a_policy(max_requeues=2)
    for _night in range(4):
        run_again(policy)
        for claim in queue.claim("w"):
            queue.complete(failure(claim))
    assert JobEvent.objects.filter(job_id=job.job_id, event="requeued").count() == 2
    assert status_of(job) == JobStatus.FAILED
    told = ScheduleRun.objects.filter(task="retry:nightly").order_by("id").values_list("outcome", "told", "times")
    assert list(told)[2:] == [("skipped", "0 requeued, 1 left alone: reached the limit (2 by this policy)", 2)]
    assert preview_retries(policy) == RetryPreview(ready=0, exhausted=1, is_exact=True)


def run_again(policy: RetryPolicy) -> None:
    RetryPolicy.objects.filter(pk=policy.pk).update(next_utc=database_now() - timedelta(seconds=30))
    run_policies()


def test_a_policy_whose_time_is_over_says_so_and_leaves_the_rest_for_the_next_time(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    outcome = retry(a_policy(), database_now(), Deadline(0))
    assert outcome.text == "0 requeued; out of time, the rest wait for the next run"
    assert status_of(job) == JobStatus.FAILED
    run_policies()
    assert status_of(job) == JobStatus.NEW


def test_only_what_the_policy_itself_requeued_counts(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.CANCELLED)
    for actor in ("ada", "schedule:another"):
        queue.requeue([ref(job)], actor=actor)
        queue.cancel([ref(job)], actor=actor)
    a_policy(statuses="CANCELLED", max_requeues=1)
    run_policies()
    assert status_of(job) == JobStatus.NEW


def test_jobs_whose_limit_is_reached_keep_no_other_waiting(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policies, "PAGE", 2)
    first, policy = [in_state(queue, JobStatus.FAILED) for _job in range(5)], a_policy(max_requeues=1, max_jobs=2)
    for _night in range(3):
        run_again(policy)
    assert [status_of(job) for job in first] == ["NEW"] * 5
    while claims := queue.claim("w"):
        for claim in claims:
            queue.complete(failure(claim))
    later = [in_state(queue, JobStatus.DEADLETTER, max_attempts=1) for _job in range(3)]
    assert preview_retries(policy) == RetryPreview(ready=3, exhausted=5, is_exact=True)
    run_again(policy)
    assert [status_of(job) for job in later] == ["NEW", "NEW", "DEADLETTER"]
    assert "5 left alone" in TaskState.objects.get(name="retry:nightly").told


def test_a_job_whose_dedupe_key_another_holds_is_reported_as_refused(queue: JobQueue) -> None:
    in_state(queue, JobStatus.FAILED, dedupe_key="k")
    queued(queue, dedupe_key="k")
    a_policy()
    run_policies()
    assert "1 refused" in TaskState.objects.get(name="retry:nightly").told
    assert Job.objects.filter(status="FAILED").count() == 1


def test_a_policy_whose_time_is_over_requeues_nothing_more(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    policy = a_policy()
    retry(policy, database_now(), Deadline(0))
    assert status_of(job) == JobStatus.FAILED


def test_no_plan_is_begun_once_the_time_is_over(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    policy = a_policy()
    run_due(RetryPolicy, retry, Deadline(0))
    assert status_of(job) == JobStatus.FAILED
    assert RetryPolicy.objects.get(pk=policy.pk).next_utc == policy.next_utc
    assert not TaskState.objects.exists()
