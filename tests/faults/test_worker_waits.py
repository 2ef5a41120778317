"""Model server or lake away: jobs are given back unharmed, nothing is claimed, and work goes on when they are back."""

import errno
from collections.abc import Callable
from typing import Any

import pytest

from derive.lake_stores import local
from derive.lake_stores.store import describe_unavailable
from derive.models import Worker
from tests.fake_ollama import Exchange, Gate, behaviours
from tests.faults.worker_world import SUCCEEDED, RunningWorker, World, wait_until
from tests.unit.lake.scene import fail_with


def is_waiting(running: RunningWorker) -> Callable[[], bool]:
    return lambda: not running.worker._endpoints[0].circuit_breaker.is_open


def test_nothing_is_claimed_while_the_model_server_is_absent(world: World) -> None:
    world.fake.go_away()
    job_id = world.enqueue()
    with world.working() as running:
        wait_until(is_waiting(running), "the worker waits")
        assert world.runs(job_id) == []
        wait_until(lambda: Worker.objects.get().not_claiming_why, "the worker's row tells why")
        world.fake.come_back()
        world.wait_for(job_id, "SUCCEEDED")
    assert [run.status for run in world.runs(job_id)] == ["SUCCEEDED"]


def test_a_server_that_goes_away_costs_no_attempt(world: World) -> None:
    with world.working() as running:
        wait_until(lambda: world.fake.count("/api/show"), "the first probe")
        world.fake.go_away()
        job_id = world.enqueue(max_attempts=1)
        wait_until(is_waiting(running), "the worker waits")
        world.fake.come_back()
        world.wait_for(job_id, "SUCCEEDED")
    away, *_, last = world.runs(job_id)
    assert (away.error_kind, away.counted) == ("model_unavailable", False)
    assert (last.status, world.job(job_id).attempt_count) == ("SUCCEEDED", 1)
    world.has_left(last, SUCCEEDED)


def test_nothing_is_claimed_while_the_configured_model_is_missing(world: World) -> None:
    models, world.fake.models = world.fake.models, {}
    job_id = world.enqueue()
    with world.working() as running:
        wait_until(is_waiting(running), "the worker waits")
        assert world.runs(job_id) == []
        world.fake.models = models
        world.wait_for(job_id, "SUCCEEDED")


def test_an_overloaded_server_is_left_alone_until_it_answers_a_probe(world: World) -> None:
    refusal = Gate()

    async def refuse(exchange: Exchange) -> None:
        await refusal.wait()
        await behaviours.overloaded()(exchange)

    world.fake.next(refuse)
    job_ids = [world.enqueue() for _ in range(3)]
    with world.working() as running:
        wait_until(lambda: world.fake.chats, "the first question")
        world.fake.always(behaviours.crashed(), path="/api/show")
        refusal.open()
        wait_until(is_waiting(running), "the worker waits")
        wait_until(lambda: world.fake.requests[-1].path == "/api/show", "a probe")
        assert len(world.fake.chats) == 1
        world.fake.always(None, path="/api/show")
        for job_id in job_ids:
            world.wait_for(job_id, "SUCCEEDED")
    assert sorted(len(world.runs(job_id)) for job_id in job_ids) == [1, 1, 2]


def test_a_worker_that_waits_for_a_silent_server_stops_at_once(world: World) -> None:
    world.fake.always(behaviours.silent(), path="/api/show")
    with world.working() as running:
        wait_until(lambda: world.fake.count("/api/show"), "a probe")
        running.stop()
        wait_until(lambda: running.has_ended, "the end", seconds=5)


@pytest.mark.parametrize(
    ("number", "call"),
    [(errno.EROFS, "open"), (errno.ENOSPC, "write"), (errno.ENOSPC, "fsync"), (errno.EIO, "fsync")],
    ids=["read-only", "full at a write", "full at a sync", "broken"],
)
def test_a_lake_that_cannot_be_written_costs_no_attempt(
    number: int, call: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(gate=answer))
    job_id = world.enqueue(max_attempts=1)
    with world.working() as running:
        wait_until(lambda: world.fake.chats, "the question")
        with monkeypatch.context() as broken:
            fail_with_below(world, broken, number, call)
            answer.open()
            wait_until(is_waiting(running), "the worker waits")
            world.wait_for(job_id, "NEW")
            assert world.job(job_id).error_kind == "lake_unavailable"
        world.wait_for(job_id, "SUCCEEDED")
    first, last = world.runs(job_id)
    assert (first.status, first.error_kind, first.counted) == ("FAILED", "lake_unavailable", False)
    assert str(world.lake_root) in first.error
    world.has_left_nothing(first)
    world.has_left(last, SUCCEEDED)


def fail_with_below(world: World, patch: pytest.MonkeyPatch, number: int, call: str) -> None:
    """Let the call fail, for the lake alone: the rest of this process has files as well."""
    if call == "open":
        # What the store opens first, for everything it does.
        def refuse(self: local.LocalStore, *, create: bool) -> Any:
            raise describe_unavailable(self.root, OSError(number, "read-only"))

        patch.setattr(local.LocalStore, "_open_root", refuse)
        patch.setattr(local.LocalStore, "put", lambda self, *_, **__: refuse(self, create=True))
    else:
        fail_with(number, patch, call)


def test_nothing_is_claimed_while_the_lake_is_away(world: World) -> None:
    world.lake_root.write_text("a file where the folder should be")
    job_id = world.enqueue()
    with world.working() as running:
        wait_until(is_waiting(running), "the worker waits")
        assert world.runs(job_id) == []
        world.lake_root.unlink()
        world.wait_for(job_id, "SUCCEEDED")


def test_a_folder_that_holds_other_bytes_fails_the_run_and_keeps_them(world: World) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(gate=answer))
    job_id = world.enqueue()
    with world.working():
        wait_until(lambda: world.fake.chats, "the question")
        run = world.run(job_id)
        world.lake.write(world.folder(run), "prompt.txt", b"somebody else's")
        answer.open()
        # By its run: how long the job stays SCHEDULED is drawn by lot, and may be no time at all.
        wait_until(lambda: world.runs(job_id)[0].status == "FAILED", "the run has failed")
    assert (world.runs(job_id)[0].error_kind, world.runs(job_id)[0].counted) == ("internal", True)
    assert world.file(run, "prompt.txt") == b"somebody else's"


def test_once_says_why_it_could_not_begin(world: World) -> None:
    world.fake.go_away()
    world.enqueue()
    report = world.work(once=True)
    assert report.runs == 0
    assert world.fake.url in str(report.refusal)
