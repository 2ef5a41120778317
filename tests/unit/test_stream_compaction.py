import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from derive.errors import RunError
from derive.ollama.stream import NdjsonAssembler
from derive.verify.stream_compaction import compact

FINAL = {"model": "m", "created_at": "now", "message": {"role": "assistant", "content": ""}, "done": True}
TEXT = st.text(alphabet=st.sampled_from(['"', "\\", "\n", "a", "ä", "🚀", "\ud83d", "\ude80", "\x00", "\u2028"]))


def line(content: Any, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"model": "m", "created_at": "now", "message": message, "done": False} | more


def answer_of(stream: bytes) -> tuple[Any, ...]:
    assembler = NdjsonAssembler(max_answer_bytes=10_000_000)
    error = None
    try:
        assembler.feed(stream)
        assembler.finish()
    except RunError as raised:
        error = (type(raised), str(raised))
    answer = assembler.so_far()
    return error, answer.content, answer.thinking, answer.response_json, answer.done_reason, answer.metrics


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Return a stream of lines that Ollama sends or might, written in several ways, now and then broken."""
    odd: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [{}, {}, {}, {"error": "no"}, {"extra": 1}, {"message": {"content": 1}}, {"done": True}]
    )
    values = [line(draw(TEXT)) | draw(odd) for _ in range(draw(st.integers(0, 6)))]
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    escaped = draw(st.booleans())
    lines = [
        json.dumps(value, separators=separators, ensure_ascii=escaped).encode(errors="surrogatepass")
        for value in [*values, FINAL | {"done_reason": draw(st.sampled_from(["stop", "length", None]))}]
    ]
    stream = b"\n".join(lines) + draw(st.sampled_from([b"\n", b""]))
    broken_at = draw(st.none() | st.integers(0, len(stream) - 1))
    return stream if broken_at is None else stream[:broken_at] + draw(st.binary(max_size=2)) + stream[broken_at + 1 :]


@settings(max_examples=2_000)
@given(streams())
def test_a_compacted_stream_gives_the_same_answer(stream: bytes) -> None:
    assert answer_of(compact(stream)) == answer_of(stream)


def test_a_stream_of_tokens_becomes_two_lines() -> None:
    lines = [json.dumps(line(token), separators=(",", ":")).encode() for token in ("{", '"', "ä", '"', "}")]
    stream = b"\n".join([*lines, json.dumps(FINAL | {"done_reason": "stop"}).encode(), b""])
    assert compact(stream).count(b"\n") == 2
    assert answer_of(compact(stream))[:2] == (None, '{"ä"}')


def test_halves_of_one_character_in_two_lines_stay_apart() -> None:
    whole = json.dumps(line("ä"), ensure_ascii=False).encode()
    first, second = whole.split("ä".encode()[1:])[0], whole
    broken = first + whole[len(first) + 1 :] + b"\n" + second.replace("ä".encode(), "ä".encode()[1:]) + b"\n"
    assert compact(broken) == broken
