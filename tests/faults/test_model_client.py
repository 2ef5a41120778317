"""Every way a call to a model server can go, on a real socket, in each protocol: what comes back, as which error."""

import asyncio
import errno
import inspect
import json
import socket
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import httpx
import pytest

from derive.errors import (
    AnswerTooLarge,
    ConfigurationError,
    EvidenceTooLarge,
    InternalError,
    LakeUnavailable,
    ModelAccessRefused,
    ModelCrashed,
    ModelNotFound,
    ModelOverloaded,
    ModelTimeout,
    ModelUnavailable,
    RunError,
    SchemaRefused,
    TruncatedOutput,
)
from derive.model_clients import open_client
from derive.model_servers.chat import ChatAnswer, ChatOptions, ChatRequest, answer_of, check_answer
from derive.model_servers.client import ModelClient
from derive.model_servers.failures import FOREIGN_ERRORS, failure_of_exception
from derive.model_servers.names import names_of
from derive.model_servers.settings import ModelSettings, Protocol
from derive.ollama import chat as ollama_chat
from derive.ollama.stream import NdjsonAssembler
from derive.openai_api import chat as openai_chat
from derive.openai_api.stream import SseAssembler
from tests.fake_ollama import Behaviour, FakeOllama, Gate, behaviours

T = TypeVar("T")

SCHEMA = {
    "type": "object",
    "properties": {"facts": {"type": "array", "items": {"type": "object"}}},
    "required": ["facts"],
    "additionalProperties": False,
}

WRAPPED = json.dumps(
    {"error": {"code": 400, "message": "Failed to initialize samplers: failed to parse grammar", "type": "invalid"}}
)
"""A runner's error as Ollama puts it into the text of its own."""


@dataclass
class Caller:
    """A client of one fake, a call at a time, each in an event loop of its own."""

    fake: FakeOllama
    protocol: Protocol = Protocol.OLLAMA
    received: bytearray = field(default_factory=bytearray)

    @property
    def is_ollama(self) -> bool:
        return self.protocol is Protocol.OLLAMA

    @property
    def look_path(self) -> str:
        """Where the client asks whether a model is there."""
        return "/api/show" if self.is_ollama else "/v1/models"

    @property
    def how_to_get_model(self) -> str:
        return "ollama pull {}" if self.is_ollama else "serve it there"

    def with_client(
        self,
        use: Callable[[ModelClient], Awaitable[T]],
        *,
        slots: int = 4,
        base_url: str | None = None,
        **changed: Any,
    ) -> T:
        settings = ModelSettings(
            **{
                "base_url": base_url or self.fake.url,
                "protocol": self.protocol,
                "first_byte_seconds": 5,
                "idle_seconds": 5,
            }
            | changed
        )

        async def run() -> T:
            client = open_client(settings)
            try:
                return await use(client)
            finally:
                await client.aclose()

        return asyncio.run(run())

    async def ask(self, client: ModelClient) -> ChatAnswer:
        return await client.chat(client.body(request()), sink=self.received.extend, job_has_own_model=False)

    def chat(self, *, own_model: bool = False, base_url: str | None = None, **settings: Any) -> ChatAnswer:
        async def use(client: ModelClient) -> ChatAnswer:
            return await client.chat(client.body(request()), sink=self.received.extend, job_has_own_model=own_model)

        return self.with_client(use, base_url=base_url, **settings)

    def fails(
        self, kind: type[RunError], behaviour: Behaviour, *, own_model: bool = False, **settings: Any
    ) -> RunError:
        """Return the error of a call that is answered so, having checked that it is exactly of that kind."""
        self.fake.next(behaviour)
        with pytest.raises(RunError) as caught:
            self.chat(own_model=own_model, **settings)
        assert type(caught.value) is kind
        return caught.value


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    with FakeOllama() as server:
        yield server


@pytest.fixture(params=list(Protocol))
def caller(request: pytest.FixtureRequest, fake: FakeOllama) -> Caller:
    return Caller(fake, request.param)


@pytest.fixture
def ollama(fake: FakeOllama) -> Caller:
    return Caller(fake, Protocol.OLLAMA)


@pytest.fixture
def openai(fake: FakeOllama) -> Caller:
    return Caller(fake, Protocol.OPENAI)


def request(prompt: str = "Who is Luke? 🪐 Люк", model: str = "llama3.2") -> ChatRequest:
    options = ChatOptions(num_ctx=8192, num_predict=2048, seed=0, temperature=0)
    return ChatRequest(model=model, prompt=prompt, schema=SCHEMA, options=options, keep_alive="5m")


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# What goes well


def test_a_streamed_answer_comes_back_whole(caller: Caller) -> None:
    caller.fake.next(behaviours.answer('{"facts": [{"name": "Люк 🪐"}]}', pieces=7))
    answer = caller.chat()
    assert answer.content == '{"facts": [{"name": "Люк 🪐"}]}'
    assert answer.done_reason == "stop"
    assert answer.metrics.prompt_eval_count == 321
    assert answer.metrics.total_duration == (1_500_000_000 if caller.is_ollama else None)
    assert answer.model == "llama3.2"
    assert answer.time_to_first_token_ms is not None
    assert answer.ended_cleanly


