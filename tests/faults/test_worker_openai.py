"""Whole runs against a server of the OpenAI-compatible protocol: what they leave, and that it verifies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from derive.model_servers.settings import Protocol
from tests.fake_ollama import FakeOllama, behaviours
from tests.fake_ollama.answers import METRICS
from tests.faults.verify_scene import Scene, change_run, facts_answer, forge
from tests.faults.worker_world import SUCCEEDED, World

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "lease"], available_apps=["derive"])


@pytest.fixture
def openai(world: World) -> World:
    world.ollama["protocol"] = Protocol.OPENAI
    return world


@pytest.fixture
def scene(empty_queue: None, tmp_path: Path) -> Iterator[Scene]:
    with FakeOllama() as fake:
        yield Scene(tmp_path / "lake", fake, Protocol.OPENAI)


def test_a_run_leaves_what_it_asked_and_what_it_was_answered(openai: World) -> None:
    job_id = openai.enqueue()
    openai.work()
    run = openai.run(job_id)
    assert (run.status, run.error) == ("SUCCEEDED", None)
    openai.has_left(run, SUCCEEDED - {"response.ndjson"} | {"response.sse"})
    (chat,) = openai.fake.chats
    assert chat.path == "/v1/chat/completions"
    assert openai.file(run, "request.json") == chat.body
    assert chat.json["response_format"]["json_schema"]["strict"] is True
    assert chat.json["stream_options"] == {"include_usage": True}
    assert openai.file(run, "response.sse").endswith(b"data: [DONE]\n\n")


def test_what_the_protocol_cannot_tell_is_null_in_the_row(openai: World) -> None:
    job_id = openai.enqueue()
    openai.work()
    run = openai.run(job_id)
    assert (run.model_name, run.model_tag, run.model_digest) == ("llama3.2", None, None)
    assert (run.prompt_tokens, run.output_tokens) == (METRICS["prompt_eval_count"], METRICS["eval_count"])
    assert json.loads(run.metrics_json)["total_duration"] is None


def test_an_answer_without_numbers_has_none(openai: World) -> None:
    ends = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    openai.fake.next(behaviours.lines(behaviours.piece_line(facts_answer()), ends))
    job_id = openai.enqueue()
    openai.work()
    run = openai.run(job_id)
    assert (run.prompt_tokens, run.output_tokens) == (None, None)
    checks = json.loads(openai.file(run, "validation.json"))["answer_checks"]
    assert not next(check for check in checks if check["name"] == "prompt_was_counted")["passed"]


def test_a_run_is_repeated_with_the_model_and_options_of_the_first(openai: World) -> None:
    first_job = openai.enqueue(model_hint="llama3.2:latest")
    openai.work()
    second_job = openai.enqueue(repeats_run_id=openai.run(first_job).run_id)
    openai.work()
    assert openai.run(second_job).status == "SUCCEEDED"
    first, second = openai.fake.chats
    assert first.body == second.body


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_harms_no_job(openai: World, code: int) -> None:
    openai.fake.next(behaviours.status(code, "Invalid API Key"))
    job_id = openai.enqueue()
    openai.work(2)
    refused, succeeded = openai.runs(job_id)
    assert (refused.error_kind, refused.counted, succeeded.status) == ("model_unavailable", False, "SUCCEEDED")
    assert "set OLLAMA_API_KEY" in refused.error


def test_runs_of_every_end_verify_as_they_were_left(scene: Scene) -> None:
    scene.succeeded()
    scene.corrected()
    scene.work(behaviours.truncated(), behaviours.answer(facts_answer()))
    scene.work(behaviours.breaks_off(), max_attempts=1)
    scene.work(behaviours.error_line(), max_attempts=1)
    assert scene.findings() == []


@pytest.mark.parametrize(
    ("name", "old", "new", "check"),
    [
        ("request.json", b'"seed":0', b'"seed":1', "request"),
        ("request.json", b'"strict":true', b'"strict":null', "request"),
        ("request.json", b'"max_tokens":2048', b'"max_tokens":2047', "request"),
        ("request.json", b'"stream":true', b'"stream":null', "request"),
        ("request.json", b'"model":"llama3.2"', b'"model":"llama3.3"', "request"),
        ("response.json", b'"prompt_tokens":321', b'"prompt_tokens":322', "response"),
        ("response.sse", b'"finish_reason": "stop"', b'"finish_reason": "stap"', "response"),
        ("model.json", b'"seed":0', b'"seed":1', "model"),
    ],
)
def test_a_forgery_is_found_though_all_hashes_fit(scene: Scene, name: str, old: bytes, new: bytes, check: str) -> None:
    run = scene.succeeded()
    assert old in scene.file(run, name).read_bytes()
    forge(scene, run, name, lambda content: content.replace(old, new))
    said_of = "response.json" if name == "response.sse" else name
    assert (said_of, check) in {(file, found) for _, file, found in scene.findings()}


@pytest.mark.parametrize(
    ("column", "value", "file"),
    [
        ("prompt_tokens", 7, "response.json"),
        ("model_name", "mistral", "request.json"),
        ("model_tag", "latest", "request.json"),
        ("options_json", '{"num_ctx":8192,"num_predict":2048,"seed":1,"temperature":0.0}', "request.json"),
    ],
)
def test_a_row_that_differs_from_what_was_said_is_found(scene: Scene, column: str, value: Any, file: str) -> None:
    run = scene.succeeded()
    change_run(run, **{column: value})
    assert file in {name for _, name, _ in scene.findings()}


def test_a_missing_stream_is_found(scene: Scene) -> None:
    run = scene.succeeded()
    scene.file(run, "response.sse").unlink()
    assert ("response.sse", "missing") in {(file, check) for _, file, check in scene.findings()}
