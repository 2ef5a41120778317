"""Where evidence comes from, and that nothing leads out of the lake."""

import json
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from derive.contracts import JobInput
from derive.errors import EvidenceMissing, InvalidInput, LakeFileMissing, LakePathRefused, LakeUnavailable
from derive.evidence.references import parse_evidence_refs
from derive.evidence.sources import MAX_SOURCE_BYTES, SourceText, collect_sources, inline_sources

RUN = UUID("3f2504e0-4f89-11d3-9a0c-0305e82c3301")
RUN_WITH_NUL = UUID("3f2504e0-4f89-11d3-9a0c-0305e82c3302")
LAKE: dict[str, bytes] = {
    "notes/luke.txt": "\ufeffLuke é".encode(),
    "binary": b"\xff\xfe\x00",
    "nul": b"a\x00b",
    "big": b"a" * (MAX_SOURCE_BYTES + 1),
}


def read_lake(uri: str) -> bytes:
    if uri == "link":
        raise LakePathRefused("a symbolic link leads out of the lake")
    if uri == "away":
        raise LakeUnavailable("the lake is away")
    if uri not in LAKE:
        raise LakeFileMissing(uri)
    return LAKE[uri]


def read_run_output(run_id: UUID) -> str:
    return {RUN: '{"facts":[]}', RUN_WITH_NUL: "a\0b"}[run_id]


def collect(*items: Any, job_input: dict[str, Any] | None = None) -> tuple[SourceText, ...]:
    return collect_sources(
        job_input=job_input or {},
        evidence_ref_json=json.dumps({"items": items}),
        read_lake=read_lake,
        read_run_output=read_run_output,
    )


def test_every_kind_of_source_is_gathered_in_order() -> None:
    inline = {"evidence_id": "a", "source_uri": "https://x.example", "text": "Leia"}
    found = collect(
        {"text": "Han"},
        {"evidence_id": "l", "lake_uri": "notes/luke.txt"},
        {"evidence_id": "r", "run_id": str(RUN)},
        {"evidence_id": "d", "text": "Chewie", "document_id": "D-7"},
        {"url": "https://never.fetched.example"},
        job_input={"extra_params": {"evidence": [inline]}},
    )
    assert [(one.evidence_id, one.source_uri, one.text) for one in found] == [
        ("a", "https://x.example", "Leia"),
        ("ref-1", None, "Han"),
        ("l", "lake:notes/luke.txt", "Luke é"),
        ("r", f"run:{RUN}", '{"facts":[]}'),
        ("d", "document:D-7", "Chewie"),
    ]


def test_no_references_are_no_evidence() -> None:
    assert (
        collect_sources(job_input={}, evidence_ref_json=None, read_lake=read_lake, read_run_output=read_run_output)
        == ()
    )
    assert inline_sources({"extra_params": "text"}) == ()


BAD_PATHS = ["../x", "a/../b", "/etc/passwd", "~/x", "C:/x", "file:///etc/passwd", "s3://b/x", "a\\b", "a%2e%2e/b",
             "a//b", "./a", "a/", "a\x00b", "a\nb", " a", "", "x" * 1001]  # fmt: skip


@pytest.mark.parametrize("uri", BAD_PATHS)
def test_a_path_out_of_the_lake_is_refused_unread(uri: str) -> None:
    with pytest.raises(InvalidInput, match=r"items\[0\]\.lake_uri"):
        collect({"lake_uri": uri})


def test_what_the_lake_itself_refuses_is_invalid_input() -> None:
    with pytest.raises(InvalidInput, match="symbolic link"):
        collect({"lake_uri": "link"})


def test_an_unavailable_lake_is_not_the_jobs_fault() -> None:
    with pytest.raises(LakeUnavailable):
        collect({"lake_uri": "away"})


@pytest.mark.parametrize("item", [{"lake_uri": "gone"}, {"run_id": "00000000-0000-0000-0000-000000000000"}])
def test_what_does_not_exist_is_missing_evidence(item: dict[str, Any]) -> None:
    with pytest.raises(EvidenceMissing, match=r"'ref-1'.*does not exist"):
        collect(item)


@pytest.mark.parametrize(("uri", "why"), [("binary", "UTF-8"), ("nul", "U\\+0000"), ("big", "at most")])
def test_a_file_that_is_no_text_of_reasonable_size_is_refused(uri: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        collect({"lake_uri": uri})


def test_an_output_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="U\\+0000"):
        collect({"run_id": str(RUN_WITH_NUL)})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "object"),
        ("{", "JSON"),
        ('{"items": 1}', "items"),
        ('{"other": []}', "other: Extra"),
        ('{"items": [{}]}', "points to nothing"),
        ('{"items": [{"text": "a", "lake_uri": "b"}]}', "text and lake_uri"),
        ('{"items": [{"run_id": "7"}]}', r"items\[0\]\.run_id"),
        ('{"items": [{"text": "a\\u0000"}]}', r"U\+0000"),
        ('{"items": [{"text": "a\\ud800"}]}', r"items\[0\]\.text|JSON"),
        ('{"items": [{"text": "a", "evidence_id": "a\\nb"}]}', "line break"),
        ('{"items": [{"text": "a", "path": "b"}]}', r"items\[0\]\.path"),
        (json.dumps({"items": [{"text": "a"}] * 201}), "200"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_malformed_references_are_reported_by_field_and_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"evidence_ref_json.*({why})"):
        parse_evidence_refs(text)


def test_what_is_wrong_with_inline_evidence_is_reported() -> None:
    with pytest.raises(InvalidInput, match=r"extra_params.evidence: \[0\].text"):
        inline_sources({"extra_params": {"evidence": [{"evidence_id": "a"}]}})


def test_a_message_does_not_repeat_the_evidence() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_evidence_refs(json.dumps({"items": [{"text": "tell nobody", "lake_uri": "../tell"}] * 40}))
    assert "tell" not in str(caught.value)
    assert len(str(caught.value)) < 2000


# 1,500 is what Python 3.13 still parses, while its own functions may only nest a thousand deep.
@pytest.mark.parametrize("depth", [600, 990, 1_500, 5_000, 100_000])
def test_input_nested_deeply_is_taken_or_refused_but_never_breaks_the_check(depth: int) -> None:
    text = '{"a":' + "[" * depth + '"\\u0041"' + "]" * depth + "}"
    try:
        taken: str | None = JobInput(interrogation_key="x", input_json=text).input_json
    except ValidationError as error:
        taken = None if "nested too deeply" in str(error) else str(error)
    assert taken in {text, None}


@pytest.mark.parametrize("item", [{"lake_uri": "long"}, {"run_id": str(RUN)}])
def test_a_source_may_have_four_mebibytes_and_no_byte_more(item: dict[str, str]) -> None:
    def gather(size: int) -> tuple[SourceText, ...]:
        return collect_sources(
            job_input={},
            evidence_ref_json=json.dumps({"items": [item]}),
            read_lake=lambda _: b"a" * size,
            read_run_output=lambda _: "a" * size,
        )

    assert len(gather(4_194_304)[0].text) == 4_194_304
    with pytest.raises(InvalidInput, match="4194304"):
        gather(4_194_305)
