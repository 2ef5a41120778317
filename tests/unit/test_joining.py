"""Joined answers: every fact of every part once, at its exact place in the whole text."""

import json
import random
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.errors import InternalError
from derive.evidence.contracts import EvidenceBundle
from derive.evidence.tokens import TokenRates
from derive.interrogations.definition import Definition
from derive.joining.document import PartRecord, PartsDocument
from derive.joining.rejudging import JoinedAnswer, join_parts_of
from derive.states import JobStatus, Verdict
from derive.windows.budget import WindowLimits
from derive.windows.cutting import cut
from derive.windows.window import Window
from tests.unit.evidence_samples import build_whole, definition

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["facts"],
    "many": ["alias"],
    "properties": {
        "facts": {
            "type": "array",
            "maxItems": 4,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["evidence_ids", "fact_key", "quote", "value"],
                "properties": {
                    "evidence_ids": {"type": "array", "items": {"type": "string", "maxLength": 200}},
                    "fact_key": {"type": "string", "maxLength": 60},
                    "quote": {"type": "string", "maxLength": 100},
                    "value": {"type": "string", "maxLength": 100},
                },
            },
        }
    },
}
QUESTION: Definition = definition(output_schema_json=json.dumps(SCHEMA))
JOB = UUID(int=1)
WORDS = ("harbour", "cargo", "dawn", "signal", "engine", "captain", "orbit", "freight", "beacon", "naïve", "слово")
PLANTED = re.compile(r"ship (\d+) carries (\d+) crates of ore")
tokens_of = TokenRates().most_tokens("")


def part(part_no: int, *windows: Window, run_id: UUID | None = JOB) -> PartRecord:
    return PartRecord(part_no=part_no, job_id=JOB, status=JobStatus.SUCCEEDED, windows=windows, run_id=run_id)


def window(part_no: int, start: int, end: int, evidence_id: str = "doc") -> Window:
    return Window(part_no=part_no, evidence_id=evidence_id, start=start, end=end)


def fact(key: str, value: str, quote: str, evidence_id: str = "doc") -> dict[str, Any]:
    return {"evidence_ids": [evidence_id], "fact_key": key, "quote": quote, "value": value}


def join(whole: EvidenceBundle, parts: dict[PartRecord, list[dict[str, Any]]]) -> JoinedAnswer:
    document = PartsDocument(split_run_id=JOB, evidence_sha256=whole.sha256, parts=tuple(parts))
    answers = {one.part_no: {"facts": facts} for one, facts in parts.items()}
    return join_parts_of(document, answers, whole, QUESTION)


def found_in_windows(whole: EvidenceBundle, limits: WindowLimits) -> Iterator[tuple[PartRecord, list[dict[str, Any]]]]:
    """Answer each part as a reader does who finds whatever stands in its windows."""
    texts = {item.evidence_id: item.text for item in whole.items}
    for part_no, windows in groupby(cut(whole.items, limits, tokens_of), key=lambda one: one.part_no):
        record = part(part_no, *windows)
        yield (
            record,
            [
                fact(f"crates_{match[1]}", match[2], match[0], one.evidence_id)
                for one in record.windows
                for match in PLANTED.finditer(one.text_in(texts[one.evidence_id]))
            ],
        )


def planted_text(seed: int, characters: int, facts: int) -> tuple[str, list[tuple[int, int]]]:
    """Write prose without sentences, so that windows end anywhere, with facts at random places."""
    rng = random.Random(seed)
    pieces = rng.choices(WORDS, k=characters // 7)
    for number, at in enumerate(sorted(rng.sample(range(len(pieces)), facts))):
        pieces[at] = f"ship {number} carries {rng.randint(2, 9999)} crates of ore"
    text = " ".join(pieces)
    return text, [match.span() for match in PLANTED.finditer(text)]


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32), st.integers(400, 700))
def test_every_planted_fact_is_found_once_at_its_place(seed: int, window_bytes: int) -> None:
    text, spans = planted_text(seed, 2_500, 40)
    limits = WindowLimits(tokens=5_000, item_bytes=window_bytes, part_bytes=9_000, items=9, overlap=100)
    whole = build_whole(doc=text)
    joined = join(whole, dict(found_in_windows(whole, limits)))
    assert [(one.quote_start, one.quote_end) for one in joined.facts] == spans
    assert {one.verdict for one in joined.facts} == {Verdict.SUPPORTED}


def test_forty_facts_in_300_000_characters_are_all_found_once() -> None:
    text, spans = planted_text(7, 300_000, 40)
    whole = build_whole(doc=text, note="nothing", other="ship 77 carries 3 crates of ore")
    limits = WindowLimits(tokens=4_000, item_bytes=8_192, part_bytes=20_480, items=40, overlap=1_000)
    joined = join(whole, dict(found_in_windows(whole, limits)))
    assert [(one.quote_start, one.quote_end) for one in joined.facts if one.evidence_id == "doc"] == spans
    assert [one.evidence_id for one in joined.facts[40:]] == ["other"]
    for one in joined.facts:
        item = next(item for item in whole.items if item.evidence_id == one.evidence_id)
        assert item.text[one.quote_start : one.quote_end] == one.quote


