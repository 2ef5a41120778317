from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from derive.contracts import WorkerFacts
from derive.errors import WorkerIdInUse
from derive.models import JobEvent, Worker
from derive.queue import JobQueue
from derive.states import JobStatus, LeaseState, RunStatus
from tests.contract.scenes import (
    ACTOR,
    WORKER,
    claim_one,
    claimed,
    failure,
    job_of,
    moves_of,
    pass_time,
    queued,
    ref,
    run_of,
    status_of,
    success,
)

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def facts(**values: object) -> WorkerFacts:
    known = {"host": "h", "pid": 1, "version": "0.1", "started_utc": STARTED, "concurrency": 4}
    return WorkerFacts.model_validate({**known, **values})


def test_a_heartbeat_renews_the_lease_of_the_runs_it_names(queue: JobQueue) -> None:
    claim = claimed(queue)
    pass_time(100)
    (lease,) = queue.heartbeat(WORKER, [claim.run_id], lease_seconds=120)
    assert (lease.run_id, lease.state) == (claim.run_id, LeaseState.HELD)
    assert lease.lease_expires_utc == job_of(claim).lease_expires_utc == run_of(claim).lease_until_utc
    assert lease.lease_expires_utc is not None
    assert lease.lease_expires_utc > claim.lease_expires_utc - timedelta(seconds=5)


def test_an_expired_lease_that_was_not_reaped_is_renewed(queue: JobQueue) -> None:
    claim = claimed(queue)
    pass_time(3600)
    assert [lease.state for lease in queue.heartbeat(WORKER, [claim.run_id])] == [LeaseState.HELD]
    assert queue.reap() == []


