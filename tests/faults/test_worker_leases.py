"""Leases: kept whatever the worker is busy with, and a run that has lost its own changes nothing any more."""

import json
import os
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from derive.contracts import Claim, Completion, JobRef, Outcome
from derive.errors import BadArgument, DatabaseUnavailable, WorkerIdInUse
from derive.evidence.bundle import build_bundle
from derive.model_servers import client
from derive.models import Worker
from derive.queue.worker import WorkerQueue
from tests.contract.scenes import _write, pass_time
from tests.fake_ollama import Gate, behaviours
from tests.faults.worker_world import ANSWERED, ASKED, OPERATOR, REFUSED, SUCCEEDED, World, wait_until


def test_cancelling_a_running_job_closes_the_models_connection(world: World) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue()
    with world.working():
        wait_until(lambda: world.fake.chats, "the question")
        asked = world.fake.open_connections
        world.cancel(job_id)
        world.fake.wait_until(lambda: world.fake.open_connections < asked)
        world.wait_for(job_id, "CANCELLED")
    (run,) = world.runs(job_id)
    assert (run.status, run.error_kind, run.counted) == ("CANCELLED", "cancelled", False)
    assert world.job(job_id).attempt_count == 0
    world.has_left(run, REFUSED)


def test_a_run_cancelled_when_its_answer_had_come_keeps_what_the_answer_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TAIL_SECONDS", 3600)
    world.fake.next(behaviours.stays_open())
    job_id = world.enqueue()
    with world.working():
        wait_until(lambda: b'"done": true' in _streamed(world), "the whole answer")
        world.cancel(job_id)
        world.wait_for(job_id, "CANCELLED")
    run = world.run(job_id)
    world.has_left(run, ANSWERED)
    numbers = json.loads(world.file(run, "response.json"))
    assert (run.prompt_tokens, run.output_tokens) == (numbers["prompt_eval_count"], numbers["eval_count"]) != (0, 0)
    assert json.loads(run.metrics_json)["eval_count"] == numbers["eval_count"]


def _streamed(world: World) -> bytes:
    """What has been kept of the answer that is coming."""
    return b"".join(path.read_bytes() for path in world.lake_root.rglob(".response.ndjson.*"))


def test_cancelling_while_the_question_is_prepared_ends_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()
    held_back(monkeypatch, reading, go_on)
    job_id = world.enqueue()
    with world.working() as running:
        reading.wait(10)
        (active,) = running.worker._runs._active.values()
        world.cancel(job_id)
        wait_until(lambda: active.stop_reason, "the cancellation is heard")
        go_on.set()
        world.wait_for(job_id, "CANCELLED")
    assert world.fake.chats == []
    world.has_left(world.run(job_id), ASKED - {"model.json"})


def held_back(monkeypatch: pytest.MonkeyPatch, reading: threading.Event, go_on: threading.Event) -> None:
    """Hold the next question back while it is prepared."""
    real = build_bundle

    def build(*given: Any, **named: Any) -> Any:
        reading.set()
        assert go_on.wait(10)
        return real(*given, **named)

    monkeypatch.setattr("derive.worker.question.build_bundle", build)


def test_a_lost_lease_stops_the_run_and_changes_nothing(world: World) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue(max_attempts=3)
    with world.working(lease_seconds=3600) as running:
        wait_until(lambda: world.fake.chats, "the question")
        world.let_lease_be_reaped(job_id)
        world.wait_for(job_id, "SUCCEEDED")
        wait_until(lambda: len(running.worker._runs) == 0, "the lost run ends, whose model would never have answered")
    first, second = world.runs(job_id)
    assert (first.error_kind, first.counted) == ("lease_expired", True)
    assert second.status == "SUCCEEDED"
    world.has_left_nothing(first)
    world.has_left(second, SUCCEEDED)


