"""Which rows a procedure locks, in which order, and for which it waits, seen from a session beside it."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection

from derive.contracts import Claim, DeletionTry, Enqueued, WorkerFacts
from derive.models import Job, LakeDeletion, Worker
from derive.queue import JobQueue
from derive.sql import payloads, procedures
from derive.sql.procedures import Procedure
from derive.states import JobStatus
from tests.contract.scenes import (
    ACTOR,
    KEY,
    WORKER,
    a_job,
    at_once,
    claim_one,
    claimed,
    failure,
    in_state,
    job_of,
    pass_time,
    queued,
    ref,
    status_of,
)
from tests.contract.sessions import IMPATIENT_MS, a_session, is_free, waiting

ARGUMENTS_OF: dict[Procedure, dict[str, Any]] = {
    procedures.CANCEL_JOBS: {},
    procedures.REQUEUE_JOBS: {},
    procedures.REPRIORITIZE_JOBS: {"priority": 1},
    procedures.RESCHEDULE_JOBS: {"available_utc": datetime(2030, 1, 1, tzinfo=UTC)},
    procedures.SET_MODEL_HINT: {"model_hint": "m"},
    procedures.SET_HOLD: {"hold": True},
}
OPERATORS = [pytest.param(procedure, id=procedure.name) for procedure in ARGUMENTS_OF]


def operators_arguments(procedure: Procedure, *jobs: Enqueued | Claim) -> dict[str, Any]:
    return {"jobs_json": payloads.refs_json([ref(job) for job in jobs]), "actor": ACTOR, **ARGUMENTS_OF[procedure]}


def two_out_of_order(queue: JobQueue, **values: Any) -> tuple[Enqueued, Enqueued]:
    """Queue two jobs whose ids, and whose places in the table, are not in the order of their numbers."""
    first = queued(queue, job_id=UUID(int=2), priority=1, **values)
    second = queued(queue, job_id=UUID(int=1), priority=2, **values)
    queue.set_hold([ref(first)], actor=ACTOR, hold=True)
    assert job_of(first).job_seq < job_of(second).job_seq
    return first, second


@pytest.mark.parametrize("procedure", OPERATORS)
def test_operators_lock_jobs_in_the_order_of_their_numbers(queue: JobQueue, procedure: Procedure) -> None:
    first, second = two_out_of_order(queue)
    with a_session() as other:
        other.hold(second)
        with waiting(procedure, **operators_arguments(procedure, second, first)):
            locked = not is_free(first)
            other.roll_back()
    assert locked, "the later number was locked before the earlier one"


@pytest.mark.parametrize("procedure", OPERATORS)
def test_operators_wait_for_the_lock_on_a_job_before_checking_it(queue: JobQueue, procedure: Procedure) -> None:
    # They refuse to change such a job, or find nothing to change: a refusal too has to be of what was committed.
    job = in_state(queue, JobStatus.SUCCEEDED)
    queue.set_hold([ref(job)], actor=ACTOR, hold=True)
    arguments = operators_arguments(procedure, job)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        assert not session.call(procedure, **arguments)[0][1]
        session.roll_back()
        other.hold(job)
        assert session.has_to_wait(procedure, **arguments)


@pytest.mark.parametrize("hint", [None, "m"])
@pytest.mark.parametrize("model", [None, "m"])
def test_a_claim_skips_locked_jobs(queue: JobQueue, model: str | None, hint: str | None) -> None:
    best, next_best = (queued(queue, model_hint=hint, priority=priority) for priority in (2, 1))
    with a_session() as other, a_session() as session:
        other.hold(best)
        rows = session.call(procedures.CLAIM_NEXT_JOB, worker_id=WORKER, model=model, max_jobs=1)
        assert [str(row[0]).lower() for row in rows] == [str(next_best.job_id)]


def test_a_claim_locks_no_more_jobs_than_it_takes(queue: JobQueue) -> None:
    for _ in range(3):
        queued(queue)
    with a_session() as session:
        assert len(session.call(procedures.CLAIM_NEXT_JOB, worker_id=WORKER, max_jobs=2)) == 2
        assert sum(is_free(job) for job in Job.objects.all()) == 1


def test_a_claim_for_a_model_locks_at_most_max_jobs_of_each_kind(queue: JobQueue) -> None:
    own = [queued(queue, model_hint="m") for _ in range(3)]
    others = [queued(queue) for _ in range(3)]
    with a_session() as session:
        assert len(session.call(procedures.CLAIM_NEXT_JOB, worker_id=WORKER, model="m", max_jobs=1)) == 1
        assert (sum(map(is_free, own)), sum(map(is_free, others))) == (2, 2)


def test_promotion_skips_locked_jobs(queue: JobQueue) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    held, free = (queued(queue, available_utc=soon) for _ in range(2))
    pass_time(120)
    with a_session() as other, a_session() as session:
        other.hold(held)
        assert session.call(procedures.PROMOTE_DUE_JOBS)[0][0] == 1
    assert status_of(free) == JobStatus.SCHEDULED


def test_promoting_locks_only_jobs_that_are_due(queue: JobQueue) -> None:
    due, later = (queued(queue, available_utc=datetime.now(UTC) + timedelta(hours=hours)) for hours in (1, 9))
    pass_time(3700)
    with a_session() as session:
        assert session.call(procedures.PROMOTE_DUE_JOBS)[0][0] == 1
        assert (is_free(due), is_free(later)) == (False, True)


def test_a_completion_waits_for_the_lock_on_the_job(queue: JobQueue) -> None:
    job = queued(queue)
    arguments = {"job_id": str(job.job_id), "run_id": str(job.job_id), "status": "SUCCEEDED"}
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        assert not session.call(procedures.COMPLETE_JOB, **arguments)[0][0]
        session.roll_back()
        other.hold(job)
        assert session.has_to_wait(procedures.COMPLETE_JOB, **arguments)


def test_a_release_is_judged_only_when_nobody_changes_the_job(queue: JobQueue) -> None:
    ended = claimed(queue)
    queue.complete(failure(ended))
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        assert not session.call(procedures.RELEASE_JOB, run_id=str(ended.run_id))[0][0]
        session.roll_back()
        other.hold(ended)
        assert session.has_to_wait(procedures.RELEASE_JOB, run_id=str(ended.run_id))


def test_a_heartbeat_waits_for_each_of_its_workers_jobs_and_for_nobody_elses(queue: JobQueue) -> None:
    stray = claimed(queue)
    queued(queue)
    others = claim_one(queue, "worker-2")
    waiting_job = queued(queue)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.hold(others, waiting_job)
        assert not session.has_to_wait(procedures.HEARTBEAT, worker_id=WORKER, run_ids_json="[]")
        session.roll_back()
        other.hold(stray)
        assert session.has_to_wait(procedures.HEARTBEAT, worker_id=WORKER, run_ids_json="[]")


def test_a_heartbeat_locks_jobs_in_the_order_of_their_numbers(queue: JobQueue) -> None:
    first, second = two_out_of_order(queue)
    assert [claim.job_id for claim in queue.claim(WORKER, max_jobs=2)] == [second.job_id, first.job_id]
    with a_session() as other:
        other.hold(second)
        with waiting(procedures.HEARTBEAT, worker_id=WORKER, run_ids_json="[]"):
            locked = not is_free(first)
            other.roll_back()
    assert locked, "the later number was locked before the earlier one"


def test_reaping_passes_over_jobs_that_somebody_holds(queue: JobQueue) -> None:
    held, free = claimed(queue), claimed(queue)
    pass_time(3600)
    with a_session() as other, a_session() as session:
        other.hold(held)
        rows = session.call(procedures.REAP_EXPIRED_LEASES)
        assert [str(row[0]).lower() for row in rows] == [str(free.job_id)]


def test_reaping_passes_over_jobs_and_workers_of_a_later_clock_that_somebody_holds(queue: JobQueue) -> None:
    claim = claimed(queue)
    started = datetime(2026, 1, 1, tzinfo=UTC)
    facts = WorkerFacts(host="h", pid=1, version="0.1", started_utc=started, concurrency=1)
    queue.heartbeat(WORKER, [claim.run_id], facts=facts)
    pass_time(-3600)
    with a_session() as other, a_session() as session:
        other.hold(claim)
        assert not session.has_to_wait(procedures.REAP_EXPIRED_LEASES)
        session.roll_back()
        other.roll_back()
        other.hold_worker(WORKER)
        assert not session.has_to_wait(procedures.REAP_EXPIRED_LEASES)
    assert Worker.objects.get(worker_id=WORKER).last_seen_utc > datetime.now(UTC) + timedelta(minutes=30)


def test_a_second_reaper_answers_nothing_while_the_first_is_at_it(queue: JobQueue) -> None:
    for _ in range(2):
        claimed(queue)
    pass_time(3600)
    with a_session() as session:
        assert len(session.call(procedures.REAP_EXPIRED_LEASES, max_rows=1)) == 1
        assert at_once(partial(queue.reap, max_rows=1)) == [[]]
    assert len(queue.reap()) == 2


def test_tries_to_delete_files_are_recorded_in_the_order_of_their_numbers(queue: JobQueue) -> None:
    for _ in range(3):
        queue.complete(failure(claimed(queue)))
    pass_time(2 * 86_400)
    queue.purge(finished_before_utc=datetime.now(UTC) - timedelta(days=1), statuses=[JobStatus.FAILED], actor=ACTOR)
    first, second, third = LakeDeletion.objects.order_by("deletion_seq").values_list("deletion_seq", flat=True)
    tries = [DeletionTry(deletion_seq=number) for number in (second, first)]
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as beside:
        other.hold_deletion(third)  # of no concern
        other_two = {"deletions_json": payloads.deletions_json(tries)}
        assert not beside.has_to_wait(procedures.RECORD_LAKE_DELETIONS, **other_two)
        beside.roll_back()
        other.hold_deletion(second)
        with waiting(procedures.RECORD_LAKE_DELETIONS, **other_two):
            with pytest.raises(DatabaseError):
                beside.hold_deletion(first)
            other.roll_back()


@pytest.mark.parametrize(
    ("smaller", "larger"), [(("k", "a"), ("k", "b")), (("k1", "b"), ("k2", "a"))], ids=["by key", "by interrogation"]
)
def test_a_requeue_takes_dedupe_keys_in_the_order_of_an_enqueue(
    queue: JobQueue, smaller: tuple[str, str], larger: tuple[str, str]
) -> None:
    if smaller[1] > larger[1] and connection.vendor != "postgresql":
        pytest.skip("its order is by the dedupe key first")
    jobs = [
        in_state(queue, JobStatus.FAILED, interrogation_key=interrogation_key, dedupe_key=dedupe_key)
        for interrogation_key, dedupe_key in (larger, smaller)
    ]
    with a_session() as other:

        def take(interrogation_key: str, dedupe_key: str) -> None:
            key = {"interrogation_key": interrogation_key, "dedupe_key": dedupe_key}
            assert not other.call(procedures.ENQUEUE_JOB, input_json="{}", **key)[0][1]

        take(*smaller)
        with waiting(procedures.REQUEUE_JOBS, **operators_arguments(procedures.REQUEUE_JOBS, *jobs)):
            take(*larger)  # a deadlock, if the requeue held it already
            other.roll_back()


def test_a_batch_takes_dedupe_keys_in_their_order_not_in_its_own(queue: JobQueue) -> None:
    jobs_json = payloads.jobs_json([a_job(dedupe_key=key) for key in ("b", "a")])
    with a_session() as other:

        def take(key: str) -> None:
            job = {"interrogation_key": KEY, "input_json": "{}", "dedupe_key": key}
            assert not other.call(procedures.ENQUEUE_JOB, **job)[0][1]

        take("a")
        with waiting(procedures.ENQUEUE_JOBS, jobs_json=jobs_json, actor=ACTOR):
            take("b")  # a deadlock, if the batch held it already
            other.roll_back()
