"""What a worker's process says, line by line: JSON alone where that is asked for, spans where they are."""

import json
import signal
import socket
import time
from typing import Any

from derive.worker.telemetry import SHUTDOWN_SECONDS
from tests.acceptance.otlp_collector import attributes_of, collecting
from tests.acceptance.worker_processes import ProcessWorld
from tests.fake_ollama import behaviours


def lines_of(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def test_every_line_of_a_worker_is_json_whatever_happens(world: ProcessWorld) -> None:
    """Good answers and bad, a model that crashes, a database that goes away and comes back, a stop."""
    world.fake.next(
        behaviours.wrong_quote("e1"), behaviours.crashed(), behaviours.answer("no JSON\n{}"), behaviours.falls_silent()
    )
    jobs = [world.enqueue(max_attempts=1, priority=200 - place) for place in range(3)]
    silent = world.enqueue()
    process = world.looping("--verbose", "--grace-seconds", "0.1")
    for job_id in jobs:
        world.wait_for(job_id, "DEADLETTER")
    world.wait_for_question(4)
    world.postgres.stop()
    try:
        process.wait_for("worker.database_away")
    finally:
        world.postgres.start()
    process.wait_for("worker.database_back")
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0
    lines = lines_of(process.said())
    assert all({"time", "level", "logger", "event"} <= line.keys() for line in lines)
    assert {"worker.started", "job.claimed", "run.completed", "run.released", "worker.stopped"} <= {
        line["event"] for line in lines
    }
    assert world.job(silent)["status"] == "NEW"


def test_spans_go_where_the_settings_say(world: ProcessWorld) -> None:
    job_id = world.enqueue()
    process = world.worker("--once", OTEL_TRACES_EXPORTER="console", OTEL_SERVICE_NAME="mine")
    assert process.exit_code() == 0
    told = [line for line in lines_of(process.said()) if "context" in line]
    assert [span["name"] for span in told] == [
        *("claim", "evidence", "chat llama3.2", "validate", "lake", "complete", "run")
    ]
    (run,) = world.runs(job_id)
    assert {span["context"]["trace_id"] for span in told[1:]} == {f"0x{run['trace_id']}"}
    assert told[0]["resource"]["attributes"]["service.name"] == "mine"


def test_a_collector_receives_the_spans_and_the_numbers_of_a_run(world: ProcessWorld) -> None:
    job_id = world.enqueue()
    with collecting() as collector:
        process = world.worker(
            "--once", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_HEADERS="x-team=archive"
        )
        assert process.exit_code() == 0, process.said()
    assert [span.name for span in collector.spans] == [
        *("claim", "evidence", "chat llama3.2", "validate", "lake", "complete", "run")
    ]
    (run,) = world.runs(job_id)
    *_, root = collector.spans
    assert {span.trace_id.hex() for span in collector.spans[1:]} == {run["trace_id"]}
    assert {span.parent_span_id for span in collector.spans[1:-1]} == {root.span_id}
    assert attributes_of(root)["holocron.run_id"] == str(run["run_id"])
    assert {metric.name for metric in collector.metrics} == {
        *("gen_ai.client.token.usage", "gen_ai.client.operation.duration")
    }
    assert collector.services == {"holocron"}
    assert {headers["x-team"] for headers in collector.headers} == {"archive"}


def test_a_collector_that_hangs_costs_no_run_and_keeps_no_worker(world: ProcessWorld) -> None:
    job_id = world.enqueue()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = world.worker("--once", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
        world.wait_for(job_id, "SUCCEEDED")
        ended = time.monotonic()
        assert process.exit_code() == 0
    assert time.monotonic() - ended < SHUTDOWN_SECONDS + 3
    lines_of(process.said())
