"""Joining the answers of 1,000 parts, in processor time and memory added."""

import json
import random
import re
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

from derive.evidence.contracts import EvidenceBundle
from derive.evidence.tokens import TokenRates
from derive.joining.document import PartRecord, PartsDocument
from derive.joining.rejudging import join_parts_of
from derive.states import JobStatus
from derive.windows.budget import WindowLimits
from derive.windows.cutting import cut
from tests.unit.evidence_samples import build_whole, definition

PARTS, FACTS_A_PART = 1_000, 19
MAX_SECONDS, MAX_MEGABYTES = 2.0, 200
LIMITS = WindowLimits(tokens=4_000, item_bytes=8_192, part_bytes=20_480, items=40, overlap=600)
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["facts"],
    "properties": {
        "facts": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["evidence_ids", "fact_key", "quote", "value"],
                "properties": {
                    "evidence_ids": {"type": "array", "items": {"type": "string"}},
                    "fact_key": {"type": "string"},
                    "quote": {"type": "string", "maxLength": 500},
                    "value": {"type": "string", "maxLength": 500},
                },
            },
        }
    },
}
WORDS = ("harbour", "cargo", "dawn", "signal", "engine", "captain", "naïve", "of", "the", "and", "while", "under")
FACT = re.compile(
    r"Ship \d+ carries (?P<crates>\d+) crates of ore\."
    r"|It left the (?P<home_port>[A-Z][a-z]+ harbour \d+) under a full moon\."
    r"|Its keel was laid on (?P<keel_laid>\d+ May \d{4})\."
    r"|It is (?P<length>[\d.]+) m long and was never painted\."
)
SENTENCES = (
    "Ship {n} carries {m} crates of ore.",
    "It left the Corellia harbour {n} under a full moon.",
    "Its keel was laid on {day} May {year}.",
    "It is {m}.5 m long and was never painted.",
)


def measure() -> dict[str, Any]:
    """Return what a join of 1,000 parts costs, in the best of three."""
    whole = build_whole(doc=_text())
    answers: dict[int, Any] = {}
    parts = []
    for record, facts in _read_parts(whole):
        parts.append(record)
        answers[record.part_no] = {"facts": facts}
    document = PartsDocument(split_run_id=UUID(int=1), evidence_sha256=whole.sha256, parts=tuple(parts))
    question = definition(output_schema_json=json.dumps(SCHEMA))
    seconds, megabytes = [], []
    for _ in range(3):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _megabytes("VmRSS")
        started = time.process_time()
        joined = join_parts_of(document, answers, whole, question)
        seconds.append(time.process_time() - started)
        megabytes.append(_megabytes("VmHWM") - before)
    return {
        "name": f"join of {len(parts)} parts with {joined.found} facts, {len(joined.facts)} of them different",
        "seconds": round(min(seconds), 2),
        "megabytes": round(max(megabytes)),
        "target": f"<= {MAX_SECONDS} s and <= {MAX_MEGABYTES} MB",
        "met": min(seconds) <= MAX_SECONDS and max(megabytes) <= MAX_MEGABYTES,
    }


def _text() -> str:
    rng = random.Random(7)
    pieces: list[str] = []
    for number in range(PARTS * FACTS_A_PART):
        pieces.append(" ".join(rng.choices(WORDS, k=52)) + ".")
        sentence = rng.choice(SENTENCES)
        pieces.append(
            sentence.format(n=number, m=rng.randint(2, 9_999), day=rng.randint(1, 31), year=rng.randint(1000, 2999))
        )
    return "\n".join(pieces)


def _read_parts(whole: EvidenceBundle) -> Iterator[tuple[PartRecord, list[dict[str, Any]]]]:
    """Answer each part as a reader does who finds whatever stands in its windows."""
    text = whole.items[0].text
    for part_no, windows in groupby(
        cut(whole.items, LIMITS, TokenRates().most_tokens("")), key=lambda one: one.part_no
    ):
        record = PartRecord(
            part_no=part_no,
            job_id=UUID(int=part_no),
            status=JobStatus.SUCCEEDED,
            windows=tuple(windows),
            run_id=UUID(int=part_no),
        )
        yield (
            record,
            [
                {
                    "evidence_ids": [one.evidence_id],
                    "fact_key": match.lastgroup,
                    "quote": match[0],
                    "value": match[match.lastgroup or 0],
                }
                for one in record.windows
                for match in FACT.finditer(one.text_in(text))
            ],
        )


def _megabytes(field: str) -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(re.search(rf"{field}:\s*(\d+)", status)[1]) / 1_024  # type: ignore[index]