def test_the_bytes_sent_are_the_bytes_given(caller: Caller) -> None:
    caller.chat()
    (sent,) = caller.fake.chats
    assert sent.body == (ollama_chat if caller.is_ollama else openai_chat).body_of(request())
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["host"] == f"127.0.0.1:{caller.fake.port}"


def test_every_byte_received_reaches_the_sink(caller: Caller) -> None:
    caller.fake.next(behaviours.answer('{"facts": []}', pieces=5))
    answer = caller.chat()
    assert len(caller.received) == answer.byte_count
    assembler = (NdjsonAssembler if caller.is_ollama else SseAssembler)(max_answer_bytes=answer.byte_count)
    assembler.feed(bytes(caller.received))
    again = assembler.finish()
    assert (again.content, again.response_json) == ('{"facts": []}', answer.response_json)


def test_an_answer_in_one_piece_is_read_all_the_same(caller: Caller) -> None:
    caller.fake.next(behaviours.in_one_piece('{"facts": []}'))
    answer = caller.chat()
    assert answer.content == '{"facts": []}'
    assert json.loads(answer.response_json) == json.loads(caller.received)


def test_a_wrong_content_type_does_not_matter(caller: Caller) -> None:
    caller.fake.next(behaviours.answer('{"facts": []}', headers={"Content-Type": "text/html"}))
    assert caller.chat().content == '{"facts": []}'


@pytest.mark.parametrize("behaviour", [behaviours.stays_open(), behaviours.closes_after_the_answer()])
def test_a_whole_answer_stands_though_the_connection_does_not_end_well(caller: Caller, behaviour: Behaviour) -> None:
    caller.fake.next(behaviour)
    answer = caller.chat(idle_seconds=60)
    assert answer.content == '{"facts": []}'
    assert not answer.ended_cleanly
    assert answer.total_ms < 10_000
    checks = check_answer(request(), answer, digest=None, loaded=None)
    assert not next(check for check in checks if check.name == "stream_ended_cleanly").passed


def test_connections_are_used_again(caller: Caller) -> None:
    async def use(client: ModelClient) -> None:
        for _ in range(3):
            await caller.ask(client)

    caller.with_client(use)
    assert len(caller.fake.chats) == 3
    assert caller.fake.connections_made == 1


@pytest.mark.parametrize("closes", [behaviours.closed_before_headers, behaviours.reset_before_headers])
def test_a_request_that_met_a_kept_connection_being_closed_is_sent_once_more_on_a_new_one(
    caller: Caller, closes: Callable[[], Behaviour]
) -> None:
    async def use(client: ModelClient) -> ChatAnswer:
        await client.models()
        caller.fake.next(closes(), behaviours.answer('{"facts": []}'))
        return await caller.ask(client)

    assert caller.with_client(use).content == '{"facts": []}'
    first, second = caller.fake.chats
    assert first.body == second.body
    assert caller.fake.connections_made == 2


def test_a_request_is_sent_once_more_and_no_oftener(caller: Caller) -> None:
    async def use(client: ModelClient) -> ChatAnswer:
        await client.models()
        caller.fake.always(behaviours.closed_before_headers())
        return await caller.ask(client)

    with pytest.raises(ModelCrashed):
        caller.with_client(use)
    assert len(caller.fake.chats) == 2


def test_an_answer_that_has_begun_is_not_asked_for_again(caller: Caller) -> None:
    async def use(client: ModelClient) -> ChatAnswer:
        await client.models()
        caller.fake.always(behaviours.reset_after_headers())
        return await caller.ask(client)

    with pytest.raises(ModelCrashed):
        caller.with_client(use)
    assert len(caller.fake.chats) == 1


def test_a_process_without_files_says_so_and_not_that_the_server_is_away() -> None:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = OSError("All connection attempts failed")
    error.__cause__.__cause__ = OSError(errno.EMFILE, "Too many open files")
    ours = failure_of_exception(error, names=names_of(ModelSettings(base_url="http://s")))
    assert isinstance(ours, ModelUnavailable)
    assert "ulimit -n" in str(ours)


def test_a_cookie_is_not_kept(caller: Caller) -> None:
    async def use(client: ModelClient) -> None:
        for _ in range(2):
            caller.fake.next(behaviours.answer('{"facts": []}', headers={"Set-Cookie": "track=me; Path=/"}))
            await caller.ask(client)

    caller.with_client(use)
    assert "cookie" not in caller.fake.chats[1].headers


def test_all_slots_stream_at_the_same_time(caller: Caller) -> None:
    gate = Gate()
    caller.fake.always(behaviours.answer('{"facts": []}', first_gate=gate))

    async def use(client: ModelClient) -> list[ChatAnswer]:
        calls = [asyncio.create_task(caller.ask(client)) for _ in range(16)]
        await asyncio.to_thread(caller.fake.wait_until, lambda: len(caller.fake.chats) == 16)
        gate.open()
        return await asyncio.gather(*calls)

    assert len(caller.with_client(use, slots=16)) == 16


