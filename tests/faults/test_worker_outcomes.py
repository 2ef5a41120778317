"""A finished answer is handed in until the database takes it, refuses it by the fence, or finds its content bad."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from django.db import connection

from derive.contracts import Completion, Outcome
from derive.errors import AccessDenied, DatabaseUnavailable, QueueError, SchemaMismatch
from derive.models import Worker
from derive.queue.worker import WorkerQueue
from derive.sql.reading import reading as sql_reading
from derive.worker import previous_runs
from tests.contract.scenes import pass_time
from tests.faults.worker_world import SUCCEEDED, RunningWorker, World, wait_until

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="no statement of SQL Server raises a chosen number below 50000"
)


@contextmanager
def completions_raise(sqlstate: str) -> Iterator[None]:
    """Let the database itself raise the error whenever a run is to end, as a real one does when its disk is full."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION llm.test_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" RAISE EXCEPTION 'refused by a test' USING ERRCODE = '{sqlstate}'; END $$;"
            " CREATE TRIGGER test_refuse BEFORE UPDATE OF status ON llm.run"
            " FOR EACH ROW EXECUTE FUNCTION llm.test_refuse()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION IF EXISTS llm.test_refuse() CASCADE")


def keeps_an_outcome(running: RunningWorker) -> bool:
    return running.worker._runs.outcomes_waiting > 0


@on_postgresql
@pytest.mark.parametrize("sqlstate", ["53100", "53200", "57014", "58030", "28P01", "42501", "42883", "XX000", "55000"])
def test_an_answer_outlives_every_error_that_says_nothing_of_its_content(sqlstate: str, world: World) -> None:
    job_id = world.enqueue(max_attempts=1)
    with completions_raise(sqlstate):
        running = world.worker(max_jobs=1)
        wait_until(lambda: keeps_an_outcome(running), "the outcome is kept")
        assert world.job(job_id).status == "RUNNING"
    assert running.report().last_status == "SUCCEEDED"
    (run,) = world.runs(job_id)
    world.has_left(run, SUCCEEDED)
    assert len(world.fake.chats) == 1


@on_postgresql
@pytest.mark.parametrize("sqlstate", ["23514", "22001", "54000", "HC012"])
def test_an_answer_whose_content_the_database_refuses_ends_its_run(sqlstate: str, world: World) -> None:
    job_id = world.enqueue(max_attempts=1)
    with completions_raise(sqlstate):
        assert world.work().last_status is None
    assert world.job(job_id).status == "RUNNING"
    assert len(world.fake.chats) == 1


@on_postgresql
def test_nothing_is_claimed_while_outcomes_wait(world: World) -> None:
    first, second = world.enqueue(priority=200), world.enqueue()
    with completions_raise("53100"):
        running = world.worker(max_jobs=2)
        wait_until(lambda: keeps_an_outcome(running), "the outcome is kept")
        claims = running.worker._claiming.jobs
        wait_until(lambda: len(world.fake.chats) == claims, "what was claimed before is asked")
        seen = world.fake.count("/api/chat")
        wait_until(lambda: running.worker._runs.why_outcomes_wait, "the reason is told")
        assert "no disk" in str(running.worker._runs.why_outcomes_wait)
        wait_until(lambda: "no disk" in str(Worker.objects.get().not_claiming_why), "the worker's row tells it")
        pass_time(1)
        assert running.worker._claiming.jobs == claims
        assert world.fake.count("/api/chat") == seen
    running.report()
    assert Worker.objects.get().not_claiming_why is None
    assert [world.job(job_id).status for job_id in (first, second)] == ["SUCCEEDED"] * 2
    assert [len(world.runs(job_id)) for job_id in (first, second)] == [1, 1]


@pytest.mark.parametrize(
    "error",
    [
        DatabaseUnavailable("away"),
        AccessDenied("the login is refused while its password changes"),
        SchemaMismatch("being migrated"),
        QueueError("nobody foresaw it"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outcome_is_handed_in_again_after_every_error_of_the_queue(
    error: QueueError, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, said = WorkerQueue.complete, list[UUID]()

    def complete(self: WorkerQueue, outcome: Outcome) -> Completion:
        said.append(outcome.run_id)
        if len(said) <= 3:
            raise error
        return real(self, outcome)

    monkeypatch.setattr(WorkerQueue, "complete", complete)
    job_id = world.enqueue(max_attempts=1)
    assert world.work().last_status == "SUCCEEDED"
    assert len(said) == 4
    world.has_left(world.run(job_id), SUCCEEDED)


def test_evidence_is_read_again_after_a_refused_login(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run reads from the database waits like its outcome: a refused login is no fault of the job."""
    first = world.enqueue()
    world.work()
    real, asked = sql_reading, list[object]()

    def reading(query: Callable[[], object]) -> object:
        asked.append(query)
        if len(asked) <= 2:
            raise AccessDenied("the login is refused while its password changes")
        return real(query)

    monkeypatch.setattr(previous_runs, "reading", reading)
    again = world.enqueue(repeats_run_id=world.run(first).run_id, max_attempts=1)
    assert world.work().last_status == "SUCCEEDED"
    assert len(world.runs(again)) == 1


def test_a_kept_outcome_of_a_lease_that_was_lost_is_refused_by_the_fence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("derive.worker.options.HEARTBEAT_SECONDS", 3600)
    monkeypatch.setattr("derive.worker.lease.REAP_SECONDS", 3600)
    real, reaped = WorkerQueue.complete, threading.Event()

    def complete(self: WorkerQueue, outcome: Outcome) -> Completion:
        if not reaped.is_set():
            raise AccessDenied("the login is refused")
        return real(self, outcome)

    monkeypatch.setattr(WorkerQueue, "complete", complete)
    job_id = world.enqueue()
    running = world.worker(lease_seconds=80_000, max_jobs=1)
    wait_until(lambda: keeps_an_outcome(running), "the outcome is kept")
    world.let_lease_be_reaped(job_id, seconds=80_001)
    reaped.set()
    assert running.report().last_status is None
    assert [run.error_kind for run in world.runs(job_id)] == ["lease_expired"]


def test_a_fault_of_our_own_while_an_outcome_is_handed_in_is_logged_and_frees_the_slot(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def complete(self: WorkerQueue, outcome: Outcome) -> Completion:
        raise AttributeError(outcome.error or "a bug")

    monkeypatch.setattr(WorkerQueue, "complete", complete)
    world.enqueue()
    assert world.work().runs == 1
    said = [record for record in caplog.records if record.message == "run.given_up"]
    assert ["AttributeError" in str(record.__dict__["error"]) for record in said] == [True]
    assert not [record for record in caplog.records if record.name == "asyncio"]
