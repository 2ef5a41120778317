"""A fact as it is stored, and the evidence of its run as the lake has it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from derive.errors import LakeError
from derive.lake import Lake

MAX_EVIDENCE_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class StoredFact:
    """A row of ``llm.fact``, or a cited object of an answer that no rule has judged (``verdict`` empty).

    ``in_conflict``: another fact contradicts it and nobody has decided. ``admitted`` is None where nothing decides it.
    """

    fact_index: int
    fact_seq: int = 0
    run_id: UUID | None = None
    job_id: UUID | None = None
    entity_type: str | None = None
    path: str = ""
    fact_key: str | None = None
    value: str | None = None
    value_key: str | None = None
    quote: str | None = None
    cites: tuple[str, ...] = ()
    evidence_id: str | None = None
    quote_start: int | None = None
    quote_end: int | None = None
    occurrences: int = 0
    confidence: float | None = None
    proof: str = ""
    verdict: str = ""
    why: str | None = None
    conflict_id: UUID | None = None
    in_conflict: bool = False
    review_status: str = "NONE"
    reviewed_by: str | None = None
    reviewed_utc: datetime | None = None
    corrected_value: str | None = None
    is_current: bool = True
    admitted: bool | None = None


@dataclass(frozen=True)
class EvidenceText:
    """An item of evidence: where it came from, and its text exactly as it is stored."""

    source: str
    text: str


@dataclass(frozen=True)
class RunEvidence:
    """The evidence of a run by id, or why there is none."""

    items: Mapping[str, EvidenceText] = field(default_factory=lambda: MappingProxyType({}))
    fault: str = ""


def evidence_of(bundle: Any) -> RunEvidence:
    """Return the items of a bundle as parsed from JSON, whatever it holds."""
    items = bundle.get("items") if isinstance(bundle, dict) else None
    return RunEvidence(
        {
            str(item.get("evidence_id")): EvidenceText(str(item.get("source_uri") or ""), item["text"])
            for item in (items if isinstance(items, list) else [])
            if isinstance(item, dict) and isinstance(item.get("text"), str)
        }
    )


def read_evidence(lake: Lake, lake_uri: str, content_sha256: str) -> RunEvidence:
    """Return the evidence in a file of the lake; of one that is missing, too large or not as recorded, what is wrong.

    Raises LakeUnavailable.
    """
    try:
        data = lake.read(lake_uri, max_bytes=MAX_EVIDENCE_BYTES)
    except LakeError as error:
        return RunEvidence(fault=f"The evidence cannot be read: {error}")
    if hashlib.sha256(data).hexdigest() != content_sha256:
        return RunEvidence(fault=f"{lake_uri} is NOT what was recorded: its SHA-256 differs. It is not shown.")
    try:
        return evidence_of(json.loads(data))
    except (ValueError, RecursionError):
        return RunEvidence(fault=f"{lake_uri} is not JSON.")