TEXT = "Ada was born in 1815. Ada is 172 cm tall. Later, Ada was born in 1815, they say. Others say born in 1816."


def test_a_fact_of_an_overlap_stays_one_fact() -> None:
    joined = join(
        build_whole(doc=TEXT),
        {
            part(1, window(1, 0, 42)): [fact("height", "172 cm", "Ada is 172 cm tall")],
            part(2, window(2, 22, 70)): [fact("height", "1.72 m", "172 cm tall")],
        },
    )
    (only,) = joined.facts
    assert (only.quote_start, only.quote_end, only.occurrences) == (22, 40, 1)
    assert joined.answer == {"facts": [fact("height", "172 cm", "Ada is 172 cm tall")]}


def test_a_fact_stated_again_is_a_further_place_of_it() -> None:
    joined = join(
        build_whole(doc=TEXT),
        {
            part(1, window(1, 0, 42)): [fact("birth_year", "1815", "born in 1815")],
            part(2, window(2, 42, len(TEXT))): [fact("birth_year", "1815", "born in 1815")],
        },
    )
    (only,) = joined.facts
    assert only.occurrences == 2
    assert [TEXT[place.start : place.end] for place in joined.places[0]] == ["born in 1815"] * 2


def test_different_values_of_a_key_stay_different_facts_in_the_order_of_their_places() -> None:
    joined = join(
        build_whole(doc=TEXT),
        {
            part(1, window(1, 42, len(TEXT))): [fact("birth_year", "1816", "born in 1816")],
            part(2, window(2, 0, 42)): [fact("birth_year", "1815", "born in 1815")],
        },
    )
    assert [one.value for one in joined.facts] == ["1815", "1816"]
    assert joined.facts[0].value_key != joined.facts[1].value_key
    assert [one.path for one in joined.facts] == ["facts[0]", "facts[1]"]


def test_of_two_findings_at_one_place_the_supported_one_stays() -> None:
    joined = join(
        build_whole(doc=TEXT),
        {
            part(1, window(1, 0, 42)): [fact("birth_year", "1815", "Ada was born")],
            part(2, window(2, 0, 60)): [fact("birth_year", "1815", "born in 1815")],
        },
    )
    (only,) = joined.facts
    assert only.verdict is Verdict.SUPPORTED


def test_equal_values_of_a_key_with_many_values_are_merged_too() -> None:
    text = "They call her Lady Lovelace. Indeed, Lady Lovelace it is."
    joined = join(
        build_whole(doc=text),
        {
            part(1, window(1, 0, 28)): [fact("alias", "Lady Lovelace", "Lady Lovelace")],
            part(2, window(2, 28, len(text))): [fact("alias", "Lady Lovelace", "Lady Lovelace")],
        },
    )
    assert len(joined.facts) == 1


def test_a_quote_that_stands_nowhere_has_no_place_and_comes_last() -> None:
    joined = join(
        build_whole(doc=TEXT),
        {part(1, window(1, 0, 42)): [fact("rank", "queen", "Ada was queen"), fact("birth_year", "1815", "1815")]},
    )
    assert [one.quote_start for one in joined.facts] == [16, None]


def test_parts_without_an_answer_are_reported() -> None:
    whole = build_whole(doc=TEXT)
    records = part(1, window(1, 0, 42)), part(2, window(2, 42, 90), run_id=None)
    document = PartsDocument(split_run_id=JOB, evidence_sha256=whole.sha256, parts=records)
    joined = join_parts_of(document, {1: {"facts": []}}, whole, QUESTION)
    assert joined.report(document)["unread_parts"] == [2]
    assert joined.answer == {"facts": []}


def test_an_answer_that_breaks_the_schema_is_not_joined() -> None:
    with pytest.raises(InternalError, match="does not match the schema"):
        join(build_whole(doc=TEXT), {part(1, window(1, 0, 42)): [{"evidence_ids": ["doc"], "quote": "1815"}]})


@pytest.mark.parametrize("same", [True, False])
def test_hundreds_of_facts_at_one_place_are_joined(same: bool) -> None:
    facts = [fact("n", "1815" if same else f"v{number}", "born in 1815") for number in range(400)]
    joined = join(build_whole(doc=TEXT), {part(1, window(1, 0, 42)): facts})
    assert len(joined.facts) == (1 if same else 400)


def test_what_was_not_read_leaves_out_what_an_overlap_covered() -> None:
    def part(number: int, start: int, end: int, *, is_read: bool) -> PartRecord:
        window = Window(part_no=number, evidence_id="doc", start=start, end=end)
        status = JobStatus.SUCCEEDED if is_read else JobStatus.FAILED
        run_id = uuid4() if is_read else None
        return PartRecord(part_no=number, job_id=uuid4(), status=status, windows=(window,), run_id=run_id)

    parts = (part(1, 0, 100, is_read=True), part(2, 80, 200, is_read=False), part(3, 180, 300, is_read=True))
    document = PartsDocument(split_run_id=uuid4(), evidence_sha256="0" * 64, parts=parts)
    assert document.unread_text() == [("doc", 100, 180)]
