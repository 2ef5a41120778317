"""Workers end batches beside their runs, with no scheduler; whatever comes of that, the runs go on."""

from functools import partial
from typing import Any
from uuid import UUID

import pytest

from derive.batch_contracts import BatchInput, FollowUp, Swept
from derive.errors import DatabaseUnavailable
from derive.models import Batch, BatchEvent, Job
from derive.queue import JobQueue
from derive.queue.worker import WorkerQueue
from derive.states import JobStatus
from derive.worker import loop
from derive.worker.batch_sweep import BatchSweep
from tests.contract.scenes import a_job
from tests.faults.worker_world import OPERATOR, World, input_json, wait_until


@pytest.fixture(autouse=True)
def sweeping_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BatchSweep", partial(BatchSweep, every_seconds=0.02))


def a_batch(amount: int, **values: Any) -> UUID:
    queue = JobQueue()
    batch_id = queue.open_batch(BatchInput(name="letters", **values), actor=OPERATOR).batch_id
    queue.enqueue_many([a_job(input_json=input_json()) for _ in range(amount)], actor=OPERATOR, batch_id=batch_id)
    queue.fill_batch(batch_id, actor=OPERATOR)
    return batch_id


def has_ended(batch_id: UUID) -> bool:
    return Batch.objects.get(batch_id=batch_id).finished_utc is not None


def test_a_worker_ends_a_batch_and_works_off_what_follows_it(world: World) -> None:
    following = FollowUp(jobs=(a_job(input_json=input_json(), entity_id="after"),))
    batch_id = a_batch(3, on_finish=following)
    running = world.worker()
    wait_until(
        lambda: Job.objects.filter(entity_id="after", status=JobStatus.SUCCEEDED).exists(), "what follows succeeded"
    )
    running.stop()
    running.report()
    assert has_ended(batch_id)
    assert BatchEvent.objects.filter(batch_id=batch_id, event="batch_finished").count() == 1
    assert Job.objects.filter(entity_id="after").count() == 1


def test_a_worker_that_stops_ends_the_batch_of_its_last_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BatchSweep", partial(BatchSweep, every_seconds=3_600))
    batch_id = a_batch(1)
    assert world.work().last_status == JobStatus.SUCCEEDED
    assert has_ended(batch_id)


def test_a_worker_brings_a_pause_to_its_end(world: World) -> None:
    queue = JobQueue()
    batch_id = queue.open_batch(BatchInput(name="letters"), actor=OPERATOR).batch_id
    queue.enqueue_many([a_job(available_utc="2999-01-01T00:00:00Z")] * 3, batch_id=batch_id)
    queue._set_batch(batch_id, OPERATOR, None, paused=True)
    running = world.worker()
    wait_until(lambda: Batch.objects.get(batch_id=batch_id).marked_job_seq is None, "all jobs are paused")
    running.stop()
    running.report()
    assert Job.objects.filter(batch_id=batch_id, paused_utc__isnull=False).count() == 3


def test_a_sweep_that_fails_is_resumed_and_disturbs_no_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = WorkerQueue.sweep_batches
    failures: list[Exception] = [DatabaseUnavailable("away"), ZeroDivisionError("a fault of our own")]

    def failing(self: WorkerQueue, **options: Any) -> list[Swept]:
        if failures:
            raise failures.pop()
        return real(self, **options)

    monkeypatch.setattr(WorkerQueue, "sweep_batches", failing)
    batch_id = a_batch(1)
    running = world.worker()
    wait_until(lambda: has_ended(batch_id), "the batch has ended")
    running.stop()
    running.report()
    assert not failures
    assert Job.objects.get(batch_id=batch_id).status == JobStatus.SUCCEEDED