def test_no_proxy_and_no_password_of_the_environment_is_used(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port()}")
    assert caller.chat().done_reason == "stop"
    assert "authorization" not in caller.fake.chats[0].headers


def test_a_base_url_may_have_a_path(ollama: Caller) -> None:
    ollama.fake.always(behaviours.answer('{"facts": []}'), path="/models/ollama/api/chat")
    assert ollama.chat(base_url=f"{ollama.fake.url}/models/ollama/").done_reason == "stop"


@pytest.mark.parametrize("path", ["/v1", "/v1/"])
def test_a_base_url_may_end_as_the_protocol_is_versioned(openai: Caller, path: str) -> None:
    assert openai.chat(base_url=openai.fake.url + path).done_reason == "stop"


# What the server says instead of an answer


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (behaviours.crashed(), ModelCrashed),
        (behaviours.status(501), ModelCrashed),
        (behaviours.status(204, body=b""), ModelCrashed),
        (behaviours.status(499, "request cancelled"), ModelCrashed),
        (behaviours.overloaded(), ModelOverloaded),
        (behaviours.status(429), ModelOverloaded),
        (behaviours.status(502, body=b"<html>Bad gateway</html>"), ModelUnavailable),
        (behaviours.status(401, "unauthorized"), ModelAccessRefused),
        (behaviours.status(403), ModelAccessRefused),
        (behaviours.status(407), ModelUnavailable),
        (behaviours.status(408), ModelTimeout),
        (behaviours.status(504), ModelTimeout),
        (behaviours.prompt_too_long(), EvidenceTooLarge),
        (behaviours.status(400, "prompt too long; exceeded max context length by 12 tokens"), EvidenceTooLarge),
        (behaviours.status(400, "request (9 tokens) exceeds the available context size (8 tokens)"), EvidenceTooLarge),
        (
            behaviours.status(400, body=b'{"error": {"code": 400, "message": "the request exceeds the context size"}}'),
            EvidenceTooLarge,
        ),
        (
            behaviours.status(400, "This model's maximum context length is 4096 tokens. However, you requested 5000"),
            EvidenceTooLarge,
        ),
        (behaviours.status(413, "the input length exceeds the context length"), EvidenceTooLarge),
        (behaviours.bad_schema(), SchemaRefused),
        (behaviours.status(400, 'invalid format: "x"; expected "json" or a valid JSON Schema object'), SchemaRefused),
        (behaviours.status(400, "Failed to initialize samplers: failed to parse grammar"), SchemaRefused),
        (behaviours.status(500, "failed to load model vocabulary required for format"), SchemaRefused),
        (behaviours.status(400, WRAPPED), SchemaRefused),
        (behaviours.status(400, "Invalid schema for response_format 'answer'"), SchemaRefused),
        (behaviours.status(422, body=b'{"detail": "the JSON schema is not supported"}'), SchemaRefused),
        (behaviours.status(400, "invalid character '}' looking for beginning of value"), InternalError),
        (behaviours.status(405), InternalError),
        (behaviours.status(422), InternalError),
    ],
)
def test_each_status_is_one_error(caller: Caller, behaviour: Behaviour, kind: type[RunError]) -> None:
    caller.fails(kind, behaviour)
    caller.fails(kind, behaviour, own_model=True)


@pytest.mark.parametrize(
    "behaviour",
    [
        behaviours.model_not_found(),
        behaviours.status(404, body=b""),
        behaviours.status(400, "model is required"),
    ],
)
def test_a_missing_model_is_the_jobs_fault_only_when_the_job_asked_for_it(caller: Caller, behaviour: Behaviour) -> None:
    assert caller.how_to_get_model.format("llama3.2") in str(caller.fails(ModelNotFound, behaviour, own_model=True))
    assert "OLLAMA_MODEL" in str(caller.fails(ModelUnavailable, behaviour))


def test_an_error_line_that_speaks_of_the_grammar_is_a_refused_schema(caller: Caller) -> None:
    caller.fails(SchemaRefused, behaviours.error_line("failed to parse grammar"))
    caller.fails(ModelCrashed, behaviours.error_line())


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(caller: Caller, code: int) -> None:
    with FakeOllama() as elsewhere:
        there = {"Location": f"{elsewhere.url}{'/api/chat' if caller.is_ollama else '/v1/chat/completions'}"}
        caller.fails(ModelUnavailable, behaviours.status(code, body=b"", headers=there))
        assert elsewhere.requests == []


def test_a_runners_error_is_unwrapped_from_the_json_it_comes_in(caller: Caller) -> None:
    told = str(caller.fails(SchemaRefused, behaviours.status(400, WRAPPED)))
    assert "answered 400: Failed to initialize samplers: failed to parse grammar: correct the schema" in told
    assert "{" not in told


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ('{"error": ' * 9 + '"deep"' + "}" * 9, '"deep"'),
        ('do request: {"error": {"code": 500}}', '{"code": 500}'),
        ('{"error": {"message": ""}}', '{"message": ""}'),
        ('{"error": "cut', '"cut'),
    ],
)
def test_json_that_is_no_error_is_shown_as_it_came(caller: Caller, error: str, shown: str) -> None:
    assert shown in str(caller.fails(ModelCrashed, behaviours.status(500, error)))


