import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.errors import AnswerTooLarge, ModelCrashed, RunError, TruncatedOutput
from derive.model_servers import stream as stream_module
from derive.model_servers.chat import ChatAnswer
from derive.model_servers.stream import MAX_LINE_BYTES
from derive.ollama.stream import NdjsonAssembler

BOUND = 16 * 1024 * 1024


def line(content: str, **members: Any) -> dict[str, Any]:
    return {"model": "m:latest", "message": {"role": "assistant", "content": content}, "done": False} | members


def final(**members: Any) -> dict[str, Any]:
    return line("") | {"done": True, "done_reason": "stop", "eval_count": 3} | members


def ndjson(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def assemble(*chunks: bytes, max_answer_bytes: int = BOUND) -> ChatAnswer:
    assembler = NdjsonAssembler(max_answer_bytes=max_answer_bytes)
    for chunk in chunks:
        assembler.feed(chunk)
    return assembler.finish()


@given(st.lists(st.text(max_size=20), max_size=8), st.lists(st.integers(0, 2000), max_size=20))
def test_an_answer_is_the_same_however_its_bytes_are_cut(pieces: list[str], cuts: list[int]) -> None:
    stream = ndjson(*(line(piece) for piece in pieces), final())
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    chunks = [stream[start:end] for start, end in itertools.pairwise(ends)]
    answer = assemble(*chunks)
    assert answer.content == "".join(pieces)
    assert answer.response_json == assemble(stream).response_json
    assert answer.byte_count == len(stream)


@given(st.binary(max_size=300))
def test_whatever_bytes_come_the_answer_or_an_error_of_ours_results(garbage: bytes) -> None:
    for chunks in ([garbage], [ndjson(line("a")), garbage, b"\n", ndjson(final())], [ndjson(final()), garbage]):
        try:
            answer = assemble(*chunks)
        except (ModelCrashed, TruncatedOutput):
            continue
        assert answer.done_reason == "stop"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=12,
    )
)
def test_whatever_json_comes_the_answer_or_an_error_of_ours_results(value: Any) -> None:
    for record in (value, {"message": value, "done": True}, final(done_reason=value, eval_count=value, error=value)):
        try:
            answer = assemble(json.dumps(record).encode())
        except (ModelCrashed, TruncatedOutput):
            continue
        assert answer.metrics.eval_count is not None
        assert answer.metrics.eval_count >= 0
        json.loads(answer.response_json)


def test_windows_line_ends_blank_lines_and_a_missing_last_one_are_read() -> None:
    stream = ndjson(line("a"), line("b"), final()).replace(b"\n", b"\r\n\r\n").rstrip()
    assert assemble(stream).content == "ab"


def test_the_whole_answer_has_the_shape_that_ollama_gives_without_streaming() -> None:
    stream = ndjson(line("Hel", created_at="1"), line("lo", created_at="2"), final(created_at="3", total_duration=5))
    assert json.loads(assemble(stream).response_json) == {
        "model": "m:latest",
        "created_at": "3",
        "message": {"role": "assistant", "content": "Hello"},
        "done": True,
        "done_reason": "stop",
        "eval_count": 3,
        "total_duration": 5,
    }


def test_members_nobody_knows_are_kept_and_lists_are_joined() -> None:
    first, second = line("a", logprobs=[1], early="yes"), line("b", logprobs=[2], future={"x": 1})
    second["message"]["tool_calls"] = ["call"]
    last = final(logprobs=[3], future={"x": 2}, late=[0])
    last["message"]["tool_calls"] = ["another"]
    whole = json.loads(assemble(ndjson(first, second, last)).response_json)
    assert whole["logprobs"] == [1, 2, 3]
    assert whole["early"] == "yes"
    assert whole["future"] == {"x": 2}
    assert whole["late"] == [0]
    assert whole["message"]["tool_calls"] == ["call", "another"]


def test_unknown_members_do_not_fill_the_memory() -> None:
    stream = ndjson(*(line("a", **{f"member_{n}": "x" * 1000}) for n in range(3000)), final())
    assert len(assemble(stream).response_json) < 2_000_000


def test_thinking_is_kept_apart() -> None:
    thought = line("")
    thought["message"]["thinking"] = "Hmm. "
    answer = assemble(ndjson(thought, thought, line("Yes"), final()))
    assert (answer.thinking, answer.content) == ("Hmm. Hmm. ", "Yes")
    assert json.loads(answer.response_json)["message"]["thinking"] == "Hmm. Hmm. "


def test_a_last_line_without_a_message_ends_an_answer() -> None:
    end = final()
    del end["message"]
    answer = assemble(ndjson(line("all"), end))
    assert answer.content == "all"
    assert json.loads(answer.response_json)["message"] == {"role": "assistant", "content": "all"}


