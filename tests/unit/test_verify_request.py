"""A request that is read without its prompt says what it says when it is read whole."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from derive.model_servers.chat import ChatOptions, ChatRequest
from derive.ollama.chat import body_of
from derive.verify.contents import NotJson, member, read_object
from derive.verify.question import _read_request

SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}
OPTIONS = ChatOptions(num_ctx=8192, num_predict=2048, seed=0, temperature=0)
PROMPTS = st.text(st.sampled_from(["a", "ä", '"', "\\", "\n", "]", "}", ",", "🚀", "\x7f"]), max_size=8)
PIECES = st.sampled_from(
    [
        *(b"", b"x", b'"', b"\\", b"}", b",", b"null", b"\xff", b" ", b'"messages":[],', b'{"model":"m","messages":'),
        *(b'[{"role":"user","content":"a"}]', b'{"role":"system","content":"b"},', b'{"x":"[', b"NaN", b'"model":"o",'),
    ]
)


def whole(data: bytes, prompt: str) -> tuple[Any, ...]:
    try:
        request = read_object(data)
    except NotJson:
        return (None,)
    messages = request.pop("messages", None)
    return request, json.dumps(member(request, "format")), messages == [{"role": "user", "content": prompt}]


def without_prompt(data: bytes, prompt: str) -> tuple[Any, ...]:
    try:
        request, schema_json, has_prompt = _read_request(data, frozenset({prompt}))
    except NotJson:
        return (None,)
    return {name: value for name, value in request.items() if name != "messages"}, schema_json, has_prompt


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, str]:
    """Return a request as it is sent, in most cases with something taken out or put in, and a prompt."""
    prompt = draw(PROMPTS)
    data = body_of(ChatRequest(model="m:latest", prompt=prompt, schema=SCHEMA, options=OPTIONS, keep_alive="5m"))
    for _ in range(draw(st.integers(0, 2))):
        # Near the prompt, where it matters, or anywhere.
        at = draw(st.integers(0, 90) | st.integers(0, len(data)))
        data = data[:at] + draw(PIECES) + data[at + draw(st.integers(0, 2)) :]
    return data, draw(st.just(prompt) | PROMPTS | st.just("\ud800"))


@settings(max_examples=1_000)
@given(requests())
def test_it_says_the_same(given_request: tuple[bytes, str]) -> None:
    assert without_prompt(*given_request) == whole(*given_request)


def test_the_requests_of_a_worker_are_read_once_whatever_they_ask() -> None:
    bodies = {
        prompt: body_of(ChatRequest(model="m:latest", prompt=prompt, schema=SCHEMA, options=OPTIONS, keep_alive="5m"))
        for prompt in ("one", 'an"other')
    }
    one, other = (_read_request(body, frozenset({prompt})) for prompt, body in bodies.items())
    assert one[2]
    assert other[2]
    assert one[0] is other[0]
    assert one[1] == json.dumps(SCHEMA)
