"""``run_llm_worker --processes``: one parent, several workers, the signals and exit codes of one."""

import json
import os
import signal
import socket
import urllib.request

import pytest

from tests.acceptance.worker_processes import ProcessWorld, WorkerProcess, wait_until
from tests.fake_ollama import Gate, behaviours
from tests.faults.worker_world import GOOD_ANSWER

TWO = ("--processes", "2", "--concurrency", "2", "--poll-seconds", "0.1")


def started(process: WorkerProcess, count: int = 2) -> WorkerProcess:
    wait_until(lambda: process.events().count("worker.started") >= count, f"{count} workers have started")
    return process


def children(process: WorkerProcess) -> list[int]:
    """The children's process ids, in the order in which they were begun."""
    lines = [line for line in process.said().splitlines() if line.startswith("{")]
    return [one["pid"] for one in map(json.loads, lines) if one["event"] == "worker.process_begun"]


def has_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_each_process_is_a_worker_with_its_share_of_the_slots(world: ProcessWorld) -> None:
    process = started(world.worker("--processes", "2", "--concurrency", "5", "--worker-id", "w"))
    rows = world.sql("SELECT worker_id, concurrency FROM llm.worker ORDER BY worker_id")
    assert [tuple(row.values()) for row in rows] == [("w/1", 3), ("w/2", 2)]
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0


def test_max_jobs_counts_the_runs_of_all_processes(world: ProcessWorld) -> None:
    jobs = [world.enqueue() for _ in range(5)]
    assert world.worker(*TWO, "--max-jobs", "4").exit_code() == 0
    assert sorted(world.job(job)["status"] for job in jobs) == ["NEW", *["SUCCEEDED"] * 4]


def test_once_is_one_run_whatever_the_processes(world: ProcessWorld) -> None:
    assert world.worker("--once", "--processes", "2").exit_code() == 3
    jobs = [world.enqueue(), world.enqueue()]
    assert world.worker("--once", "--processes", "2").exit_code() == 0
    assert sorted(world.job(job)["status"] for job in jobs) == ["NEW", "SUCCEEDED"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_lets_running_jobs_finish(number: signal.Signals, world: ProcessWorld) -> None:
    gate = Gate()
    world.fake.next(*[behaviours.answer(GOOD_ANSWER, gate=gate)] * 2)
    jobs = [world.enqueue(), world.enqueue()]
    process = started(world.worker(*TWO))
    world.wait_for_question(2)
    process.send(number)
    wait_until(lambda: process.events().count("worker.stopping") == 2, "both are stopping")
    gate.open()
    assert process.exit_code() == 0
    assert [world.job(job)["status"] for job in jobs] == ["SUCCEEDED"] * 2
    assert all(has_gone(pid) for pid in children(process))


def test_a_second_signal_does_not_wait_for_the_model(world: ProcessWorld) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue()
    process = started(world.worker(*TWO, "--grace-seconds", "3600"))
    world.wait_for_question()
    process.send(signal.SIGTERM)
    wait_until(lambda: process.events().count("worker.stopping") == 2, "both are stopping")
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0
    assert (world.job(job_id)["status"], world.job(job_id)["attempt_count"]) == ("NEW", 0)


def test_a_killed_child_is_replaced_and_its_job_is_tried_again(world: ProcessWorld) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue()
    process = started(world.worker(*TWO, "--lease-seconds", "1", "--worker-id", "w"))
    world.wait_for_question()
    holder = world.job(job_id)["locked_by"]
    os.kill(children(process)[int(holder.rpartition("/")[2]) - 1], signal.SIGKILL)
    world.wait_for(job_id, "SUCCEEDED")
    started(process, 3)
    assert "worker.process_replaced" in process.events()
    assert [(run["error_kind"], run["counted"]) for run in world.runs(job_id)] == [
        ("lease_expired", True),
        (None, True),
    ]
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0
    assert len(world.sql("SELECT 1 FROM llm.worker")) == 2


def test_children_that_cannot_start_end_the_parent_with_their_code(world: ProcessWorld) -> None:
    process = world.worker(*TWO, HOLOCRON_REDACTIONS=str(world.folder / "none.toml"))
    assert process.exit_code() == 2
    assert "none.toml cannot be read" in process.said()


def test_the_end_of_the_parent_ends_its_children_in_good_order(world: ProcessWorld) -> None:
    process = started(world.worker(*TWO))
    process.send(signal.SIGKILL)
    assert process.exit_code() == -signal.SIGKILL
    wait_until(lambda: all(has_gone(pid) for pid in children(process)), "the children have gone")
    assert process.events().count("worker.stopped") == 2
    assert all(row["stopping"] for row in world.sql("SELECT stopping FROM llm.worker"))


def test_one_port_serves_the_metrics_of_all_processes(world: ProcessWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    job_id = world.enqueue()
    process = started(world.worker(*TWO, "--metrics-port", str(port)))
    world.wait_for(job_id, "SUCCEEDED")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    claims = [line for line in text.splitlines() if line.startswith("holocron_worker_claims_total{")]
    assert {line.split("}")[0] for line in claims} == {
        'holocron_worker_claims_total{process="1"',
        'holocron_worker_claims_total{process="2"',
    }
    assert sum(float(line.split()[-1]) for line in claims) == 1
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0
