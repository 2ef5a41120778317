"""The form of a golden case as a line of a file, and back; each case has one form, byte for byte."""

import json
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints, field_validator

from derive.golden_contracts import CaseInput
from derive.models import GoldenCase
from derive.scoring.matching import Matching
from derive.strict_types import Frozen, Guid, Key200, StorableText, parse_json

MAX_EVIDENCE_ITEMS = 200
MAX_EXPECTED = 1_000


class EvidenceLine(Frozen):
    """One item of a case's evidence, with its text."""

    evidence_id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    text: Annotated[StorableText, Field(max_length=1_000_000)]
    source_uri: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = None


class ExpectedFact(Frozen):
    """A fact of a right answer. A ``quote`` has to be in the evidence: in ``evidence_id``, or in any item."""

    key: Key200
    value: JsonValue
    quote: StorableText | None = None
    evidence_id: str | None = None

    @field_validator("value")
    @classmethod
    def _states_something(cls, value: JsonValue) -> JsonValue:
        if value is None or value in ("", {}, []):
            raise ValueError("is empty: an expected fact has a value")
        return value


class CaseLine(Frozen):
    """A line of a file: one case, its members in the order of an export."""

    set: Key200
    case: Key200
    interrogation: Key200
    input: dict[str, JsonValue]
    evidence: tuple[EvidenceLine, ...] = Field(default=(), max_length=MAX_EVIDENCE_ITEMS)
    expected: tuple[ExpectedFact, ...] = Field(max_length=MAX_EXPECTED)
    matching: dict[str, Matching] = Field(default_factory=dict)
    from_run: Guid | None = None
    from_review: Guid | None = None

    def to_input(self) -> CaseInput:
        """Return what is saved; raises ValidationError for text that cannot be stored."""
        return CaseInput(
            set_name=self.set,
            case_key=self.case,
            interrogation_key=self.interrogation,
            input_json=_dumped(self.input),
            evidence_json=_dumped({"items": _plain(self.evidence)}),
            expected_json=_dumped({"facts": _plain(self.expected)}),
            matching_json=_dumped(self.matching) if self.matching else None,
            from_run_id=self.from_run,
            from_review_id=self.from_review,
        )


def line_of(case: GoldenCase) -> str:
    """Return a stored case as a line of a file, without its end."""
    members: dict[str, Any] = {
        "set": case.set_name,
        "case": case.case_key,
        "interrogation": case.interrogation_key,
        "input": parse_json(case.input_json),
        "evidence": parse_json(case.evidence_json)["items"],
        "expected": parse_json(case.expected_json)["facts"],
    }
    if case.matching_json:
        members["matching"] = parse_json(case.matching_json)
    members |= {
        name: str(value)
        for name, value in (("from_run", case.from_run_id), ("from_review", case.from_review_id))
        if isinstance(value, UUID)
    }
    return _dumped(members)


def _plain(values: tuple[Frozen, ...]) -> list[Any]:
    return [value.model_dump(mode="json", exclude_none=True) for value in values]


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
