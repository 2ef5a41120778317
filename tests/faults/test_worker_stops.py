"""Stopping: what runs gets its time, what cannot be finished goes back unharmed, and slots are never idle before."""

import os
import threading
from typing import Any

import psutil
import pytest

from derive.contracts import Claim
from derive.models import Job
from derive.queue.worker import WorkerQueue
from derive.states import JobStatus
from tests.fake_ollama import Gate, behaviours
from tests.faults.worker_world import GOOD_ANSWER, SUCCEEDED, World, wait_until


def test_a_running_job_is_finished_within_the_grace_time(world: World) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(GOOD_ANSWER, gate=answer))
    asked, waiting = world.enqueue(), world.enqueue()
    running = world.worker()
    wait_until(lambda: world.fake.chats, "the question")
    running.stop()
    wait_until(running.worker._stopping.is_set, "the stop is heard")
    assert not running.has_ended
    answer.open()
    report = running.report()
    assert (report.runs, report.last_status) == (1, "SUCCEEDED")
    assert world.job(asked).status == "SUCCEEDED"
    assert world.runs(waiting) == []


@pytest.mark.parametrize(("grace_seconds", "stops"), [(0.1, 1), (3600.0, 2)], ids=["grace time over", "told twice"])
def test_what_cannot_be_finished_is_released(grace_seconds: float, stops: int, world: World) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue(max_attempts=1)
    running = world.worker(grace_seconds=grace_seconds)
    wait_until(lambda: world.fake.chats, "the question")
    for _ in range(stops):
        running.stop()
    assert running.report().last_status is None
    (run,) = world.runs(job_id)
    assert (run.status, run.error_kind, run.counted) == ("CANCELLED", "released", False)
    assert (world.job(job_id).status, world.job(job_id).attempt_count) == ("NEW", 0)
    world.has_left_nothing(run)
    world.work()
    assert world.job(job_id).status == "SUCCEEDED"


def test_a_job_claimed_while_the_stop_came_is_released(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, claiming, go_on = WorkerQueue.claim, threading.Event(), threading.Event()

    def claim(self: WorkerQueue, *given: Any, **named: Any) -> list[Claim]:
        claims = real(self, *given, **named)
        if claims:
            claiming.set()
            assert go_on.wait(10)
        return claims

    monkeypatch.setattr(WorkerQueue, "claim", claim)
    job_id = world.enqueue()
    running = world.worker()
    assert claiming.wait(10)
    running.stop()
    wait_until(running.worker._stopping.is_set, "the stop is heard")
    go_on.set()
    running.report()
    assert world.job(job_id).status == "NEW"
    assert [run.error_kind for run in world.runs(job_id)] == ["released"]
    assert world.fake.chats == []


def test_an_idle_worker_stops_at_once(world: World) -> None:
    running = world.worker(poll_seconds=3600.0)
    running.stop()
    assert running.report().runs == 0


def test_a_slot_is_free_when_the_model_has_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, writing, go_on = os.fsync, threading.Event(), threading.Event()

    def fsync(descriptor: int) -> None:
        if world.fake.chats and not writing.is_set():
            writing.set()
            assert go_on.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    first, second = world.enqueue(priority=200), world.enqueue()
    with world.working(concurrency=1):
        assert writing.wait(10)
        world.wait_for(second, "SUCCEEDED")
        assert world.job(first).status == "RUNNING"
        go_on.set()
        world.wait_for(first, "SUCCEEDED")


def test_as_many_answers_are_streamed_as_there_are_slots(world: World) -> None:
    answer = Gate()
    world.fake.always(behaviours.answer(GOOD_ANSWER, gate=answer))
    for _ in range(5):
        world.enqueue()
    running = world.worker(concurrency=3, max_jobs=5)
    wait_until(lambda: len(world.fake.chats) == 3, "three questions")
    assert Job.objects.filter(status=JobStatus.RUNNING).count() == 3
    answer.open()
    assert running.report().runs == 5
    assert Job.objects.filter(status=JobStatus.SUCCEEDED).count() == 5


def test_max_jobs_and_once_leave_the_rest_alone(world: World) -> None:
    jobs = [world.enqueue() for _ in range(4)]
    assert world.work(2, concurrency=4).runs == 2
    assert world.worker(once=True).report().runs == 1
    assert sorted(world.job(job_id).status for job_id in jobs) == ["NEW", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]


def test_once_with_nothing_to_do(world: World) -> None:
    report = world.worker(once=True).report()
    assert (report.runs, report.last_status, report.refusal) == (0, None, None)


def test_a_worker_for_one_model_leaves_jobs_for_others_alone(world: World) -> None:
    world.fake.models |= {"mistral:latest": "b" * 64}
    plain, own, other = world.enqueue(), world.enqueue(model_hint="mistral"), world.enqueue(model_hint="llama3.2")
    world.work(2, model="mistral")
    assert [world.job(job_id).status for job_id in (plain, own, other)] == ["SUCCEEDED", "SUCCEEDED", "NEW"]
    assert {chat.json["model"] for chat in world.fake.chats} == {"mistral"}
    world.has_left(world.run(own), SUCCEEDED)


def test_nothing_stays_open_after_many_runs(world: World) -> None:
    """A worker that leaked a descriptor a run would not live through a weekend."""
    world.fake.next(*[behaviours.crashed(), behaviours.not_the_schema(), behaviours.overloaded()] * 3)
    with world.working(concurrency=4) as running:
        settle(world, running, jobs=12)
        before = psutil.Process().num_fds()
        settle(world, running, jobs=30)
        # The connections to the model vary by as many as there are slots.
        wait_until(lambda: psutil.Process().num_fds() <= before + 4, "no more files are open than before")


def settle(world: World, running: Any, *, jobs: int) -> None:
    for _ in range(jobs):
        world.enqueue()
    wait_until(
        lambda: not Job.objects.filter(status__in=("NEW", "RUNNING")).exists() and len(running.worker._runs) == 0,
        "every job has been worked",
    )
