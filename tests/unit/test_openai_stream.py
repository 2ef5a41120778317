"""Server-sent events become one answer, however they are cut and whatever they say."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.errors import AnswerTooLarge, ModelCrashed, RunError, TruncatedOutput
from derive.model_servers.chat import ChatAnswer, ChatOptions, ChatRequest
from derive.openai_api.chat import body_of
from derive.openai_api.stream import SseAssembler
from tests.fake_ollama.openai_wire import event, sse

BOUND = 16 * 1024 * 1024


def piece(content: str) -> bytes:
    return sse({"model": "m", "message": {"role": "assistant", "content": content}, "done": False})


def final(reason: str = "stop") -> bytes:
    return sse({"model": "m", "done": True, "done_reason": reason, "prompt_eval_count": 5, "eval_count": 3})


def assemble(*chunks: bytes, max_answer_bytes: int = BOUND) -> ChatAnswer:
    assembler = SseAssembler(max_answer_bytes=max_answer_bytes)
    for chunk in chunks:
        assembler.feed(chunk)
    return assembler.finish()


def test_the_body_says_all_that_a_default_would_decide() -> None:
    options = ChatOptions(num_ctx=8192, num_predict=2048, seed=7, temperature=0.5)
    schema = {"z": 1, "a": {"y": 2, "b": 3}}
    body = body_of(ChatRequest(model="m", prompt="Who? Люк", schema=schema, options=options, keep_alive="5m"))
    assert json.loads(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Who? Люк"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": 7,
        "temperature": 0.5,
        "max_tokens": 2048,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}},
    }
    assert b'"schema":{"z":1,"a":{"y":2,"b":3}}' in body


@given(st.lists(st.text(max_size=20), max_size=8), st.lists(st.integers(0, 2000), max_size=20))
def test_an_answer_is_the_same_however_its_bytes_are_cut(pieces: list[str], cuts: list[int]) -> None:
    stream = b"".join(map(piece, pieces)) + final()
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    answer = assemble(*(stream[start:end] for start, end in itertools.pairwise(ends)))
    assert answer.content == "".join(pieces)
    assert answer.response_json == assemble(stream).response_json
    assert answer.byte_count == len(stream)


@given(st.binary(max_size=300))
def test_whatever_bytes_come_the_answer_or_an_error_of_ours_results(garbage: bytes) -> None:
    for chunks in ([garbage], [piece("a"), garbage, b"\n", final()], [final(), garbage]):
        try:
            answer = assemble(*chunks)
        except (ModelCrashed, TruncatedOutput):
            continue
        assert answer.done_reason == "stop"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=12,
)


@given(ANY_JSON)
def test_whatever_json_comes_the_answer_or_an_error_of_ours_results(value: Any) -> None:
    choice = {
        "index": 0,
        "delta": {"content": value, "reasoning": value, "x": value},
        "finish_reason": value,
        "y": value,
    }
    for record in (value, {"choices": value, "usage": value, "model": value}, {"choices": [choice], "z": value}):
        try:
            answer = assemble(event(record), final())
        except RunError:
            continue
        json.loads(answer.response_json)


def test_members_unknown_to_us_are_kept_in_the_whole_answer() -> None:
    first = {"choices": [{"index": 0, "delta": {"content": "{}", "tool_calls": None}, "logprobs": {"a": 1}}]}
    answer = assemble(event(first), final().removesuffix(b"data: [DONE]\n\n"), event({"timings": {"n": 1}}))
    whole = json.loads(answer.response_json)
    assert whole["timings"] == {"n": 1}
    assert whole["choices"][0]["logprobs"] == {"a": 1}
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "{}", "tool_calls": None}
    assert whole["usage"]["prompt_tokens"] == 5


def test_numbers_that_are_none_are_not_taken_for_numbers() -> None:
    for usage in ({"prompt_tokens": -1}, {"prompt_tokens": "5"}, {"prompt_tokens": True}, {"prompt_tokens": 2**63}, {}):
        metrics = assemble(piece("{}"), event({"choices": [{"finish_reason": "stop"}], "usage": usage})).metrics
        assert metrics.prompt_eval_count is None


@pytest.mark.parametrize("line", [b"data: " + b"x" * 3000, b": " + b"x" * 3000])
def test_a_line_past_the_bound_is_refused(line: bytes) -> None:
    with pytest.raises(AnswerTooLarge):
        assemble(line + b"\n", max_answer_bytes=2000)