def test_metrics_are_zero_where_ollama_gives_none_or_nonsense() -> None:
    metrics = assemble(ndjson(final(eval_count="many", prompt_eval_count=-1, total_duration=True, load_duration=2.5)))
    assert set(json.loads(metrics.metrics.to_json()).values()) == {0}
    assert list(json.loads(metrics.metrics.to_json())) == [
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
    ]


def test_half_a_surrogate_pair_in_the_content_is_handed_on_and_stored_escaped() -> None:
    answer = assemble(b'{"message":{"content":"\\ud83d"},"done":true,"done_reason":"stop"}\n')
    assert answer.content == "\ud83d"
    assert b"\\ud83d" in answer.response_json


def test_halves_of_a_surrogate_pair_in_two_lines_become_one_character() -> None:
    answer = assemble(
        b'{"message":{"content":"a\\ud83d","thinking":"\\ud83d"},"done":false}\n'
        b'{"message":{"content":"\\ude00b","thinking":"\\ude00"},"done":true,"done_reason":"stop"}\n'
    )
    assert (answer.content, answer.thinking) == ("a😀b", "😀")
    message = json.loads(answer.response_json.decode())["message"]
    assert (message["content"], message["thinking"]) == ("a😀b", "😀")


@given(st.lists(st.text(st.characters(codec="utf-16"), max_size=4), max_size=4), st.data())
def test_text_is_the_same_wherever_its_utf_16_is_cut_into_lines(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    units = text.encode("utf-16-le")
    cut = 2 * data.draw(st.integers(0, len(units) // 2))
    pieces = [half.decode("utf-16-le", "surrogatepass") for half in (units[:cut], units[cut:])]
    stream = b"".join(json.dumps(line(piece)).encode() + b"\n" for piece in pieces) + ndjson(final())
    assert assemble(stream).content == text


@pytest.mark.parametrize("content", ["\\ude00\\ud83d", "\\ud83dx\\ude00", "\\ud83d"])
def test_a_half_without_its_other_half_stays_what_it_is(content: str) -> None:
    answer = assemble(b'{"message":{"content":"%s"},"done":true,"done_reason":"stop"}\n' % content.encode())
    assert answer.content == json.loads(f'"{content}"')


@pytest.mark.parametrize("done", [1, "true", None, [True]])
def test_only_true_is_done(done: Any) -> None:
    with pytest.raises(ModelCrashed):
        assemble(ndjson(final(done=done)))


def test_an_error_that_is_null_is_none() -> None:
    assert assemble(ndjson(final(error=None))).done_reason == "stop"


def test_the_bound_counts_every_byte() -> None:
    stream = ndjson(line("a"), final())
    assert assemble(stream, max_answer_bytes=len(stream)).content == "a"
    with pytest.raises(AnswerTooLarge, match=f"{len(stream) - 1} bytes"):
        assemble(stream, max_answer_bytes=len(stream) - 1)


@pytest.mark.parametrize("chunk_bytes", [1000, 64 * 1024, 4 * 1024 * 1024])
def test_one_line_is_bounded_too(chunk_bytes: int) -> None:
    stream = ndjson(line("x" * MAX_LINE_BYTES), final())
    with pytest.raises(AnswerTooLarge, match="one line"):
        assemble(*(stream[at : at + chunk_bytes] for at in range(0, len(stream), chunk_bytes)))


def test_no_part_of_an_answer_is_in_its_repr() -> None:
    assert "secret" not in repr(assemble(ndjson(line("secret"), final())))


MIB = 1024 * 1024


def streamed(*chunks: bytes) -> NdjsonAssembler:
    assembler = NdjsonAssembler(max_answer_bytes=BOUND)
    for chunk in chunks:
        assembler.feed(chunk)
    return assembler


def line_of(size: int, **members: Any) -> bytes:
    """Return a line of so many bytes, without its end."""
    empty = json.dumps(line("", **members)).encode()
    return empty.replace(b'"content": ""', b'"content": "' + b"x" * (size - len(empty)) + b'"')


@pytest.mark.parametrize("cut", [2 * MIB + 1, 2 * MIB, 64 * 1024])
def test_a_line_may_have_two_mebibytes_and_no_byte_more(cut: int) -> None:
    fits, too_long = (line_of(size) + b"\n" for size in (2 * MIB, 2 * MIB + 1))
    assert streamed(fits[:cut], fits[cut:]).so_far().byte_count == 2 * MIB + 1
    with pytest.raises(AnswerTooLarge, match="one line of the model's answer passed 2097152 bytes"):
        streamed(too_long[:cut], too_long[cut:])


def test_a_line_without_an_end_is_refused_as_soon_as_it_is_too_long() -> None:
    assembler = streamed(b"x" * 2 * MIB)
    with pytest.raises(AnswerTooLarge, match="one line"):
        assembler.feed(b"x")


def test_one_mebibyte_of_lines_with_unknown_members_is_kept_and_no_byte_more() -> None:
    for size, kept in ((MIB, True), (MIB + 1, False)):
        end = final()
        whole = json.loads(assemble(line_of(size, early=1) + b"\n" + ndjson(end)).response_json)
        assert ("early" in whole) is kept


def test_lines_that_are_known_whole_leave_the_unknown_their_room() -> None:
    known = {"model": "m", "created_at": "1", "message": {"role": "a", "content": "x" * MIB, "thinking": "y"}}
    stream = ndjson(known | {"done": False}, known | {"done": False}, line("", early=1), final())
    assert json.loads(assemble(stream).response_json)["early"] == 1


def test_unknown_members_that_are_no_lists_are_replaced_by_later_ones() -> None:
    stream = ndjson(line("", a=[1], b=2, c=[3]), line("", a="x", b=[2]), final(c=None))
    whole = json.loads(assemble(stream).response_json)
    assert (whole["a"], whole["b"], whole["c"]) == ("x", [2], None)


def test_an_answer_is_done_with_its_last_line() -> None:
    assembler = streamed(ndjson(line("a")))
    assert not assembler.is_done
    assembler.feed(ndjson(final()))
    assert assembler.is_done


@pytest.mark.parametrize(
    ("records", "error", "match"),
    [
        ([line("a")], ModelCrashed, "ended before it was done"),
        ([final(done_reason="length")], TruncatedOutput, "ran out of tokens"),
        ([final(done_reason="load")], ModelCrashed, "ended with the reason 'load' instead of 'stop'"),
        ([final(done_reason=None)], ModelCrashed, "ended with no reason instead of 'stop'"),
        ([final(done_reason="")], ModelCrashed, "ended with no reason instead of 'stop'"),
        ([final(done_reason=5)], ModelCrashed, "ended with no reason instead of 'stop'"),
        ([final(), line("a")], ModelCrashed, "went on after the end"),
        ([{"error": "out of memory"}], RunError, "out of memory"),
        ([line("a") | {"message": ["a"]}], ModelCrashed, "a message that is not an object"),
        ([line("a") | {"message": {"content": 5}}], ModelCrashed, "a message that is not text"),
        ([line("a") | {"message": {"content": "", "thinking": [1]}}], ModelCrashed, "a message that is not text"),
    ],
)
def test_what_is_no_whole_answer_is_reported_for_what_it_is(
    records: list[dict[str, Any]], error: type[RunError], match: str
) -> None:
    with pytest.raises(error, match=match):
        assemble(ndjson(*records))


def test_a_line_that_is_no_object_is_refused() -> None:
    with pytest.raises(ModelCrashed, match="not a JSON object"):
        assemble(b"[1]\n", ndjson(final()))


def test_what_came_of_an_answer_is_reported_and_no_more() -> None:
    assembler = streamed(ndjson(line("Hel")), json.dumps(line("lo")).encode())
    for _ in range(2):
        so_far = assembler.so_far()
        assert (so_far.content, so_far.response_json, so_far.done_reason) == ("Hello", b"", None)
        assert (so_far.model, so_far.ended_cleanly, so_far.time_to_first_token_ms is None) == (None, False, False)


def test_half_a_line_at_the_end_is_left_out() -> None:
    so_far = streamed(ndjson(line("Hel")), b'{"message": {"content": "lo').so_far()
    assert so_far.content == "Hel"


def test_a_whole_answer_names_its_model_and_ended_cleanly_unless_told_otherwise() -> None:
    answer = assemble(ndjson(final()))
    assert (answer.model, answer.ended_cleanly) == ("m:latest", True)
    assert streamed(ndjson(final(model=5))).so_far().model is None
    assert not streamed(ndjson(final())).finish(ended_cleanly=False).ended_cleanly


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (1, 1), (2**63 - 1, 2**63 - 1), (2**63, 0)])
def test_counters_are_kept_as_far_as_a_column_holds_them(given: int, kept: int) -> None:
    assert assemble(ndjson(final(eval_count=given))).metrics.eval_count == kept


def test_the_first_token_and_the_whole_are_timed_from_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(stream_module, "monotonic", lambda: now)
    assembler = NdjsonAssembler(max_answer_bytes=BOUND)
    now = 1000.125
    assembler.feed(ndjson(line("")))
    assert assembler.so_far().time_to_first_token_ms is None
    now = 1000.25
    thought = line("")
    thought["message"]["thinking"] = "Hmm."
    assembler.feed(ndjson(thought))
    now = 1003.0
    assembler.feed(ndjson(line("Yes"), final()))
    answer = assembler.finish()
    assert (answer.time_to_first_token_ms, answer.total_ms) == (250, 3000)
