"""The database's clock is put back by hours: leases granted by the old one end in time, none sooner than granted."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from derive.contracts import Claim, WorkerFacts
from derive.errors import WorkerIdInUse
from derive.models import Worker
from derive.queue import JobQueue
from derive.sql.clock import database_now
from derive.states import JobStatus, LeaseState
from tests.contract.babelfish import Lack, lacks
from tests.contract.scenes import WORKER, at_once, claimed, job_of, pass_time, queued, run_of, status_of, success

HOURS = 5 * 3600
LEASE = 120
WITHIN = 20
"""Seconds that a test's own steps may take."""


def put_clock_back(seconds: float) -> None:
    """Put it back: all moments that are stored lie later than before, seen from now."""
    pass_time(-seconds)


def seconds_left(claim: Claim) -> float:
    """How long the lease still lasts; the run tells the same as the job."""
    assert job_of(claim).lease_expires_utc == run_of(claim).lease_until_utc
    left: timedelta = job_of(claim).lease_expires_utc - database_now()
    return left.total_seconds()


def test_a_dead_workers_job_is_back_within_its_lease_and_not_hours_later(queue: JobQueue) -> None:
    claim = claimed(queue)
    put_clock_back(HOURS)
    assert queue.reap() == []
    assert LEASE - WITHIN < seconds_left(claim) <= LEASE + 1
    pass_time(LEASE - WITHIN)
    assert queue.reap() == []
    pass_time(WITHIN + 2)
    (reaped,) = queue.reap()
    assert (reaped.job_id, reaped.final_status) == (claim.job_id, JobStatus.NEW)


def test_a_lease_restarts_once_and_not_at_every_reaping(queue: JobQueue) -> None:
    claim = claimed(queue)
    put_clock_back(HOURS)
    queue.reap()
    anew = job_of(claim).lease_expires_utc
    queue.reap()
    assert job_of(claim).lease_expires_utc == anew


def test_a_lease_that_was_renewed_before_ends_no_sooner_than_it_was_granted_for(queue: JobQueue) -> None:
    claim = claimed(queue)
    pass_time(600)
    queue.heartbeat(WORKER, [claim.run_id], lease_seconds=LEASE)
    put_clock_back(HOURS)
    queue.reap()
    assert LEASE <= seconds_left(claim) <= 600 + LEASE + WITHIN


@pytest.mark.parametrize("seconds", [60, HOURS], ids=["a minute", "hours"])
def test_a_living_workers_lease_is_by_the_new_clock_from_its_next_heartbeat_on(queue: JobQueue, seconds: int) -> None:
    claim = claimed(queue)
    put_clock_back(seconds)
    (lease,) = queue.heartbeat(WORKER, [claim.run_id], lease_seconds=LEASE)
    assert lease.state is LeaseState.HELD
    queue.reap()
    assert job_of(claim).lease_expires_utc == lease.lease_expires_utc
    assert LEASE - WITHIN < seconds_left(claim) <= LEASE


def test_a_worker_that_lives_keeps_its_run_and_completes_it(queue: JobQueue) -> None:
    claim = claimed(queue)
    put_clock_back(HOURS)
    queue.reap()
    assert [lease.state for lease in queue.heartbeat(WORKER, [claim.run_id])] == [LeaseState.HELD]
    queue.reap()
    assert queue.complete(success(claim)).accepted


def test_later_claims_are_not_affected(queue: JobQueue) -> None:
    put_clock_back(HOURS)
    claim = claimed(queue)
    queue.reap()
    assert job_of(claim).lease_expires_utc == claim.lease_expires_utc


@lacks(Lack.CONCURRENT_APPLOCKS)
def test_a_claim_during_a_look_keeps_its_lease_to_the_microsecond(queue: JobQueue) -> None:
    for _ in range(8):
        queued(queue)

    def claim_two() -> list[Claim]:
        return [*queue.claim(WORKER), *queue.claim(WORKER)]

    def look() -> list[Claim]:
        assert queue.reap() == []
        return []

    claims = [claim for answer in at_once(*[claim_two, look] * 4) for claim in answer]
    assert len(claims) == 8
    assert [job_of(claim).lease_expires_utc for claim in claims] == [claim.lease_expires_utc for claim in claims]


def test_at_most_max_rows_leases_restart_per_call(queue: JobQueue) -> None:
    claims = [claimed(queue) for _ in range(3)]
    put_clock_back(HOURS)
    for done in (1, 2, 3, 3):
        queue.reap(max_rows=1)
        assert sum(seconds_left(claim) < HOURS for claim in claims) == done


def test_the_first_leases_by_number_restart_first_and_those_of_now_are_not_counted(queue: JobQueue) -> None:
    ahead = [queued(queue, job_id=UUID(int=9 - n), priority=n) for n in range(2)]
    queue.claim(WORKER, max_jobs=2)
    put_clock_back(HOURS)
    now = claimed(queue)
    for done in (1, 2):
        queue.reap(max_rows=1)
        assert [job_of(job).locked_utc <= database_now() for job in ahead] == [done >= 1, done >= 2]
    assert job_of(now).lease_expires_utc == now.lease_expires_utc


def test_a_job_that_waits_waits_for_the_time_that_was_asked(queue: JobQueue) -> None:
    job = queued(queue, available_utc=database_now() + timedelta(hours=1))
    put_clock_back(HOURS)
    queue.reap()
    assert status_of(job) == JobStatus.SCHEDULED
    assert queue.promote() == 0


def test_a_dead_workers_id_is_free_again_a_lease_later(queue: JobQueue) -> None:
    started = datetime(2026, 1, 1, tzinfo=UTC)
    before, after = (
        WorkerFacts(host="h", pid=1, version="0.1", started_utc=started + timedelta(hours=hour), concurrency=1)
        for hour in (0, 1)
    )
    queue.heartbeat(WORKER, [], facts=before, lease_seconds=LEASE)
    put_clock_back(HOURS)
    queue.reap()
    assert Worker.objects.get(worker_id=WORKER).last_seen_utc <= database_now()
    with pytest.raises(WorkerIdInUse):
        queue.heartbeat(WORKER, [], facts=after, lease_seconds=LEASE)
    pass_time(LEASE + 1)
    queue.heartbeat(WORKER, [], facts=after, lease_seconds=LEASE)
