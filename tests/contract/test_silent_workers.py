"""Workers without a heartbeat for long are removed, with their endpoints; whoever lives or runs something stays."""

from derive.contracts import Claim, EndpointFacts, WorkerFacts
from derive.deadline import NO_DEADLINE
from derive.models import Endpoint, Worker
from derive.queue import JobQueue
from derive.schedules.maintenance import KEPT_DAYS, tidy
from derive.sql import procedures
from derive.states import EndpointState
from derive.worker.options import started_now
from tests.contract.scenes import claim_one, pass_time, queued, run_of, said, success
from tests.contract.sessions import IMPATIENT_MS, a_session

A_DAY = 24 * 3600


def beat(queue: JobQueue, *workers: str) -> None:
    endpoint = EndpointFacts(name="gpu-1", protocol="ollama", address="http://gpu-1", slots=1, state=EndpointState.UP)
    for worker in workers:
        facts = WorkerFacts(
            host="h", pid=1, version="0", started_utc=started_now(), concurrency=1, endpoints=(endpoint,)
        )
        queue.heartbeat(worker, [], facts=facts)


def claimed_by(queue: JobQueue, worker: str) -> Claim:
    queued(queue)
    return claim_one(queue, worker)


def names() -> list[str]:
    return sorted(Worker.objects.values_list("worker_id", flat=True))


def test_a_worker_goes_when_it_was_silent_for_longer_than_the_days(queue: JobQueue) -> None:
    beat(queue, "old")
    pass_time(A_DAY)
    beat(queue, "newer")
    pass_time(29 * A_DAY)
    beat(queue, "living")
    assert queue.forget_workers(silent_days=31) == 0
    assert queue.forget_workers(silent_days=30) == 1
    assert names() == ["living", "newer"]
    assert sorted(Endpoint.objects.values_list("worker_id", flat=True)) == ["living", "newer"]


def test_a_worker_with_a_running_run_stays_however_silent(queue: JobQueue) -> None:
    beat(queue, "busy", "idle")
    claim = claimed_by(queue, "busy")
    pass_time(31 * A_DAY)
    assert queue.forget_workers(silent_days=30) == 1
    assert names() == ["busy"]
    queue.complete(success(claim))
    assert queue.forget_workers(silent_days=30) == 1


def test_a_run_keeps_the_name_of_a_worker_that_is_gone(queue: JobQueue) -> None:
    beat(queue, "old")
    claim = claimed_by(queue, "old")
    queue.complete(success(claim))
    pass_time(31 * A_DAY)
    assert queue.forget_workers(silent_days=30) == 1
    assert run_of(claim).worker_id == "old"


def test_so_many_go_at_a_time(queue: JobQueue) -> None:
    beat(queue, "c", "a", "b")
    pass_time(31 * A_DAY)
    assert queue.forget_workers(silent_days=30, max_rows=2) == 2
    assert names() == ["c"]
    assert [queue.forget_workers(silent_days=30, max_rows=2) for _ in range(2)] == [1, 0]


def test_without_days_a_month_is_kept(queue: JobQueue) -> None:
    beat(queue, "old")
    pass_time(29 * A_DAY)
    assert said(procedures.FORGET_WORKERS) == [(0,)]
    pass_time(2 * A_DAY)
    assert said(procedures.FORGET_WORKERS) == [(1,)]


def test_a_worker_whose_heartbeat_is_under_way_is_not_waited_for(queue: JobQueue) -> None:
    beat(queue, "old")
    pass_time(31 * A_DAY)
    with a_session() as beating, a_session(wait_ms=IMPATIENT_MS) as tidying:
        beating.run("UPDATE llm.worker SET active_runs = active_runs")
        assert not tidying.has_to_wait(procedures.FORGET_WORKERS)
    assert names() == ["old"]


def test_tidying_up_forgets_them(queue: JobQueue) -> None:
    beat(queue, "old")
    pass_time((KEPT_DAYS + 1) * A_DAY)
    beat(queue, "living")
    tidy(NO_DEADLINE)
    assert names() == ["living"]
