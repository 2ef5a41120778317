"""A worker's own numbers, for Prometheus, on a port of this machine alone."""

import re
import socket
from urllib.request import urlopen

import pytest

from derive.errors import ConfigurationError
from tests.contract.scenes import pass_time
from tests.fake_ollama import Gate, behaviours
from tests.faults.worker_world import GOOD_ANSWER, World, wait_until


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def numbers(port: int) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(holocron\S+) (\S+)$", text, re.MULTILINE)}


def test_the_numbers_tell_what_the_worker_did(world: World) -> None:
    last = Gate()
    world.fake.next(behaviours.answer(GOOD_ANSWER), behaviours.crashed(), behaviours.answer(GOOD_ANSWER, gate=last))
    first, second, third = (world.enqueue(priority=priority) for priority in (3, 2, 1))
    port = free_port()
    with world.working(metrics_port=port):
        world.wait_for(first, "SUCCEEDED")
        # By its run: how long the job stays SCHEDULED is drawn by lot, and may be no time at all.
        wait_until(lambda: [run.status for run in world.runs(second)][:1] == ["FAILED"], "the second run has failed")
        wait_until(lambda: len(world.fake.chats) == 3, "the third question")
        wait_until(lambda: numbers(port)['holocron_worker_active_runs{stage="ending"}'] == 0, "all is handed in")
        told = numbers(port)
        last.open()
        world.wait_for(third, "SUCCEEDED")
    assert told["holocron_worker_claims_total"] == 3
    assert told['holocron_worker_completions_total{error_kind="",status="SUCCEEDED"}'] == 1
    assert told['holocron_worker_completions_total{error_kind="model_crashed",status="FAILED"}'] == 1
    assert told["holocron_worker_model_seconds_count"] == 2
    assert told["holocron_worker_first_token_seconds_count"] == 1
    assert told["holocron_worker_first_token_seconds_sum"] <= told["holocron_worker_model_seconds_sum"]
    assert (told["holocron_worker_prompt_tokens_total"], told["holocron_worker_output_tokens_total"]) == (321, 12)
    assert told['holocron_worker_active_runs{stage="asking"}'] == 1
    assert told["holocron_worker_leases_lost_total"] == 0
    assert told["holocron_worker_retries_total"] == 1
    assert told["holocron_worker_run_seconds_count"] == 2
    assert (told["holocron_worker_claiming"], told["holocron_worker_database_up"]) == (1, 1)
    with pytest.raises(OSError, match="refused"):
        numbers(port)


def test_changes_of_model_are_counted_for_each_endpoint(world: World) -> None:
    world.fake.models["other"] = "ab" * 32
    jobs = [world.enqueue(priority=9 - place, model_hint=hint) for place, hint in enumerate((None, "other", "other"))]
    jobs.append(world.enqueue(priority=1))
    port = free_port()
    with world.working(metrics_port=port):
        for job_id in jobs:
            world.wait_for(job_id, "SUCCEEDED")
        assert numbers(port)['holocron_worker_model_switches_total{endpoint="default"}'] == 2


def test_a_lost_lease_is_counted(world: World) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue(max_attempts=3)
    port = free_port()
    with world.working(lease_seconds=3600, metrics_port=port):
        wait_until(lambda: world.fake.chats, "the question")
        world.let_lease_be_reaped(job_id)
        world.wait_for(job_id, "SUCCEEDED")
        wait_until(lambda: numbers(port)["holocron_worker_leases_lost_total"] == 1, "the lost lease is counted")


def test_a_port_that_is_taken_stops_the_start(world: World) -> None:
    job_id = world.enqueue()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="--metrics-port"):
            world.work(metrics_port=taken.getsockname()[1])
    assert world.runs(job_id) == []


def test_what_a_worker_reaps_and_that_it_waits_are_reported(world: World) -> None:
    world.enqueue()
    (lost,) = world.queue.claim("long gone", lease_seconds=1)
    pass_time(60)
    world.fake.go_away()
    port = free_port()
    with world.working(metrics_port=port):
        wait_until(lambda: world.run(lost.job_id).error_kind == "lease_expired", "the run is reaped")
        wait_until(lambda: numbers(port)["holocron_worker_claiming"] == 0, "the model is away")
        assert numbers(port)["holocron_worker_reaps_total"] == 1