def test_the_body_of_a_refusal_reaches_the_sink(caller: Caller) -> None:
    caller.fails(ModelCrashed, behaviours.status(500, "out of memory"))
    said = json.loads(bytes(caller.received))["error"]
    assert (said if caller.is_ollama else said["message"]) == "out of memory"


def test_a_refusal_without_end_is_read_only_so_far(caller: Caller) -> None:
    async def refuse(exchange: Any) -> None:
        exchange.head(503)
        while True:
            exchange.chunk(b"busy " * 1000)
            await exchange.drain()

    caller.fails(ModelOverloaded, refuse)
    assert len(caller.received) < 1_000_000


@pytest.mark.parametrize("way", ["close", "reset"])
def test_the_status_counts_even_when_the_refusal_breaks_off(caller: Caller, way: str) -> None:
    async def refuse(exchange: Any) -> None:
        exchange.head(503, length=1000)
        exchange.write(b'{"error": "bus')
        getattr(exchange, way)()

    caller.fails(ModelOverloaded, refuse)


def test_a_hostile_message_is_shown_short_and_plain(caller: Caller) -> None:
    said = "boom\r\n\x1b[31mred\u202etxt\x00 at http://user:secret@host/x " + "A" * 5000
    error = str(caller.fails(ModelCrashed, behaviours.status(500, said)))
    assert "boom [31mred txt at http://host/x" in error
    assert "secret" not in error
    assert error.isprintable()
    assert len(error) < 500


# Answers that are none


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(behaviours.ends_early(), id="stream ends early"),
        pytest.param(behaviours.breaks_off(), id="connection closed inside the stream"),
        pytest.param(behaviours.cut_line(), id="ends inside a line"),
        pytest.param(behaviours.error_line(), id="error line inside a 200"),
        pytest.param(behaviours.lines({"error": {"message": "x"}}), id="error object inside a 200"),
        pytest.param(behaviours.done_false(), id="done false"),
        pytest.param(behaviours.lines(), id="nothing at all"),
        pytest.param(behaviours.lines(b"\n \n"), id="blank lines alone"),
        pytest.param(behaviours.not_utf8(), id="not UTF-8"),
        pytest.param(behaviours.lines(b'{"message":{"content":"\xed\xa0\x80"}}\n'), id="a surrogate as bytes"),
        pytest.param(behaviours.lines('{"done":true}'.encode("utf-16")), id="UTF-16"),
        pytest.param(behaviours.not_json_line(), id="not JSON"),
        pytest.param(behaviours.lines(b'{"done": true, "eval_count": NaN}\n'), id="NaN in the protocol"),
        pytest.param(behaviours.lines(b'{"done": true, "eval_count": 1e999}\n'), id="a number past all floats"),
        pytest.param(behaviours.lines(b"[]\n"), id="not an object"),
        pytest.param(behaviours.lines(b"[" * 100_000 + b"\n"), id="nested without end"),
        pytest.param(behaviours.lines({"message": "hello"}), id="message is no object"),
        pytest.param(behaviours.lines({"message": {"content": 1}}), id="content is no text"),
        pytest.param(behaviours.answer(done_reason="load"), id="loaded only"),
        pytest.param(behaviours.answer(done_reason="unload"), id="unloaded"),
        pytest.param(behaviours.answer(done_reason=None), id="no reason"),
        pytest.param(behaviours.answer(done_reason="surprise"), id="another reason"),
        pytest.param(behaviours.lines(behaviours.final_line(), behaviours.piece_line("more")), id="goes on after done"),
        pytest.param(behaviours.reset_before_headers(), id="reset before headers"),
        pytest.param(behaviours.reset_after_headers(), id="reset after headers"),
        pytest.param(behaviours.closed_before_headers(), id="closed before headers"),
        pytest.param(behaviours.raw(b"220 smtp.example ESMTP\r\n"), id="not HTTP"),
        pytest.param(behaviours.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"), id="shorter than it said"),
        pytest.param(behaviours.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000), id="endless header"),
    ],
)
def test_a_broken_answer_is_a_crash_of_the_model(caller: Caller, behaviour: Behaviour) -> None:
    caller.fails(ModelCrashed, behaviour)


def test_a_compressed_answer_is_refused_unread(caller: Caller) -> None:
    error = caller.fails(ModelCrashed, behaviours.compressed())
    assert "compressed (gzip)" in str(error)
    assert caller.received == b""


def test_an_answer_cut_by_length_keeps_all_that_came(caller: Caller) -> None:
    error = caller.fails(TruncatedOutput, behaviours.truncated('{"facts": [{"fact_k'))
    answer = answer_of(error)
    assert answer is not None
    assert answer.content == '{"facts": [{"fact_k'
    assert answer.done_reason == "length"
    assert answer.metrics.eval_count == 12
    whole = json.loads(answer.response_json)
    assert (whole if caller.is_ollama else whole["choices"][0])["message"]["content"] == answer.content


