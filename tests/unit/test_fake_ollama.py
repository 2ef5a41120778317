"""The fake that other tests and the bench stand on: that it keeps its own promises."""

import contextlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import httpx

from tests.fake_ollama import FakeOllama
from tests.fake_ollama.answers import smallest


def ask(url: str) -> httpx.Response:
    return httpx.post(f"{url}/api/chat", json={"model": "llama3.2", "stream": True}, trust_env=False, timeout=10)


def test_it_limits_concurrent_answers_and_delays_each() -> None:
    with FakeOllama(latency_ms=100, slots=2) as fake, ThreadPoolExecutor(4) as callers:
        started = monotonic()
        answers = list(callers.map(lambda _: ask(fake.url), range(4)))
        assert 0.2 <= monotonic() - started < 5
        records = [json.loads(line) for line in answers[0].text.splitlines()]
        assert "".join(record["message"]["content"] for record in records) == '{"facts": []}'
        assert records[-1]["done_reason"] == "stop"


def test_a_disconnected_caller_frees_its_slot() -> None:
    with FakeOllama(latency_ms=60_000, slots=1) as fake:
        with httpx.Client(trust_env=False, timeout=0.1) as client, contextlib.suppress(httpx.ReadTimeout):
            client.post(f"{fake.url}/api/chat", json={})
        fake.wait_until(lambda: fake.open_connections == 0)
        fake._latency_seconds = 0
        assert ask(fake.url).status_code == 200


def test_without_streaming_it_answers_one_object() -> None:
    with FakeOllama() as fake:
        asked = {"model": "llama3.2", "stream": False, "format": "json"}
        answer = httpx.post(f"{fake.url}/api/chat", json=asked, trust_env=False).json()
    assert answer["message"]["content"] == "{}"
    assert answer["done"] is True


def test_its_answer_obeys_the_schema() -> None:
    schema = {
        "$defs": {"Kind": {"enum": ["a", "b"]}},
        "type": "object",
        "properties": {
            "facts": {"type": "array", "items": {"type": "object"}},
            "kind": {"$ref": "#/$defs/Kind"},
            "size": {"type": "integer", "minimum": 3},
            "note": {"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]},
        },
        "required": ["facts", "kind", "size", "note"],
    }
    assert smallest(schema, schema) == {"facts": [], "kind": "a", "size": 3, "note": "xx"}


def test_as_a_process_it_prints_its_port_and_stops_on_request() -> None:
    command = [sys.executable, "-m", "tests.fake_ollama", "--latency-ms", "1", "--model", "mistral", "--pieces", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        assert httpx.get(f"{url}/api/tags", trust_env=False).json()["models"][0]["name"] == "mistral:latest"
        assert len(ask(url).text.splitlines()) == 3
        process.terminate()
        assert process.wait(timeout=10) == 0