def test_a_heartbeat_learns_that_cancellation_was_asked_for(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    assert [lease.state for lease in queue.heartbeat(WORKER, [claim.run_id])] == [LeaseState.CANCEL_REQUESTED]


def test_a_heartbeat_learns_of_lost_runs(queue: JobQueue) -> None:
    reaped = claimed(queue)
    pass_time(3600)
    queue.reap()
    again = claim_one(queue, "worker-2")
    unknown = uuid4()
    leases = queue.heartbeat(WORKER, [reaped.run_id, again.run_id, unknown])
    assert {lease.run_id: lease.state for lease in leases} == dict.fromkeys(
        (reaped.run_id, again.run_id, unknown), LeaseState.LOST
    )
    assert queue.complete(success(again)).accepted


def test_a_heartbeat_names_a_claim_whose_answer_never_arrived_as_stray(queue: JobQueue) -> None:
    known = claimed(queue)
    stray = claimed(queue)
    leases = {lease.run_id: lease.state for lease in queue.heartbeat(WORKER, [known.run_id])}
    assert leases == {known.run_id: LeaseState.HELD, stray.run_id: LeaseState.STRAY}
    assert queue.release(stray.run_id, reason="stray").final_status == JobStatus.NEW


def test_a_stray_run_is_not_renewed(queue: JobQueue) -> None:
    stray = claimed(queue)
    before = job_of(stray).lease_expires_utc
    queue.heartbeat(WORKER, [])
    assert job_of(stray).lease_expires_utc == before


def test_a_heartbeat_stores_the_workers_facts(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.heartbeat(WORKER, [claim.run_id], facts=facts())
    worker = Worker.objects.get(worker_id=WORKER)
    assert (worker.host, worker.pid, worker.version, worker.concurrency) == ("h", 1, "0.1", 4)
    assert (worker.started_utc, worker.active_runs, worker.stopping) == (STARTED, 1, False)
    queue.heartbeat(WORKER, [])
    worker = Worker.objects.get(worker_id=WORKER)
    assert (worker.host, worker.started_utc) == ("h", STARTED)


def test_a_heartbeat_stores_why_nothing_is_claimed_until_it_is_cleared(queue: JobQueue) -> None:
    queue.heartbeat(WORKER, [], facts=facts(not_claiming_why="the lake is full" + "!" * 2000))
    assert str(Worker.objects.get(worker_id=WORKER).not_claiming_why) == ("the lake is full" + "!" * 2000)[:1000]
    queue.heartbeat(WORKER, [], facts=facts(not_claiming_why="the lake is away"))
    assert Worker.objects.get(worker_id=WORKER).not_claiming_why == "the lake is away"
    queue.heartbeat(WORKER, [], facts=facts())
    assert Worker.objects.get(worker_id=WORKER).not_claiming_why is None


def test_another_start_under_a_living_workers_id_is_refused(queue: JobQueue) -> None:
    queue.heartbeat(WORKER, [], facts=facts())
    with pytest.raises(WorkerIdInUse):
        queue.heartbeat(WORKER, [], facts=facts(started_utc=STARTED + timedelta(seconds=1)))
    queue.heartbeat(WORKER, [], facts=facts())


def test_another_start_is_welcome_once_the_worker_was_not_seen_for_a_lease(queue: JobQueue) -> None:
    queue.heartbeat(WORKER, [], facts=facts(), lease_seconds=60)
    pass_time(61)
    later = STARTED + timedelta(hours=1)
    queue.heartbeat(WORKER, [], facts=facts(started_utc=later), lease_seconds=60)
    assert Worker.objects.get(worker_id=WORKER).started_utc == later


def test_another_start_is_accepted_after_the_worker_reported_that_it_stops(queue: JobQueue) -> None:
    queue.heartbeat(WORKER, [], facts=facts(stopping=True))
    queue.heartbeat(WORKER, [], facts=facts(started_utc=STARTED + timedelta(hours=1)))


def test_a_released_job_is_ready_again_and_has_lost_nothing(queue: JobQueue) -> None:
    claim = claimed(queue, max_attempts=1)
    queued(queue)
    answer = queue.release(claim.run_id, reason="stopping")
    job, run = job_of(claim), run_of(claim)
    assert (answer.accepted, answer.final_status) == (True, JobStatus.NEW)
    assert (job.status, job.attempt_count, job.locked_by, job.current_run_id) == ("NEW", 0, None, None)
    assert (run.status, run.error_kind, run.counted) == (RunStatus.CANCELLED, "released", False)
    assert moves_of(claim)[-1] == ("released", "RUNNING", "NEW")
    assert JobEvent.objects.get(job_id=claim.job_id, event="released").reason == "stopping"
    again = claim_one(queue)
    assert (again.job_id, again.attempt, again.attempt_count) == (claim.job_id, 2, 1)


def test_releasing_a_job_that_was_asked_to_stop_cancels_it(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    assert queue.release(claim.run_id).final_status == JobStatus.CANCELLED
    assert moves_of(claim)[-2:] == [("released", "RUNNING", "RUNNING"), ("cancelled", "RUNNING", "CANCELLED")]


def test_a_release_does_not_affect_other_jobs_of_the_worker(queue: JobQueue) -> None:
    claims = [claimed(queue) for _ in range(3)]
    assert queue.release(claims[1].run_id).accepted
    assert [status_of(claim) for claim in claims] == [JobStatus.RUNNING, JobStatus.NEW, JobStatus.RUNNING]


def test_a_lost_run_cannot_be_released(queue: JobQueue) -> None:
    stale = claimed(queue)
    pass_time(3600)
    queue.reap()
    claim_one(queue, "worker-2")
    assert not queue.release(stale.run_id).accepted
    assert not queue.release(uuid4()).accepted
    assert status_of(stale) == JobStatus.RUNNING


def test_a_live_lease_is_not_reaped(queue: JobQueue) -> None:
    claimed(queue)
    assert queue.reap() == []


def test_the_first_expired_lease_is_retried_at_once(queue: JobQueue) -> None:
    claim = claimed(queue)
    pass_time(121)
    (reaped,) = queue.reap(actor="reaper-1")
    job, run = job_of(claim), run_of(claim)
    assert (reaped.job_id, reaped.run_id, reaped.final_status) == (claim.job_id, claim.run_id, JobStatus.NEW)
    assert (run.status, run.error_kind, run.counted) == (RunStatus.FAILED, "lease_expired", True)
    assert (job.status, job.error_kind, job.attempt_count) == ("NEW", "lease_expired", 1)
    assert moves_of(claim)[-1] == ("lease_expired", "RUNNING", "NEW")
    assert JobEvent.objects.get(job_id=claim.job_id, event="lease_expired").actor == "reaper-1"


def test_further_expiries_wait_out_a_backoff_that_doubles(queue: JobQueue) -> None:
    claimed(queue, max_attempts=10)
    pass_time(121)
    assert queue.reap()[0].final_status == JobStatus.NEW
    for attempt, seconds in ((2, 60), (3, 120), (4, 240)):
        claim = claim_one(queue)
        assert (claim.attempt, claim.attempt_count) == (attempt, attempt)
        pass_time(121)
        (reaped,) = queue.reap()
        assert reaped.final_status == JobStatus.SCHEDULED
        assert reaped.available_utc is not None
        waits = (reaped.available_utc - run_of(claim).completed_utc).total_seconds()
        assert 0.8 * seconds - 1 <= waits <= 1.2 * seconds + 1
        assert moves_of(claim)[-1] == ("lease_expired", "RUNNING", "SCHEDULED")
        pass_time(waits + 1)


def test_an_expiry_that_uses_the_attempts_up_is_a_dead_letter(queue: JobQueue) -> None:
    claim = claimed(queue, max_attempts=1)
    pass_time(121)
    (reaped,) = queue.reap()
    assert (reaped.final_status, reaped.available_utc) == (JobStatus.DEADLETTER, None)
    assert moves_of(claim)[-2:] == [("lease_expired", "RUNNING", "RUNNING"), ("dead_lettered", "RUNNING", "DEADLETTER")]


def test_reaping_a_job_that_was_asked_to_stop_cancels_it(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    pass_time(121)
    (reaped,) = queue.reap()
    assert reaped.final_status == JobStatus.CANCELLED
    assert moves_of(claim)[-2:] == [("lease_expired", "RUNNING", "RUNNING"), ("cancelled", "RUNNING", "CANCELLED")]


def test_a_reaper_ends_no_more_runs_than_asked(queue: JobQueue) -> None:
    for _ in range(5):
        claimed(queue)
    pass_time(121)
    assert [len(queue.reap(max_rows=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_heartbeat_returns_named_runs_in_order_then_strays_by_number(queue: JobQueue) -> None:
    claims = [claimed(queue, job_id=UUID(int=9 - n)) for n in range(6)]
    named = [claims[n].run_id for n in (3, 0, 5)]
    leases = queue.heartbeat(WORKER, named)
    assert [lease.run_id for lease in leases] == [*named, *(claims[n].run_id for n in (1, 2, 4))]


def test_a_heartbeat_has_nothing_to_do_with_another_workers_runs(queue: JobQueue) -> None:
    own, stray = claimed(queue), claimed(queue)
    queued(queue)
    others = claim_one(queue, "worker-2")
    before = {claim.run_id: run_of(claim).lease_until_utc for claim in (stray, others)}
    leases = queue.heartbeat(WORKER, [own.run_id, others.run_id], lease_seconds=900, facts=facts())
    assert [lease.state for lease in leases] == [LeaseState.HELD, LeaseState.LOST, LeaseState.STRAY]
    assert {claim.run_id: run_of(claim).lease_until_utc for claim in (stray, others)} == before
    assert job_of(others).lease_expires_utc == before[others.run_id]
    assert Worker.objects.get(worker_id=WORKER).active_runs == 2
    assert [lease.run_id for lease in queue.heartbeat(WORKER, [own.run_id])] == [own.run_id, stray.run_id]


def test_a_first_expired_lease_is_retried_at_once_even_after_other_failures(queue: JobQueue) -> None:
    queue.complete(failure(claimed(queue), retry_after_seconds=0))
    claim_one(queue)
    pass_time(121)
    assert [row.final_status for row in queue.reap()] == [JobStatus.NEW]


def test_a_backoff_grows_to_an_hour_and_no_further(queue: JobQueue) -> None:
    claim = claimed(queue, max_attempts=20)
    for _ in range(9):
        pass_time(121)
        (reaped,) = queue.reap()
        pass_time(4400)
        claim = claim_one(queue)
    pass_time(121)
    (reaped,) = queue.reap()
    assert reaped.available_utc is not None
    waits = (reaped.available_utc - run_of(claim).completed_utc).total_seconds()
    assert 0.8 * 3600 - 1 <= waits <= 1.2 * 3600 + 1


def test_the_first_expired_by_number_are_reaped_first_and_live_ones_are_not_counted(queue: JobQueue) -> None:
    live = claimed(queue, job_id=UUID(int=9))
    queue.heartbeat(WORKER, [live.run_id], lease_seconds=86_400)
    expired = []
    for n in (3, 2, 1):
        queued(queue, job_id=UUID(int=n))
        expired.append(claim_one(queue, f"worker-{n}"))
    pass_time(121)
    for claim in expired:
        assert [row.run_id for row in queue.reap(max_rows=1)] == [claim.run_id]


def test_reaped_runs_and_their_events_are_reported_in_the_order_of_the_jobs_numbers(queue: JobQueue) -> None:
    # Claimed last to first, and with ids that fall: no other order is the numbers'.
    jobs = [queued(queue, job_id=UUID(int=9 - n), priority=n, max_attempts=1) for n in range(6)]
    for _ in jobs:
        claim_one(queue)
    pass_time(121)
    assert [row.job_id for row in queue.reap()] == [job.job_id for job in jobs]
    ends = JobEvent.objects.filter(event__in=("lease_expired", "dead_lettered")).order_by("event_seq")
    assert [(event.job_id, event.event) for event in ends] == [
        (job.job_id, event) for job in jobs for event in ("lease_expired", "dead_lettered")
    ]


def test_a_reaper_leaves_it_as_it_is_when_a_worker_was_last_seen(queue: JobQueue) -> None:
    queue.heartbeat(WORKER, [], facts=facts())
    pass_time(600)
    before = Worker.objects.get(worker_id=WORKER).last_seen_utc
    queue.reap()
    assert Worker.objects.get(worker_id=WORKER).last_seen_utc == before
