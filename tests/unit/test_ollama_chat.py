import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from derive.errors import InternalError, InvalidInput, ModelCrashed
from derive.model_servers.chat import AnswerCheck, ChatAnswer, ChatMetrics, ChatOptions, ChatRequest, answer_of
from derive.model_servers.chat import check_answer as check
from derive.model_servers.models import LoadedModel, same_model, split_model
from derive.model_servers.settings import ModelSettings
from derive.model_servers.wire import quotable, without_credentials
from derive.ollama.chat import body_of
from derive.ollama.models import read_loaded, read_names, read_snapshot
from tests.fake_ollama import answers
from tests.fake_ollama.answers import SHOW

OPTIONS = ChatOptions(num_ctx=8192, num_predict=2048, seed=0, temperature=0)
REQUEST = ChatRequest(
    model="llama3.2", prompt="Who?", schema={"z": 1, "a": {"y": 2, "b": 3}}, options=OPTIONS, keep_alive="5m"
)
ANSWER = ChatAnswer(
    content="{}",
    thinking="",
    done_reason="stop",
    model="llama3.2:latest",
    metrics=ChatMetrics(prompt_eval_count=100, eval_count=10),
    response_json=b"{}",
    byte_count=2,
    time_to_first_token_ms=1,
    total_ms=2,
    ended_cleanly=True,
)
DIGEST = "ab" * 32


def test_the_body_says_all_that_a_default_would_decide() -> None:
    assert json.loads(body_of(REQUEST)) == {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "Who?"}],
        "stream": True,
        "think": False,
        "truncate": False,
        "shift": False,
        "keep_alive": "5m",
        "options": {"num_ctx": 8192, "num_predict": 2048, "seed": 0, "temperature": 0},
        "format": {"z": 1, "a": {"y": 2, "b": 3}},
    }


def test_the_schema_goes_out_in_its_own_order() -> None:
    assert b'"format":{"z":1,"a":{"y":2,"b":3}}' in body_of(REQUEST)


@given(st.text())
def test_the_prompt_arrives_as_it_is(prompt: str) -> None:
    body = body_of(dataclasses.replace(REQUEST, prompt=prompt))
    assert json.loads(body)["messages"][0]["content"] == prompt


def test_a_prompt_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidInput):
        body_of(dataclasses.replace(REQUEST, prompt="\ud83d"))


@pytest.mark.parametrize(("setting", "sent"), [("5m", "5m"), ("0", 0), ("-1", -1), ("300", 300), ("1h30m", "1h30m")])
def test_keep_alive_is_sent_as_ollama_takes_it(setting: str, sent: Any) -> None:
    assert json.loads(body_of(dataclasses.replace(REQUEST, keep_alive=setting)))["keep_alive"] == sent


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_ctx": 0},
        {"num_ctx": "8192"},
        {"num_ctx": 8192.5},
        {"num_ctx": True},
        {"num_predict": -1},
        {"num_predict": 2**31},
        {"seed": None},
        {"seed": -1},
        {"temperature": float("nan")},
        {"temperature": -0.1},
        {"top_k": 1},
    ],
)
def test_options_of_the_wrong_type_or_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatOptions(**OPTIONS.model_dump() | wrong)


def test_the_configured_options_are_the_settings() -> None:
    settings = ModelSettings(num_ctx=1, num_predict=2, seed=3, temperature=0.5)
    assert json.loads(ChatOptions.from_settings(settings).to_json()) == {
        "num_ctx": 1,
        "num_predict": 2,
        "seed": 3,
        "temperature": 0.5,
    }


def test_options_survive_their_own_json() -> None:
    assert ChatOptions.model_validate_json(OPTIONS.to_json()) == OPTIONS


def test_no_prompt_is_in_a_requests_repr() -> None:
    assert "Who?" not in repr(REQUEST)


def test_an_error_of_no_call_has_no_answer() -> None:
    assert answer_of(ModelCrashed("x")) is None
    error = InternalError("x")
    error.partial_answer = ANSWER
    assert answer_of(error) is ANSWER


def checks_of(answer: ChatAnswer = ANSWER, loaded: LoadedModel | None = None) -> dict[str, AnswerCheck]:
    return {found.name: found for found in check(REQUEST, answer, digest=DIGEST, loaded=loaded)}


def test_an_answer_as_asked_passes_every_check() -> None:
    loaded = LoadedModel(model="llama3.2", digest=DIGEST, context_length=8192, size_vram=0)
    assert all(found.passed for found in checks_of(loaded=loaded).values())


@pytest.mark.parametrize(
    ("failing", "changed"),
    [
        ("model_name", {"model": "mistral:latest"}),
        ("model_name", {"model": None}),
        ("prompt_was_counted", {"metrics": ChatMetrics(eval_count=10)}),
        ("prompt_fits_context", {"metrics": ChatMetrics(prompt_eval_count=8192)}),
        ("prompt_fits_context", {"metrics": ChatMetrics(prompt_eval_count=8000, eval_count=193)}),
        ("no_thinking", {"thinking": "Hmm"}),
        ("stream_ended_cleanly", {"ended_cleanly": False}),
    ],
)
def test_each_deviation_of_an_answer_fails_its_check_alone(failing: str, changed: dict[str, Any]) -> None:
    found = checks_of(dataclasses.replace(ANSWER, **changed))
    assert [name for name, one in found.items() if not one.passed] == [failing]