def test_an_answer_that_broke_off_keeps_what_came(caller: Caller) -> None:
    answer = answer_of(caller.fails(ModelCrashed, behaviours.ends_early()))
    assert answer is not None
    assert answer.content == '{"facts"'
    assert answer.response_json == b""
    assert answer.byte_count == len(caller.received) > 0


def test_an_answer_that_ollama_broke_off_names_its_rule(ollama: Caller) -> None:
    assert "same token more than thirty times" in str(ollama.fails(ModelCrashed, behaviours.ends_early()))


def test_what_the_content_says_is_not_judged_here(caller: Caller) -> None:
    for behaviour in (behaviours.nan(), behaviours.infinity(), behaviours.not_json_content(), behaviours.answer("")):
        caller.fake.next(behaviour)
        assert caller.chat().done_reason == "stop"


# Bounds


@pytest.mark.parametrize("behaviour", [behaviours.endless(), behaviours.endless_line()])
def test_an_answer_without_end_stops_at_the_bound_in_bounded_memory(caller: Caller, behaviour: Behaviour) -> None:
    bound = 4 * 1024 * 1024
    caller.fake.next(behaviour)
    seen = 0

    def sink(chunk: bytes) -> None:
        nonlocal seen
        seen += len(chunk)

    async def use(client: ModelClient) -> int:
        await client.models()  # the first call loads what every call needs
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge):
                await client.chat(client.body(request()), sink=sink, job_has_own_model=False)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak = caller.with_client(use, max_answer_bytes=bound)
    assert seen <= bound + 128 * 1024
    assert peak < 5 * bound
    caller.fake.wait_until(lambda: caller.fake.open_connections == 0)


def test_a_server_that_never_begins_is_a_time_out(caller: Caller) -> None:
    error = caller.fails(ModelTimeout, behaviours.silent(), first_byte_seconds=0.1)
    assert "sent nothing for 0.1 s" in str(error)
    caller.fake.wait_until(lambda: caller.fake.open_connections == 0)


def test_a_call_that_waits_while_others_are_answered_meets_no_dead_model(caller: Caller) -> None:
    begin = Gate()
    caller.fake.next(behaviours.answer('{"facts": []}', first_gate=begin), behaviours.silent())

    async def use(client: ModelClient) -> BaseException | ChatAnswer:
        calls = [asyncio.create_task(caller.ask(client)) for _ in range(2)]
        await asyncio.to_thread(caller.fake.wait_until, lambda: len(caller.fake.chats) == 2)
        begin.open()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        (failed,) = (one for one in ended if isinstance(one, BaseException))
        return failed

    error = caller.with_client(use, first_byte_seconds=1)
    assert type(error) is ModelOverloaded
    assert not error.counted
    assert "WORKER_CONCURRENCY" in str(error)


def test_a_call_that_waits_after_all_others_were_answered_meets_a_dead_model(caller: Caller) -> None:
    caller.fake.next(behaviours.answer('{"facts": []}'), behaviours.silent())

    async def use(client: ModelClient) -> None:
        await caller.ask(client)
        with pytest.raises(ModelTimeout):
            await caller.ask(client)

    caller.with_client(use, first_byte_seconds=0.3)


def test_a_server_that_falls_silent_is_a_time_out(caller: Caller) -> None:
    started = monotonic()
    error = caller.fails(ModelTimeout, behaviours.falls_silent(), idle_seconds=0.1, first_byte_seconds=60)
    assert monotonic() - started < 10
    assert "fell silent for 0.1 s" in str(error)
    answer = answer_of(error)
    assert answer is not None
    assert answer.content == '{"fa'
    caller.fake.wait_until(lambda: caller.fake.open_connections == 0)


def test_a_slow_beginning_does_not_count_as_silence(caller: Caller) -> None:
    gate = Gate()
    caller.fake.next(behaviours.answer('{"facts": []}', first_gate=gate))

    async def use(client: ModelClient) -> ChatAnswer:
        call = asyncio.create_task(caller.ask(client))
        done, _ = await asyncio.wait([call], timeout=0.2)
        assert not done
        gate.open()
        return await call

    assert caller.with_client(use, idle_seconds=0.1, first_byte_seconds=5).content == '{"facts": []}'


def test_a_call_that_never_falls_silent_ends_at_the_whole_limit(caller: Caller) -> None:
    error = caller.fails(ModelTimeout, behaviours.endless(), timeout_seconds=0.2, max_answer_bytes=10**12)
    assert "was not done after 0.2 s" in str(error)


