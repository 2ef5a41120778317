"""Calls are transactions of their own, and are said again only where saying twice does what saying once does."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction

from derive.errors import DatabaseUnavailable, InsideTransaction
from derive.models import Job, JobEvent, ReadOnlyModelError, Run
from derive.queue import JobQueue
from derive.sql import calls
from derive.sql.calls import Row
from derive.sql.scripts import Script, _apply, read_script
from derive.sql.tables import engine_of
from derive.states import JobStatus, LeaseState
from tests.contract.scenes import (
    ACTOR,
    a_job,
    an_artifact,
    at_once,
    claim_one,
    claimed,
    queued,
    status_of,
    success,
)


@pytest.fixture
def answers_lost(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lose the answers of the next calls: each is carried out, and the connection breaks before it answers."""

    def lose(count: int) -> None:
        send = calls._send
        left = [count]

        def send_and_break(*arguments: Any) -> Sequence[Row]:
            rows = send(*arguments)
            if left[0] == 0:
                return rows
            left[0] -= 1
            raise OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(calls, "_send", send_and_break)

    return lose


def test_no_call_joins_a_longer_transaction(queue: JobQueue) -> None:
    with transaction.atomic(), pytest.raises(InsideTransaction):
        queue.enqueue(a_job(), actor=ACTOR)
    assert Job.objects.count() == 0


def test_no_call_joins_a_connection_that_does_not_commit_by_itself(queue: JobQueue) -> None:
    connection.set_autocommit(False)
    try:
        with pytest.raises(InsideTransaction):
            queue.claim("w")
    finally:
        connection.rollback()
        connection.set_autocommit(True)


def test_an_enqueue_whose_answer_was_lost_is_stored_once(queue: JobQueue, answers_lost: Callable[[int], None]) -> None:
    answers_lost(1)
    answer = queue.enqueue(a_job(dedupe_key="luke"), actor=ACTOR)
    assert not answer.is_duplicate
    assert Job.objects.get().job_id == answer.job_id
    assert JobEvent.objects.count() == 1


def test_a_batch_whose_answer_was_lost_is_stored_once(queue: JobQueue, answers_lost: Callable[[int], None]) -> None:
    answers_lost(1)
    answers = queue.enqueue_many([a_job(dedupe_key=str(n % 8)) for n in range(10)], actor=ACTOR)
    assert sum(answer.is_duplicate for answer in answers) == 2
    assert Job.objects.count() == 8


def test_a_completion_whose_answer_was_lost_is_stored_once(
    queue: JobQueue, answers_lost: Callable[[int], None]
) -> None:
    claim = claimed(queue)
    answers_lost(1)
    answer = queue.complete(success(claim, artifacts=(an_artifact(),)))
    assert (answer.accepted, answer.final_status) == (True, JobStatus.SUCCEEDED)


def test_a_claim_whose_answer_was_lost_is_not_repeated_but_found_as_stray(
    queue: JobQueue, answers_lost: Callable[[int], None]
) -> None:
    queued(queue)
    queued(queue)
    answers_lost(1)
    with pytest.raises(DatabaseUnavailable):
        queue.claim("worker-1")
    assert Run.objects.count() == 1
    (lease,) = queue.heartbeat("worker-1", [])
    assert lease.state == LeaseState.STRAY
    assert queue.release(lease.run_id).accepted


def test_an_answer_that_is_lost_again_is_given_up(queue: JobQueue, answers_lost: Callable[[int], None]) -> None:
    answers_lost(9)
    with pytest.raises(DatabaseUnavailable):
        queue.heartbeat("worker-1", [])


def test_the_queue_continues_after_its_connection_was_terminated(queue: JobQueue) -> None:
    queued(queue)
    connection.connection.close()
    queue.heartbeat("worker-1", [])
    connection.connection.close()
    with pytest.raises(DatabaseUnavailable):
        queue.claim("worker-1")
    assert claim_one(queue).attempt == 1


def test_a_connection_that_broke_while_idle_is_replaced_before_the_call(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(queue)
    monkeypatch.setattr(calls, "IDLE_SECONDS", -1.0)
    connection.connection.close()
    assert claim_one(queue).attempt == 1


def test_each_thread_has_its_own_connection(queue: JobQueue) -> None:
    answers = at_once(*(lambda: queue.enqueue(a_job(), actor=ACTOR) for _ in range(3)))
    assert len({answer.job_id for answer in answers}) == 3


def test_the_models_refuse_to_write(queue: JobQueue) -> None:
    job = Job.objects.get(job_id=queued(queue).job_id)
    writes: list[Callable[[], object]] = [
        lambda: job.save(),  # noqa: PLW0108 (the method itself is untyped)
        lambda: job.delete(),  # noqa: PLW0108
        lambda: Job.objects.all().delete(),
        lambda: Job.objects.update(priority=1),
        lambda: Job.objects.create(job_id=uuid4()),
        lambda: Job.objects.bulk_create([job]),
        lambda: Job.objects.bulk_update([job], ["priority"]),
    ]
    for write in writes:
        with pytest.raises(ReadOnlyModelError, match="JobQueue"):
            write()
    assert status_of(job.job_id) == JobStatus.NEW


@pytest.fixture
def locks_taken(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[float]]:
    """Let the next calls be a deadlock's victims; return the pauses made between them, which are not waited out."""

    def refuse(count: int) -> list[float]:
        send = calls._send
        left = [count]
        pauses: list[float] = []

        def send_or_refuse(*arguments: Any) -> Sequence[Row]:
            if left[0] == 0:
                return send(*arguments)
            left[0] -= 1
            raise OperationalError("the transaction was chosen as the deadlock victim")

        monkeypatch.setattr(calls, "_send", send_or_refuse)
        monkeypatch.setattr(time, "sleep", pauses.append)
        return pauses

    return refuse


def test_a_deadlocks_victim_is_retried_after_pauses_a_claim_too(
    queue: JobQueue, locks_taken: Callable[[int], list[float]]
) -> None:
    queued(queue)
    pauses = locks_taken(3)
    assert claim_one(queue).attempt == 1
    assert len(pauses) == 3
    assert all(0 <= pause <= calls.FIRST_PAUSE_SECONDS * 2**tries for tries, pause in enumerate(pauses, start=1))


def test_locks_that_stay_taken_end_the_call(queue: JobQueue, locks_taken: Callable[[int], list[float]]) -> None:
    pauses = locks_taken(100)
    with pytest.raises(DatabaseUnavailable, match="locks"):
        queue.claim("worker-1")
    assert len(pauses) == calls.MAX_CONTENDED_TRIES - 1


def test_a_worker_continues_when_migrate_reinstalls_a_procedure(queue: JobQueue) -> None:
    for _ in range(6):
        claimed(queue)
    engine = engine_of(connection)
    for name in ("usp_claim_next_job", "usp_enqueue_job"):
        at_once(partial(_install, read_script(engine, f"procedures/{name}.sql")))
    assert claimed(queue).attempt == 1


def _install(script: Script) -> None:
    with transaction.atomic():
        _apply(connection, script)
