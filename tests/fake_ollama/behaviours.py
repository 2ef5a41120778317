"""Ways to answer one request, each named after what goes wrong. They compose out of ``Exchange``'s few verbs."""

import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

from derive.demo.ollama_wire import Exchange, chat_line, split
from tests.fake_ollama import openai_wire
from tests.fake_ollama.answers import CREATED_AT, METRICS, MODEL, default_content, facts_content
from tests.fake_ollama.gate import Gate
from tests.fake_ollama.openai_wire import error_of, speaks_openai, wire_bytes

HUGE = 64 * 1024
Behaviour = Callable[[Exchange], Awaitable[None]]


def answer(
    content: str | None = None,
    *,
    thinking: str = "",
    pieces: int = 3,
    done_reason: str | None = "stop",
    gate: Gate | None = None,
    first_gate: Gate | None = None,
    headers: dict[str, str] | None = None,
    **final: Any,
) -> Behaviour:
    """A proper answer. The gates hold back everything (``first_gate``) or all after the first piece (``gate``)."""

    async def behave(exchange: Exchange) -> None:
        if first_gate is not None:
            await first_gate.wait()
        request = exchange.request.json
        text = default_content(request) if content is None else content
        end = final_line(done_reason=done_reason, model=request.get("model", MODEL), **final)
        if request.get("stream") is False:
            message = {"role": "assistant", "content": text} | ({"thinking": thinking} if thinking else {})
            exchange.whole(200, json.dumps(end | {"message": message}).encode(), headers)
            return
        exchange.head(200, headers)
        if thinking:
            say(exchange, piece_line("", model=end["model"], thinking=thinking))
        for number, piece in enumerate(split(text, pieces)):
            say(exchange, piece_line(piece, model=end["model"]))
            if number == 0 and gate is not None:
                await gate.wait()
        say(exchange, end)
        exchange.end()

    return behave