def test_an_answer_that_comes_after_the_lease_was_lost_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat has not noticed yet: the completing call itself must."""
    answer = Gate()
    world.fake.next(behaviours.answer(gate=answer))
    monkeypatch.setattr("derive.worker.options.HEARTBEAT_SECONDS", 3600)
    monkeypatch.setattr("derive.worker.lease.REAP_SECONDS", 3600)
    job_id = world.enqueue()
    running = world.worker(lease_seconds=80_000, max_jobs=1)
    wait_until(lambda: world.fake.chats, "the question")
    world.let_lease_be_reaped(job_id, seconds=80_001)
    answer.open()
    assert running.report().last_status is None
    assert world.job(job_id).status == "NEW"
    assert [run.error_kind for run in world.runs(job_id)] == ["lease_expired"]


def test_a_completion_whose_answer_is_lost_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = WorkerQueue.complete
    said: list[UUID] = []

    def complete(self: WorkerQueue, outcome: Outcome) -> Completion:
        said.append(outcome.run_id)
        answer = real(self, outcome)
        if len(said) <= 2:
            raise DatabaseUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(WorkerQueue, "complete", complete)
    job_id = world.enqueue()
    assert world.work().last_status == "SUCCEEDED"
    assert len(said) == 3
    (run,) = world.runs(job_id)
    world.has_left(run, SUCCEEDED)


def test_a_claim_whose_answer_never_arrived_comes_back_and_is_released(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = WorkerQueue.claim
    lost: list[Claim] = []

    def claim(self: WorkerQueue, *given: Any, **named: Any) -> list[Claim]:
        claims = real(self, *given, **named)
        if claims and not lost:
            lost.extend(claims)
            raise DatabaseUnavailable("the answer was lost")
        return claims

    monkeypatch.setattr(WorkerQueue, "claim", claim)
    job_id = world.enqueue(max_attempts=1)
    with world.working():
        world.wait_for(job_id, "SUCCEEDED")
    first, second = world.runs(job_id)
    assert (first.run_id, first.error_kind, first.counted) == (lost[0].run_id, "released", False)
    assert (second.status, world.job(job_id).attempt_count) == ("SUCCEEDED", 1)


def test_runs_are_no_strays_while_claims_are_under_way(world: World) -> None:
    """Many short jobs under a heartbeat that never pauses: none may be given back by mistake."""
    jobs = [world.enqueue() for _ in range(40)]
    world.work(40, concurrency=4)
    assert [len(world.runs(job_id)) for job_id in jobs] == [1] * 40


def test_what_a_worker_of_this_name_left_behind_is_released_at_the_start(world: World) -> None:
    job_id = world.enqueue(max_attempts=1)
    (left,) = world.queue.claim("the-one", lease_seconds=3600)
    with world.working(worker_id="the-one"):
        world.wait_for(job_id, "SUCCEEDED")
    first, second = world.runs(job_id)
    assert (first.run_id, first.error_kind, second.status) == (left.run_id, "released", "SUCCEEDED")


def test_a_second_worker_of_the_same_name_is_refused(world: World) -> None:
    with world.working(worker_id="the-one"):
        wait_until(lambda: world.fake.count("/api/show"), "the first one is up")
        second = world.worker(worker_id="the-one", max_jobs=1)
        with pytest.raises(WorkerIdInUse, match="choose another --worker-id"):
            second.report()


def test_a_worker_whose_name_was_taken_over_stops_and_writes_nothing(world: World) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue()
    running = world.worker(worker_id="the-one", lease_seconds=3600)
    wait_until(lambda: world.fake.chats, "the question")
    asked = world.fake.open_connections
    take_over("the-one")
    with pytest.raises(WorkerIdInUse):
        running.report()
    assert world.fake.open_connections < asked
    assert world.job(job_id).status == "RUNNING"
    world.has_left_nothing(world.run(job_id))


def take_over(worker_id: str) -> None:
    """Put another start of the worker into its row, as a new worker does when the row is stale."""
    (row,) = Worker.objects.filter(worker_id=worker_id)
    _write(row, {Worker._meta.get_field("started_utc"): row.started_utc + timedelta(seconds=1)})


def test_a_busy_event_loop_costs_no_lease(world: World) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(gate=answer))
    job_id = world.enqueue()
    with world.working(lease_seconds=1) as running:
        wait_until(lambda: world.fake.chats, "the question")
        before = world.job(job_id).lease_expires_utc
        busy, go_on = threading.Event(), threading.Event()

        def keep_busy() -> None:
            busy.set()
            go_on.wait(10)

        running.in_loop(keep_busy)
        assert busy.wait(10)
        wait_until(lambda: (world.job(job_id).lease_expires_utc - before).total_seconds() > 2, "renewed twice")
        go_on.set()
        answer.open()
        world.wait_for(job_id, "SUCCEEDED")
    assert len(world.runs(job_id)) == 1


def test_a_slow_lake_costs_no_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, slow, go_on = os.fsync, threading.Event(), threading.Event()

    def fsync(descriptor: int) -> None:
        if world.fake.chats:
            slow.set()
            assert go_on.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    job_id = world.enqueue()
    with world.working(lease_seconds=1):
        assert slow.wait(10)
        before = world.job(job_id).lease_expires_utc
        wait_until(lambda: (world.job(job_id).lease_expires_utc - before).total_seconds() > 2, "renewed twice")
        go_on.set()
        world.wait_for(job_id, "SUCCEEDED")
    assert len(world.runs(job_id)) == 1


def test_a_worker_reaps_what_others_left(world: World) -> None:
    job_id = world.enqueue()
    world.queue.claim("one that died", lease_seconds=60)
    pass_time(61)
    with world.working():
        world.wait_for(job_id, "SUCCEEDED")
    assert [run.error_kind for run in world.runs(job_id)] == ["lease_expired", None]


def test_an_outcome_that_the_database_refuses_ends_the_run_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = WorkerQueue.complete

    def complete(self: WorkerQueue, outcome: Outcome) -> Completion:
        if outcome.artifacts:
            raise BadArgument("usp_complete_job: artifacts_json is malformed", number=12)
        return real(self, outcome)

    monkeypatch.setattr(WorkerQueue, "complete", complete)
    job_id = world.enqueue()
    assert world.work().last_status == "SCHEDULED"
    (run,) = world.runs(job_id)
    assert (run.error_kind, run.counted) == ("internal", True)
    assert "the database refused what this run left" in run.error


def test_an_operators_changes_meanwhile_do_not_disturb_a_run(world: World) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(gate=answer))
    job_id = world.enqueue()
    with world.working():
        wait_until(lambda: world.fake.chats, "the question")
        refs: Sequence[JobRef] = [JobRef(job_id=job_id)]
        world.queue.reprioritize(refs, actor=OPERATOR, priority=500)
        world.queue.set_hold(refs, actor=OPERATOR, hold=True)
        answer.open()
        world.wait_for(job_id, "SUCCEEDED")
    assert len(world.runs(job_id)) == 1