@pytest.mark.parametrize(
    ("failing", "changed"), [("context_length", {"context_length": 4096}), ("model_digest", {"digest": "cd" * 32})]
)
def test_another_loaded_model_or_window_fails_its_check(failing: str, changed: dict[str, Any]) -> None:
    loaded = LoadedModel(model="llama3.2", digest=DIGEST, context_length=8192, size_vram=0)
    found = checks_of(loaded=dataclasses.replace(loaded, **changed))
    assert [name for name, one in found.items() if not one.passed] == [failing]


@pytest.mark.parametrize(
    ("model", "name", "tag"),
    [
        ("llama3.2", "llama3.2", "latest"),
        ("llama3.2:3b", "llama3.2", "3b"),
        ("hf.co/some/model:Q4_K_M", "hf.co/some/model", "Q4_K_M"),
        ("registry:5000/some/model", "registry:5000/some/model", "latest"),
        ("registry:5000/some/model:v1", "registry:5000/some/model", "v1"),
        ("odd:", "odd", "latest"),
    ],
)
def test_a_model_is_split_into_name_and_tag(model: str, name: str, tag: str) -> None:
    assert split_model(model) == (name, tag)


def test_models_are_compared_as_ollama_does() -> None:
    assert same_model("llama3.2", "Llama3.2:latest")
    assert not same_model("llama3.2", "llama3.2:3b")


def test_a_snapshot_does_not_depend_on_the_servers_order() -> None:
    tags = {
        "models": [{"model": "other:latest", "digest": "00" * 32}, {"model": "m:latest", "digest": f"sha256:{DIGEST}"}]
    }
    version = {"version": "0.30.1"}
    one = read_snapshot("m", show={"parameters": "b 1\na 2", "template": "t"}, tags=tags, version=version)
    two = read_snapshot("m", show={"template": "t", "parameters": "a 2\nb 1"}, tags=tags, version=version)
    assert one == two
    assert one.digest == DIGEST
    assert one.model_json("{}") == two.model_json("{}")


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_listings_of_any_shape_are_read(value: Any) -> None:
    for listing in ({"models": value}, {"models": [value]}, {"models": [{"model": value, "digest": value}]}):
        assert isinstance(read_names(listing), tuple)
        read_loaded("m", listing)
        json.loads(read_snapshot("m", show={"x": value}, tags=listing, version={"version": value}).model_json("{}"))


@pytest.mark.parametrize(
    ("show", "think"),
    [
        (SHOW, False),
        (SHOW | {"capabilities": ["completion", "thinking"]}, False),
        (SHOW | answers.HARMONY, "low"),
        (SHOW | answers.HARMONY | {"details": {"family": "gpt-oss"}}, "low"),
        (SHOW | answers.HARMONY_PARSER, "low"),
        (SHOW | answers.HARMONY | {"template": "{{ .Prompt }}"}, False),
        (SHOW | answers.HARMONY | {"modelfile": "PARSER passthrough"}, False),
        (SHOW | answers.ALWAYS_THINKS, True),
        (SHOW | {"modelfile": 'SYSTEM """\nThe PARSER harmony\n"""'}, False),
        ({}, False),
        ({"details": None, "modelfile": 5, "template": [], "capabilities": "thinking"}, False),
    ],
)
def test_a_model_is_told_to_think_where_its_answer_would_be_taken_for_thoughts(
    show: dict[str, Any], think: bool | str
) -> None:
    said = read_snapshot("m", show=show, tags={}, version={}).think
    assert (type(said), said) == (type(think), think)
    assert json.loads(body_of(dataclasses.replace(REQUEST, think=said)))["think"] == think


def test_thoughts_that_were_asked_for_are_no_deviation() -> None:
    thoughtful = dataclasses.replace(ANSWER, thinking="Hmm")
    found = check(dataclasses.replace(REQUEST, think="low"), thoughtful, digest=None, loaded=None)
    assert all(one.passed for one in found)


@pytest.mark.parametrize(
    ("show", "why"),
    [
        (SHOW, None),
        (answers.SAFETENSORS, "kept as safetensors, for which Ollama enforces no schema"),
        (answers.CLOUD, "it runs at https://ollama.com:443, where nothing makes it obey a schema"),
        (answers.EMBEDDING, "it does not chat (capabilities: embedding)"),
        ({"details": {"format": "GGUF"}}, None),
        ({"details": {"format": ""}, "capabilities": [], "remote_host": ""}, None),
        ({"details": "gguf", "capabilities": {}}, None),
        ({}, None),
    ],
)
def test_a_model_that_cannot_answer_by_a_schema_is_known(show: dict[str, Any], why: str | None) -> None:
    unfit = read_snapshot("m", show=show, tags={}, version={}).unfit
    assert unfit is None if why is None else why in str(unfit)


@pytest.mark.parametrize("digest", ["", "abc", "zz" * 32, None, 5])
def test_a_digest_that_is_none_is_not_kept(digest: Any) -> None:
    tags = {"models": [{"model": "m:latest", "digest": digest}]}
    assert read_snapshot("m", show={}, tags=tags, version={}).digest is None


@given(st.text())
def test_quoted_words_are_one_short_printable_line(text: str) -> None:
    shown = quotable(text)
    assert shown.isprintable()
    assert len(shown) <= 301


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host:1/x", "http://host:1/x"),
        ("see https://token@host and http://a:b@c", "see https://host and http://c"),
        ("http://user:se@cret@host/", "http://host/"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://host:11434", "http://host:11434"),
    ],
)
def test_credentials_are_cut_out_of_urls(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
