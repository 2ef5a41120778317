"""A worker counts what happened into hours, beside its runs; whatever comes of that, the runs go on."""

from functools import partial
from typing import Any

import pytest
from django.db import connection

from derive.contracts import RolledUp
from derive.errors import DatabaseUnavailable
from derive.queue.worker import WorkerQueue
from derive.worker import loop
from derive.worker.hourly_rollup import HourlyRollup
from tests.faults.worker_world import World, wait_until


def _counted(column: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COALESCE(SUM({column}), 0) FROM llm.stat_hour")
        return int(cursor.fetchone()[0])


def test_a_worker_counts_what_happened_while_it_lives(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "HourlyRollup", partial(HourlyRollup, every_seconds=0.02))
    job_id = world.enqueue()
    running = world.worker()
    wait_until(lambda: _counted("succeeded"), "the success is counted")
    running.stop()
    running.report()
    assert world.job(job_id).status == "SUCCEEDED"
    assert (_counted("enqueued"), _counted("claimed"), _counted("succeeded")) == (1, 1, 1)
    assert _counted("output_tokens") > 0


def test_counting_that_fails_is_resumed_and_disturbs_no_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "HourlyRollup", partial(HourlyRollup, every_seconds=0.02))
    real = WorkerQueue.roll_up_hours
    failures: list[Exception] = [DatabaseUnavailable("away"), ZeroDivisionError("a fault of our own")]

    def failing(self: WorkerQueue, **options: Any) -> RolledUp | None:
        if failures:
            raise failures.pop()
        return real(self, **options)

    monkeypatch.setattr(WorkerQueue, "roll_up_hours", failing)
    job_id = world.enqueue()
    running = world.worker()
    wait_until(lambda: _counted("succeeded"), "the success is counted")
    running.stop()
    running.report()
    assert not failures
    assert world.job(job_id).status == "SUCCEEDED"