def status(
    code: int, error: str | None = None, *, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Behaviour:
    """A refusal: Ollama's error object, or any body."""

    async def behave(exchange: Exchange) -> None:
        said: object = error or "broken"
        refusal = {"error": error_of(said) if speaks_openai(exchange) else said}
        exchange.whole(code, json.dumps(refusal).encode() if body is None else body, headers)

    return behave


def say(exchange: Exchange, record: dict[str, Any]) -> None:
    """Send one line of Ollama's stream, in the protocol that was asked in."""
    exchange.chunk(wire_bytes(exchange, record))


def in_one_piece(content: str = '{"facts": []}') -> Behaviour:
    """A whole answer that is not streamed."""

    async def behave(exchange: Exchange) -> None:
        whole = final_line() | {"message": {"role": "assistant", "content": content}}
        exchange.json(openai_wire.in_one_piece(content, final_line()) if speaks_openai(exchange) else whole)

    return behave


def redirect(location: str) -> Behaviour:
    return status(307, body=b"", headers={"Location": location})


def model_not_found(model: str = "nope") -> Behaviour:
    return status(404, f"model '{model}' not found")


def overloaded() -> Behaviour:
    return status(503, "server busy, please try again.  maximum pending requests exceeded")


def crashed() -> Behaviour:
    return status(500, "llama runner process has terminated: signal: killed")


def prompt_too_long() -> Behaviour:
    return status(400, "the input length exceeds the context length")


def by_what_it_is(show: dict[str, Any]) -> Behaviour:
    """Answer as Ollama 0.33 does for the model of this ``/api/show``, by what the request says of thinking."""

    async def behave(exchange: Exchange) -> None:
        request = exchange.request.json
        think = request.get("think", True)
        thinks = "thinking" in show["capabilities"]
        if "completion" not in show["capabilities"]:
            await status(400, f'"{request["model"]}" does not support chat')(exchange)
        elif not thinks:
            refused = status(400, f'"{request["model"]}" does not support thinking')
            await (refused if request.get("think") else answer())(exchange)
        elif think:
            await answer(thinking="Let me see.")(exchange)
        elif "PARSER olmo3-think" in show["modelfile"]:
            await answer("", thinking=default_content(request))(exchange)
        elif "PARSER harmony" in show["modelfile"] or show["details"].get("family") == "gptoss":
            await answer("")(exchange)
        else:
            await answer()(exchange)

    return behave


def bad_schema() -> Behaviour:
    return status(400, "invalid JSON schema in format")


def lines(*records: dict[str, Any] | bytes, ends: bool = True) -> Behaviour:
    """Whatever lines, in a stream that ends as it should, or does not."""

    async def behave(exchange: Exchange) -> None:
        exchange.head()
        for record in records:
            if isinstance(record, bytes):
                exchange.chunk(record)
            else:
                say(exchange, record)
        if ends:
            exchange.end()
        else:
            exchange.close()

    return behave


def ends_early() -> Behaviour:
    """The stream ends properly, the answer does not."""
    return lines(piece_line('{"fac'), piece_line('ts"'))


def breaks_off() -> Behaviour:
    """The connection is closed inside the stream."""
    return lines(piece_line('{"fac'), ends=False)


def cut_line() -> Behaviour:
    return lines(piece_line('{"fac'), b'{"model":"llama3.2","mess')


def error_line(text: str = "an error was encountered while running the model") -> Behaviour:
    return lines(piece_line('{"fac'), {"error": text})


def done_false() -> Behaviour:
    return lines(piece_line('{"facts": []}'), final_line() | {"done": False})


def truncated(content: str = '{"facts": [{"fact_k') -> Behaviour:
    return answer(content, done_reason="length")


def not_utf8() -> Behaviour:
    return lines(b'{"model":"m","message":{"role":"assistant","content":"\xff\xfe"},"done":false}\n', final_line())


def not_json_line() -> Behaviour:
    return lines(b"<html>Hello, this is your proxy</html>\n")


def not_json_content() -> Behaviour:
    return answer("Sure! Here are the facts.")


def not_the_schema() -> Behaviour:
    return answer('{"facts": "none"}')


def nan() -> Behaviour:
    return answer('{"facts": [{"fact_key": "k", "value": "v", "confidence": NaN, "evidence_ids": [], "quote": ""}]}')


def infinity() -> Behaviour:
    return answer(
        '{"facts": [{"fact_key": "k", "value": "v", "confidence": -5E9028, "evidence_ids": [], "quote": ""}]}'
    )


def wrong_quote(evidence_id: str) -> Behaviour:
    return answer(facts_content((evidence_id, "words that stand in no evidence at all")))


def unknown_evidence_id(quote: str) -> Behaviour:
    return answer(facts_content(("no-such-evidence", quote)))


def compressed() -> Behaviour:
    """Compressed though nobody asked: some kilobytes that unpack to megabytes."""
    body = gzip.compress(json.dumps(final_line() | {"message": {"content": " " * 4_000_000}}).encode())
    return status(200, body=body, headers={"Content-Encoding": "gzip"})


def endless() -> Behaviour:
    """A stream that never ends, as fast as it is read."""

    async def behave(exchange: Exchange) -> None:
        exchange.head()
        piece = wire_bytes(exchange, piece_line("and "))
        while True:
            exchange.chunk(piece * 100)
            await exchange.drain()

    return behave


def endless_line() -> Behaviour:
    """One line that never ends."""

    async def behave(exchange: Exchange) -> None:
        exchange.head()
        exchange.chunk(b'{"message":{"content":"')
        while True:
            exchange.chunk(b"x" * HUGE)
            await exchange.drain()

    return behave


def silent() -> Behaviour:
    """Takes the request and never says a word."""

    async def behave(exchange: Exchange) -> None:
        await Gate().wait()

    return behave


def falls_silent(content: str = '{"fac') -> Behaviour:
    """Begins, and never goes on."""
    return answer(content + "ts", pieces=2, gate=Gate())


def stays_open() -> Behaviour:
    """The whole answer, in a stream that is then never ended."""

    async def behave(exchange: Exchange) -> None:
        exchange.head()
        say(exchange, piece_line('{"facts": []}'))
        say(exchange, final_line())
        await Gate().wait()

    return behave


def closes_after_the_answer() -> Behaviour:
    """The whole answer, and the connection closed before HTTP's last chunk."""
    return lines(piece_line('{"facts": []}'), final_line(), ends=False)


def reset_before_headers() -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        exchange.reset()

    return behave


def closed_before_headers() -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        exchange.close()

    return behave


def reset_after_headers(gate: Gate | None = None) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        exchange.head()
        say(exchange, piece_line('{"fac'))
        if gate is not None:
            await gate.wait()
        exchange.reset()

    return behave


def raw(data: bytes) -> Behaviour:
    """Bytes that may not even be HTTP, and the end of the connection."""

    async def behave(exchange: Exchange) -> None:
        exchange.write(data)
        exchange.close()

    return behave


def piece_line(content: str, *, model: str = MODEL, **message: Any) -> dict[str, Any]:
    """A line of the stream before the last."""
    return chat_line(content, model=model, created_at=CREATED_AT, **message)


def final_line(*, done_reason: str | None = "stop", model: str = MODEL, **members: Any) -> dict[str, Any]:
    """The line that ends an answer."""
    reason = {} if done_reason is None else {"done_reason": done_reason}
    return chat_line("", model=model, created_at=CREATED_AT, done=True) | reason | METRICS | members
