"""The stand-in over a real socket, as a client of Ollama meets it."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import httpx
import pytest

from derive.demo.answering import MISQUOTE_MARKER
from derive.demo.stand_in import StandIn
from derive.errors import ModelUnavailable
from derive.model_servers.chat import AnswerCheck, ChatOptions, ChatRequest, check_answer
from derive.model_servers.settings import ModelSettings
from derive.ollama.client import OllamaClient

MARK = "[[00c0ffee]]"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "facts": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "properties": {
                    "fact_key": {"type": "string", "maxLength": 100},
                    "value": {"type": "string", "maxLength": 500},
                    "confidence": {"type": "integer", "minimum": 0, "maximum": 100},
                    "evidence_ids": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
                    "quote": {"type": "string", "maxLength": 1000},
                },
                "required": ["fact_key", "value", "confidence", "evidence_ids", "quote"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["facts"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with StandIn(latency_seconds=0.02) as running:
        yield running


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stand_in.base_url, trust_env=False, timeout=20) as opened:
        yield opened


def prompt_about(text: str, *, corrected: bool = False) -> str:
    announced = f"Each item of evidence begins with a line that starts with {MARK} and names its evidence_id."
    prompt = f'{announced}\n{MARK} evidence_id: "e1"\n{text}\n{MARK} end of evidence\n'
    return prompt + (f"\n{MARK} what was wrong\n- a quote\n" if corrected else "")


def ask(client: httpx.Client, prompt: str, **members: Any) -> httpx.Response:
    question = {
        "model": "holocron-demo",
        "messages": [{"role": "user", "content": prompt}],
        "stream": False,
        "format": SCHEMA,
        "options": {"num_ctx": 4096, "num_predict": 1024, "seed": 0, "temperature": 0},
        "truncate": False,
    }
    return client.post("/api/chat", content=json.dumps(question | members))


def content_of(response: httpx.Response) -> Any:
    return json.loads(response.json()["message"]["content"])


def lines_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


def test_facts_come_from_the_evidence_with_exact_quotes(client: httpx.Client) -> None:
    text = "Brakka is a Houk cook. He weighs 190 kilograms."
    facts = content_of(ask(client, prompt_about(text)))["facts"]
    assert [(fact["fact_key"], fact["value"]) for fact in facts] == [
        ("species", "Houk"),
        ("occupation", "cook"),
        ("mass", "190 kilograms"),
    ]
    assert all(fact["quote"] in text and fact["evidence_ids"] == ["e1"] for fact in facts)


def test_a_stream_has_the_same_content_in_chunks(client: httpx.Client) -> None:
    prompt = prompt_about("Brakka is a Houk cook.")
    streamed = ask(client, prompt, stream=True)
    lines = lines_of(streamed)
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert len(lines) > 3
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert "".join(line["message"]["content"] for line in lines) == ask(client, prompt).json()["message"]["content"]


def test_answers_are_streamed_by_default(client: httpx.Client) -> None:
    question = {"model": "holocron-demo", "messages": [{"role": "user", "content": "Hello"}]}
    assert lines_of(client.post("/api/chat", json=question))[-1]["done"] is True


@pytest.mark.parametrize("stream", [True, False])
def test_the_six_metrics_are_measured(client: httpx.Client, stream: bool) -> None:
    began = monotonic()
    last = lines_of(ask(client, prompt_about("It rained."), stream=stream))[-1]
    elapsed_ns = (monotonic() - began) * 1e9
    parts = [last[name] for name in ("load_duration", "prompt_eval_duration", "eval_duration")]
    assert last["done_reason"] == "stop"
    assert 20_000_000 <= last["eval_duration"] <= last["total_duration"] <= elapsed_ns
    assert sum(parts) == pytest.approx(last["total_duration"], rel=0.01)
    assert last["prompt_eval_count"] == -(-len(prompt_about("It rained.").encode()) // 4)
    assert last["eval_count"] == -(-len('{"facts": []}') // 4)


def test_an_answer_that_does_not_fit_is_cut_with_its_reason(client: httpx.Client) -> None:
    cut = ask(client, prompt_about("Brakka is a Houk cook."), options={"num_predict": 10}).json()
    whole = ask(client, prompt_about("Brakka is a Houk cook.")).json()
    assert (cut["done"], cut["done_reason"], cut["eval_count"]) == (True, "length", 10)
    assert whole["message"]["content"].startswith(cut["message"]["content"])
    assert len(cut["message"]["content"].encode()) <= 40


def test_the_window_bounds_the_answer_too(client: httpx.Client) -> None:
    prompt = prompt_about("Brakka is a Houk cook.")
    window = -(-len(prompt.encode()) // 4) + 5
    answer = ask(client, prompt, options={"num_ctx": window}).json()
    assert (answer["done_reason"], answer["eval_count"]) == ("length", 5)


def test_a_prompt_beyond_the_window_is_refused_or_cut(client: httpx.Client) -> None:
    prompt = prompt_about("rain " * 200)
    refused = ask(client, prompt, options={"num_ctx": 64})
    assert refused.status_code == 400
    assert "exceeds the context length" in refused.json()["error"]
    cut = ask(client, prompt, options={"num_ctx": 64}, truncate=True).json()
    assert cut["prompt_eval_count"] == 63


def test_the_quote_is_wrong_where_the_evidence_asks_for_it_until_corrected(client: httpx.Client) -> None:
    text = f"Tally is an accounting droid. Holocron demo: {MISQUOTE_MARKER}."
    wrong = content_of(ask(client, prompt_about(text)))["facts"]
    right = content_of(ask(client, prompt_about(text, corrected=True)))["facts"]
    assert wrong
    assert all(fact["quote"] not in text for fact in wrong)
    assert [fact["quote"] for fact in right] == ["Tally is an accounting droid."]


def test_the_stand_in_reports_that_it_misquotes(client: httpx.Client) -> None:
    assert MISQUOTE_MARKER in client.post("/api/show", json={"model": "holocron-demo"}).json()["system"]


def test_nobody_can_mistake_it_for_a_model(client: httpx.Client) -> None:
    show = client.post("/api/show", json={"model": "holocron-demo:latest"}).json()
    (tag,) = client.get("/api/tags").json()["models"]
    assert "holocron-demo is running" in client.get("/").text
    assert client.head("/").headers["server"] == "holocron-demo"
    assert "holocron-demo" in client.get("/api/version").json()["version"]
    assert tag["name"] == tag["model"] == "holocron-demo:latest"
    assert tag["details"]["family"] == show["details"]["family"] == "holocron-demo"
    assert "Not a language model" in show["license"]
    assert ask(client, prompt_about("Rain.")).json()["model"] == "holocron-demo"


def test_what_answered_is_listed_as_loaded_with_its_window_and_digest(client: httpx.Client) -> None:
    ask(client, prompt_about("Rain."), options={"num_ctx": 2048})
    (loaded,) = client.get("/api/ps").json()["models"]
    (tag,) = client.get("/api/tags").json()["models"]
    assert loaded["context_length"] == 2048
    assert loaded["digest"] == tag["digest"]
    assert len(bytes.fromhex(tag["digest"])) == 32


def test_an_empty_question_loads_and_unloads(client: httpx.Client) -> None:
    assert ask(client, "", messages=[]).json()["done_reason"] == "load"
    assert ask(client, "", messages=[], keep_alive=0).json()["done_reason"] == "unload"
    assert client.get("/api/ps").json() == {"models": []}


@pytest.mark.parametrize("path", ["/api/chat", "/api/show"])
def test_another_model_is_not_found(client: httpx.Client, path: str) -> None:
    response = client.post(path, json={"model": "llama3.2", "messages": []})
    assert response.status_code == 404
    assert response.json() == {"error": "model 'llama3.2' not found"}


@pytest.mark.parametrize(
    "members",
    [
        {"model": ""},
        {"messages": "Hello"},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": "\ud800"}]},
        {"options": []},
        {"options": {"num_ctx": "many"}},
        {"options": {"temperature": True}},
        {"format": "yaml"},
        {"format": [1]},
        {"format": {"$ref": "#/$defs/missing"}},
        {"format": {"type": "array", "minItems": "two"}},
        {"format": {"type": "object", "properties": {"a": True}}, "think": True},
        {"stream": "yes"},
        {"keep_alive": "soon"},
    ],
)
def test_a_bad_request_is_refused_with_a_reason(client: httpx.Client, members: dict[str, Any]) -> None:
    response = ask(client, prompt_about("Rain."), **members)
    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_what_is_no_request_is_refused(client: httpx.Client, content: bytes) -> None:
    assert client.post("/api/chat", content=content).status_code == 400


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"HELLO\r\n\r\n",
        b"POST /api/chat HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/chat HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /api/chat HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_a_request_without_a_known_end_is_refused_and_the_connection_closed(
    stand_in: StandIn, request_bytes: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", stand_in.port), timeout=20) as connection:
        connection.sendall(request_bytes)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_requests_sent_together_are_answered_in_order(stand_in: StandIn) -> None:
    with socket.create_connection(("127.0.0.1", stand_in.port), timeout=20) as connection:
        head = b"HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(b"HEAD / " + head + b"GET /api/version " + head + b"GET /nowhere " + head)
        received = b""
        while b"page not found" not in received:
            received += connection.recv(4096)
    assert re.findall(rb"HTTP/1.1 ([0-9]+)", received) == [b"200", b"200", b"404"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/chat"), ("POST", "/api/pull"), ("GET", "/etc/passwd")])
def test_another_path_is_not_found(client: httpx.Client, method: str, path: str) -> None:
    assert client.request(method, path, json={}).status_code == 404


def test_other_schemas_are_obeyed_too(client: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["calm", "wild"]}, "stars": {"type": "integer", "minimum": 3, "maximum": 5}},
        "required": ["mood", "stars"],
    }
    assert content_of(ask(client, "Any question", format=schema)) == {"mood": "calm", "stars": 3}
    assert content_of(ask(client, "Any question", format="json")) == {}
    assert "not a language model" in ask(client, "Any question", format=None).json()["message"]["content"]


def test_many_ask_at_the_same_time() -> None:
    with StandIn(latency_seconds=0.3) as slow, httpx.Client(base_url=slow.base_url, trust_env=False) as shared:
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(shared, prompt_about("Rain.")).status_code))
            for _ in range(16)
        ]
        began = monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 16
        assert monotonic() - began < 16 * 0.3


def test_stop_ends_it_even_during_an_answer() -> None:
    stand_in = StandIn(latency_seconds=8)
    stand_in.start()
    address = ("127.0.0.1", httpx.URL(stand_in.base_url).port)
    threads_before = threading.active_count()
    with socket.create_connection(address, timeout=20) as connection:
        body = json.dumps({"model": "holocron-demo", "messages": [{"role": "user", "content": "Hi"}]}).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        began = monotonic()
        stand_in.stop()
        assert monotonic() - began < 5
        while connection.recv(4096):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=20)
    assert threading.active_count() < threads_before
    stand_in.stop()


def test_its_address_is_known_once_it_has_started() -> None:
    stand_in = StandIn(latency_seconds=0)
    with pytest.raises(RuntimeError, match="not started"):
        _ = stand_in.base_url
    with stand_in, pytest.raises(RuntimeError, match="started already"):
        stand_in.start()


def test_the_worker_s_own_client_is_content_with_it(stand_in: StandIn) -> None:
    settings = ModelSettings(base_url=stand_in.base_url, model="holocron-demo")
    request = ChatRequest(
        model=settings.model,
        prompt=prompt_about("Brakka is a Houk cook."),
        schema=SCHEMA,
        options=ChatOptions.from_settings(settings),
        keep_alive=settings.keep_alive,
    )

    async def ask_and_look() -> tuple[AnswerCheck, ...]:
        client = OllamaClient(settings)
        try:
            await client.probe()
            snapshot = await client.snapshot(settings.model)
            answer = await client.chat(client.body(request), sink=lambda _: None, job_has_own_model=False)
            assert json.loads(answer.content)["facts"]
            return check_answer(request, answer, digest=snapshot.digest, loaded=await client.loaded(settings.model))
        finally:
            await client.aclose()

    checks = asyncio.run(ask_and_look())
    assert {check.name for check in checks} >= {"model_name", "context_length", "model_digest", "stream_ended_cleanly"}
    assert [check for check in checks if not check.passed] == []


def test_the_worker_s_own_client_reports_a_missing_model(stand_in: StandIn) -> None:
    settings = ModelSettings(base_url=stand_in.base_url, model="llama3.2")

    async def probe() -> None:
        client = OllamaClient(settings)
        try:
            await client.probe()
        finally:
            await client.aclose()

    with pytest.raises(ModelUnavailable):
        asyncio.run(probe())
