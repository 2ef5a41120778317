"""The client against a real server: what the stand-in was taught to say, said by what it stands for."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import jsonschema
import pytest

from derive.errors import EvidenceTooLarge, ModelNotFound, ModelUnavailable, SchemaRefused, TruncatedOutput
from derive.interrogations.registry import Registry
from derive.model_clients import open_client
from derive.model_servers.chat import ChatAnswer, ChatOptions, ChatRequest, answer_of, check_answer
from derive.model_servers.client import ModelClient
from derive.model_servers.schema_trial import SchemaTrial
from tests.real_servers.servers import RealServer

T = TypeVar("T")


def object_of(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": sorted(members), "additionalProperties": False}


SHORT = object_of(answer={"enum": ["yes", "no"]})
LONG = object_of(answer={"type": "string", "minLength": 300, "maxLength": 300})
"""An answer that takes more than 300 tokens whatever the model."""
ENDLESS = object_of(rows={"type": "array", "minItems": 100, "maxItems": 100, "items": LONG})

SCHEMAS = {
    "the built-in interrogation": Registry.load(None).get("sw_entity_facts_v1").definition.output_schema,
    "choices, whole numbers and null": object_of(
        a={"enum": ["no", "yes"]},
        b={"type": "integer", "minimum": 3, "maximum": 40},
        c={"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
        d={"type": "boolean"},
    ),
    "a pattern": object_of(code={"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
    "lists of objects": object_of(
        rows={
            "type": "array",
            "minItems": 3,
            "maxItems": 3,
            "items": object_of(x={"type": "string", "minLength": 9, "maxLength": 20}),
        }
    ),
    "a long text": LONG,
}


def request_for(server: RealServer, prompt: str, schema: dict[str, Any] = SHORT, **options: int) -> ChatRequest:
    settings = server.settings()
    return ChatRequest(
        model=server.model,
        prompt=prompt,
        schema=schema,
        options=ChatOptions.from_settings(settings).model_copy(update=options),
        keep_alive=settings.keep_alive,
    )


def with_client(server: RealServer, use: Callable[[ModelClient], Awaitable[T]], **changed: Any) -> T:
    async def run() -> T:
        client = open_client(server.settings(**changed))
        try:
            return await use(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def ask(server: RealServer, prompt: str, schema: dict[str, Any] = SHORT, **options: int) -> ChatAnswer:
    async def use(client: ModelClient) -> ChatAnswer:
        body = client.body(request_for(server, prompt, schema, **options))
        return await client.chat(body, sink=lambda _: None, job_has_own_model=False)

    return with_client(server, use)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_an_answer_obeys_its_schema_whatever_the_model(server: RealServer, schema: dict[str, Any]) -> None:
    answer = ask(server, "What is known of Tala Venn?", schema)
    assert answer.done_reason == "stop"
    jsonschema.validate(json.loads(answer.content), schema)


def test_an_answer_comes_in_pieces_and_with_its_numbers(server: RealServer) -> None:
    pieces: list[bytes] = []
    question = request_for(server, "Tell me all.", LONG)

    async def use(client: ModelClient) -> ChatAnswer:
        answer = await client.chat(client.body(question), sink=pieces.append, job_has_own_model=False)
        loaded = await client.loaded(server.model)
        assert all(check.passed for check in check_answer(question, answer, digest=None, loaded=loaded))
        return answer

    answer = with_client(server, use)
    assert len(pieces) > 10
    assert sum(map(len, pieces)) == answer.byte_count
    assert answer.ended_cleanly
    read, written = answer.metrics.prompt_eval_count, answer.metrics.eval_count
    assert read is not None
    assert read > len("Tell me all.")
    assert written is not None
    assert written > 300


def test_the_same_question_gets_the_same_answer(server: RealServer) -> None:
    first, second = (ask(server, "Again?", LONG) for _ in range(2))
    assert first.content == second.content


def test_an_answer_without_room_is_truncated(server: RealServer) -> None:
    with pytest.raises(TruncatedOutput) as caught:
        ask(server, "Tell me all.", LONG, num_predict=50)
    answer = answer_of(caught.value)
    assert answer is not None
    assert (answer.done_reason, answer.metrics.eval_count) == ("length", 50)
    assert json.loads(answer.response_json)


def test_an_answer_that_fills_the_window_is_truncated(narrow: RealServer) -> None:
    with pytest.raises(TruncatedOutput):
        ask(narrow, "x" * (narrow.window - 500), ENDLESS, num_predict=narrow.window)


def test_a_prompt_beyond_the_window_is_too_much_evidence(narrow: RealServer) -> None:
    with pytest.raises(EvidenceTooLarge):
        ask(narrow, "x" * (narrow.window + 500))


def test_a_schema_that_the_server_cannot_compile_is_refused(server: RealServer) -> None:
    is_refused(server, object_of(a={"type": "text"}))


def is_refused(server: RealServer, schema: dict[str, Any]) -> None:
    """Check that an answer by the schema is refused for its sake, and another one is not."""
    with pytest.raises(SchemaRefused):
        ask(server, "Answer.", schema)

    async def use(client: ModelClient) -> str | None:
        assert await SchemaTrial(client, server.settings()).why_refused(SHORT) is None
        return await SchemaTrial(client, server.settings()).why_refused(schema)

    assert with_client(server, use)


def test_what_the_server_has_is_told(server: RealServer) -> None:
    async def use(client: ModelClient) -> None:
        await client.probe()
        assert [name.removesuffix(":latest") for name in await client.models()] == [server.model]
        snapshot = await client.snapshot(server.model)
        assert snapshot.unfit is None
        assert json.loads(snapshot.show_json)

    with_client(server, use)


def test_a_model_that_is_not_there_is_the_jobs_fault_only_when_the_job_asked_for_it(server: RealServer) -> None:
    async def use(client: ModelClient) -> None:
        with pytest.raises(ModelNotFound, match="nobody-has-it"):
            await client.snapshot("nobody-has-it", job_has_own_model=True)
        with pytest.raises(ModelUnavailable, match="nobody-has-it"):
            await client.snapshot("nobody-has-it")

    with_client(server, use)


def test_a_cancelled_call_frees_its_slot(server: RealServer) -> None:
    async def use(client: ModelClient) -> ChatAnswer:
        begun = asyncio.Event()
        body = client.body(request_for(server, "Go on.", ENDLESS, num_predict=server.window - 1_000))
        call = asyncio.create_task(client.chat(body, sink=lambda _: begun.set(), job_has_own_model=False))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        body = client.body(request_for(server, "And now?"))
        return await client.chat(body, sink=lambda _: None, job_has_own_model=False)

    before = 0 if server.is_ollama else server.decoded()
    assert with_client(server, use).done_reason == "stop"
    # Ollama tells of no such number: there all that shows is that the next answer comes.
    if not server.is_ollama:
        assert server.decoded() - before < server.window // 2