def test_what_the_sink_raises_comes_out_unchanged(caller: Caller) -> None:
    for raised in (LakeUnavailable("disk full"), OSError(28, "No space left"), TimeoutError("slow disk")):

        def sink(chunk: bytes, raised: Exception = raised) -> None:
            raise raised

        async def use(client: ModelClient, sink: Callable[[bytes], None] = sink) -> None:
            await client.chat(client.body(request()), sink=sink, job_has_own_model=False)

        with pytest.raises(type(raised)) as caught:
            caller.with_client(use)
        assert caught.value is raised
        caller.fake.wait_until(lambda: caller.fake.open_connections == 0)


# Cancelling


@pytest.mark.parametrize("moment", ["before the first byte", "inside the stream"])
def test_cancelling_a_call_closes_its_connection_at_once(caller: Caller, moment: str) -> None:
    gate = Gate()
    inside = moment == "inside the stream"
    held = behaviours.answer('{"facts": []}', gate=gate if inside else None, first_gate=None if inside else gate)

    async def cancel_one(client: ModelClient, number: int) -> None:
        caller.fake.next(held)
        begun = asyncio.Event()

        def sink(chunk: bytes) -> None:
            begun.set()

        call = asyncio.create_task(client.chat(client.body(request()), sink=sink, job_has_own_model=False))
        await asyncio.to_thread(caller.fake.wait_until, lambda: len(caller.fake.chats) == number)
        if inside:
            await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(caller.fake.wait_until, lambda: caller.fake.open_connections == 0)

    async def use(client: ModelClient) -> None:
        for number in range(1, 13):  # more than the pool holds: a cancelled call leaves nothing in it
            await cancel_one(client, number)
        await caller.ask(client)

    caller.with_client(use, slots=2)


# A server that is not there


def test_a_refused_connection_is_a_server_that_is_away(caller: Caller) -> None:
    with pytest.raises(ModelUnavailable, match="ollama serve" if caller.is_ollama else "start it, or set"):
        caller.chat(base_url=f"http://127.0.0.1:{closed_port()}")


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'x' * 70}.example", "..", "a..b"])
def test_a_name_that_does_not_resolve_is_a_server_that_is_away(caller: Caller, host: str) -> None:
    with pytest.raises((ModelUnavailable, ConfigurationError)):
        caller.chat(base_url=f"http://{host}:11434", connect_seconds=2)


def test_a_server_that_takes_no_connection_is_away(caller: Caller) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(listener.getsockname())
            with pytest.raises(ModelUnavailable):
                caller.chat(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", connect_seconds=0.1)


def test_a_server_that_comes_back_is_found(caller: Caller) -> None:
    async def use(client: ModelClient) -> None:
        await client.probe()
        await asyncio.to_thread(caller.fake.go_away)
        with pytest.raises(ModelUnavailable):
            await client.probe()
        with pytest.raises(ModelUnavailable):
            await caller.ask(client)
        await asyncio.to_thread(caller.fake.come_back)
        await client.probe()
        await caller.ask(client)

    caller.with_client(use)


@pytest.mark.parametrize(
    "base_url", ["", "127.0.0.1:11434", "ftp://127.0.0.1", "http://", "http://h:port", "http://[::1"]
)
def test_a_base_url_that_is_none_stops_the_start(caller: Caller, base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="OLLAMA_BASE_URL"):
        open_client(ModelSettings(base_url=base_url, protocol=caller.protocol))


@pytest.mark.parametrize("said", ["7", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_server_says_how_long_it_wants_to_be_left_alone(caller: Caller, said: str) -> None:
    error = caller.fails(ModelOverloaded, behaviours.status(429, headers={"Retry-After": said}))
    assert isinstance(error, ModelOverloaded)
    assert error.retry_after_seconds == (7 if said == "7" else None)


def foreign_errors() -> list[type[Exception]]:
    found = [value for value in vars(httpx).values() if inspect.isclass(value) and issubclass(value, Exception)]
    return sorted(found, key=lambda kind: kind.__name__)


EXPECTED = {
    "CloseError": ModelCrashed,
    "ConnectError": ModelUnavailable,
    "ConnectTimeout": ModelUnavailable,
    "CookieConflict": InternalError,
    "DecodingError": ModelCrashed,
    "HTTPError": ModelCrashed,
    "HTTPStatusError": ModelCrashed,
    "InvalidURL": ModelUnavailable,
    "LocalProtocolError": InternalError,
    "NetworkError": ModelCrashed,
    "PoolTimeout": InternalError,
    "ProtocolError": ModelCrashed,
    "ProxyError": ModelUnavailable,
    "ReadError": ModelCrashed,
    "ReadTimeout": ModelTimeout,
    "RemoteProtocolError": ModelCrashed,
    "RequestError": ModelCrashed,
    "RequestNotRead": InternalError,
    "ResponseNotRead": InternalError,
    "StreamClosed": InternalError,
    "StreamConsumed": InternalError,
    "StreamError": InternalError,
    "TimeoutException": ModelTimeout,
    "TooManyRedirects": ModelUnavailable,
    "TransportError": ModelCrashed,
    "UnsupportedProtocol": ModelUnavailable,
    "WriteError": ModelCrashed,
    "WriteTimeout": ModelTimeout,
}


def test_every_exception_of_httpx_is_known() -> None:
    assert [kind.__name__ for kind in foreign_errors()] == sorted(EXPECTED)


@pytest.mark.parametrize("kind", foreign_errors(), ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_is_caught_and_mapped(kind: type[Exception]) -> None:
    assert issubclass(kind, FOREIGN_ERRORS)
    error = kind.__new__(kind)
    Exception.__init__(error, "because")
    assert type(failure_of_exception(error, names=names_of(ModelSettings()))) is EXPECTED[kind.__name__]


# Control calls


def test_the_snapshot_tells_show_digest_and_version(ollama: Caller) -> None:
    snapshot = ollama.with_client(lambda client: client.snapshot("llama3.2"))
    kept = json.loads(snapshot.model_json(request().options.to_json()))
    assert (snapshot.name, snapshot.tag) == ("llama3.2", "latest")
    assert snapshot.digest == ollama.fake.models["llama3.2:latest"]
    assert kept["digest"] == snapshot.digest
    assert kept["server_version"] == snapshot.server_version == "0.30.1"
    assert kept["options"] == {"num_ctx": 8192, "num_predict": 2048, "seed": 0, "temperature": 0}
    assert kept["show"]["details"]["quantization_level"] == "Q4_K_M"
    assert kept["show"]["parameters"].splitlines() == sorted(kept["show"]["parameters"].splitlines())
    assert "license" not in kept["show"]


def test_a_snapshot_is_fetched_once_for_all_who_ask(caller: Caller) -> None:
    async def use(client: ModelClient) -> None:
        snapshots = await asyncio.gather(*(client.snapshot("llama3.2") for _ in range(20)))
        assert len(set(map(id, snapshots))) == 1
        await client.snapshot("llama3.2")

    caller.with_client(use)
    assert caller.fake.count(caller.look_path) == 1


def test_who_stops_waiting_for_a_snapshot_does_not_take_it_from_the_others(caller: Caller) -> None:
    gate = Gate()

    async def held(exchange: Any) -> None:
        await gate.wait()
        exchange.whole(200, b'{"details": {}, "data": [{"id": "llama3.2"}]}')

    caller.fake.always(held, path=caller.look_path)

    async def use(client: ModelClient) -> None:
        first = asyncio.create_task(client.snapshot("llama3.2"))
        second = asyncio.create_task(client.snapshot("llama3.2"))
        await asyncio.to_thread(caller.fake.wait_until, lambda: caller.fake.count(caller.look_path) == 1)
        first.cancel()
        gate.open()
        assert (await second).model == "llama3.2"
        with pytest.raises(asyncio.CancelledError):
            await first

    caller.with_client(use)


def test_a_failed_snapshot_is_not_kept_and_each_who_waits_has_an_error_of_its_own(caller: Caller) -> None:
    async def use(client: ModelClient) -> None:
        caller.fake.always(behaviours.crashed(), path=caller.look_path)
        failed = await asyncio.gather(*(client.snapshot("llama3.2") for _ in range(3)), return_exceptions=True)
        assert [type(error) for error in failed] == [ModelCrashed] * 3
        assert len(set(map(id, failed))) == 3
        caller.fake.always(None, path=caller.look_path)
        await client.snapshot("llama3.2")

    caller.with_client(use)


def test_the_snapshot_of_a_missing_model_says_whose_fault_it_is(caller: Caller) -> None:
    async def use(client: ModelClient) -> None:
        with pytest.raises(ModelNotFound):
            await client.snapshot("nope", job_has_own_model=True)
        with pytest.raises(ModelUnavailable):
            await client.snapshot("nope")

    caller.with_client(use)


def test_what_is_loaded_is_what_answered(ollama: Caller) -> None:
    async def use(client: ModelClient) -> None:
        answer = await ollama.ask(client)
        loaded = await client.loaded("llama3.2")
        snapshot = await client.snapshot("llama3.2")
        assert loaded is not None
        assert loaded.context_length == 8192
        checks = check_answer(request(), answer, digest=snapshot.digest, loaded=loaded)
        assert all(check.passed for check in checks), checks
        assert await client.loaded("another") is None

    ollama.with_client(use)


def test_the_models_are_listed(caller: Caller) -> None:
    assert caller.with_client(lambda client: client.models()) == ("llama3.2:latest",)


def test_a_server_without_the_listings_still_has_a_snapshot(ollama: Caller) -> None:
    for path in ("/api/tags", "/api/version", "/api/ps"):
        ollama.fake.always(behaviours.status(404, body=b"404 page not found"), path=path)
    snapshot = ollama.with_client(lambda client: client.snapshot("llama3.2"))
    assert (snapshot.digest, snapshot.server_version) == (None, None)


@pytest.mark.parametrize(
    "behaviour",
    [
        behaviours.crashed(),
        behaviours.overloaded(),
        behaviours.redirect("http://127.0.0.1:1/"),
        behaviours.status(401),
        behaviours.silent(),
        behaviours.reset_before_headers(),
        behaviours.status(200, body=b"<html>hello</html>"),
        behaviours.status(200, body=b"[]"),
        behaviours.compressed(),
        behaviours.endless(),
    ],
)
def test_a_probe_that_fails_says_that_the_server_is_away(caller: Caller, behaviour: Behaviour) -> None:
    caller.fake.always(behaviour, path=caller.look_path)
    with pytest.raises(ModelUnavailable):
        caller.with_client(lambda client: client.probe(), first_byte_seconds=0.2)


def test_a_probe_says_how_to_get_the_model(caller: Caller) -> None:
    with pytest.raises(ModelUnavailable, match=caller.how_to_get_model.format("mistral")):
        caller.with_client(lambda client: client.probe(), model="mistral")


# What the OpenAI-compatible protocol alone has


def test_what_the_protocol_cannot_tell_is_null(openai: Caller) -> None:
    async def use(client: ModelClient) -> None:
        snapshot = await client.snapshot("llama3.2")
        assert (snapshot.digest, snapshot.server_version, snapshot.think) == (None, None, False)
        kept = json.loads(snapshot.model_json(request().options.to_json()))
        assert kept["show"] == {"id": "llama3.2:latest", "object": "model", "owned_by": "library"}
        assert await client.loaded("llama3.2") is None
        assert await client.resident() is None
        answer = await openai.ask(client)
        assert json.loads(answer.metrics.to_json()) == {
            "total_duration": None,
            "load_duration": None,
            "prompt_eval_count": 321,
            "prompt_eval_duration": None,
            "eval_count": 12,
            "eval_duration": None,
        }
        checks = {check.name for check in check_answer(request(), answer, digest=None, loaded=None)}
        assert not checks & {"model_digest", "context_length"}

    openai.with_client(use)


def test_a_server_without_a_listing_still_has_a_snapshot(openai: Caller) -> None:
    openai.fake.always(behaviours.status(404, body=b"404 page not found"), path="/v1/models")
    assert openai.with_client(lambda client: client.snapshot("whatever")).show_json == b"{}"
    assert openai.with_client(lambda client: client.models()) == ()


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_is_not_forgotten_because_the_listing_needs_none(openai: Caller, code: int) -> None:
    async def use(client: ModelClient) -> None:
        await client.probe()
        openai.fake.always(behaviours.status(code, "Invalid API Key"))
        with pytest.raises(ModelAccessRefused):
            await openai.ask(client)
        with pytest.raises(ModelAccessRefused, match="Invalid API Key: set "):
            await client.probe()
        openai.fake.always(None)
        await client.probe()
        await openai.ask(client)

    openai.with_client(use)


EVENT = behaviours.piece_line('{"facts": []}')


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(
            [b": keep-alive\n\n", EVENT, b"event: x\nid: 1\nretry: 2\n\n", behaviours.final_line()], id="comments"
        ),
        pytest.param(
            [EVENT, b'data: {"choices": [{"finish_reason": "stop"}]}\r\n\r\n'], id="neither numbers nor [DONE]"
        ),
        pytest.param([EVENT, b'data:{"choices":[{"finish_reason":"stop"}]}\n\ndata:[DONE]\n\n'], id="no blank"),
    ],
)
def test_a_stream_is_read_as_servers_write_it(openai: Caller, records: list[dict[str, Any] | bytes]) -> None:
    openai.fake.next(behaviours.lines(*records))
    assert openai.chat().content == '{"facts": []}'


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([EVENT, b"data: [DONE]\n\n"], id="no reason"),
        pytest.param([EVENT, b'data: {"choices": [{"finish_reason": "content_filter"}]}\n\n'], id="filtered"),
        pytest.param([EVENT, b'data: {"object": "error", "message": "boom"}\n\n'], id="an error of its own kind"),
        pytest.param([b'data: {"choices": [{"index": 1, "delta": {"content": "x"}}]}\n\n'], id="another answer"),
        pytest.param([b'data: {"choices": {"0": 1}}\n\n'], id="choices are no list"),
        pytest.param([b'data: {"choices": ["x"]}\n\n'], id="a choice is no object"),
        pytest.param([b"<!doctype html>\n<html>\n"], id="a page"),
        pytest.param([EVENT, b'data: {"choices": [{"finish_reason": "stop"}]}\n\n', EVENT], id="goes on after its end"),
    ],
)
def test_a_stream_that_is_no_answer_is_a_crash(openai: Caller, records: list[dict[str, Any] | bytes]) -> None:
    openai.fails(ModelCrashed, behaviours.lines(*records))


def test_a_connection_that_breaks_before_the_numbers_is_a_crash(openai: Caller) -> None:
    ends = b'data: {"choices": [{"finish_reason": "stop"}]}\n\n'
    openai.fails(ModelCrashed, behaviours.lines(EVENT, ends, ends=False))


def test_thoughts_are_told_from_the_answer(openai: Caller) -> None:
    openai.fake.next(behaviours.answer('{"facts": []}', thinking="Let me see."))
    answer = openai.chat()
    assert (answer.content, answer.thinking) == ('{"facts": []}', "Let me see.")
