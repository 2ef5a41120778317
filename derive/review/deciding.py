"""Makes a decision about a fact from what a reviewer entered."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from derive.contracts import FactDecision
from derive.errors import ConfigurationError
from derive.fact_report.stored import EvidenceText
from derive.interrogations.definition import Definition
from derive.models import Fact, Interrogation, Run
from derive.proofs import FieldProof, value_key
from derive.review.quotes import place_of
from derive.states import ReviewDecision
from derive.strict_types import check_storable

MAX_VALUE_CHARACTERS = 4_000
MAX_KEY_CHARACTERS = 200


class BadEntry(ValueError):
    """What was entered cannot be kept; the message is for the reviewer."""


@dataclass(frozen=True)
class ReviewEntry:
    """What a reviewer entered: a value, and a quote with its item and roughly its place (code points)."""

    value: str = ""
    quote: str = ""
    evidence_id: str = ""
    near: int = 0
    key: str = ""


def correction(fact: Fact, entry: ReviewEntry, evidence: Mapping[str, EvidenceText]) -> FactDecision:
    """Return the correction of a fact: of its value, of its quote, or of both. Raises BadEntry, NoSuchQuote."""
    value = _text(entry.value, "value", MAX_VALUE_CHARACTERS)
    is_other_value = value != (fact.value or "").strip()
    place = _place(entry, evidence) if entry.quote.strip() else None
    if place is not None and place == (fact.evidence_id, fact.quote, fact.quote_start, fact.quote_end):
        place = None
    if not is_other_value and place is None:
        raise BadEntry("Nothing was changed: press a to accept the fact as it is.")
    evidence_id, quote, start, end = place or (None, None, None, None)
    return FactDecision(
        decision=ReviewDecision.CORRECTED,
        fact_id=fact.fact_id,
        corrected_value=value if is_other_value else None,
        corrected_value_key=_key_of(value, fact.fact_key, fact.run_id) if is_other_value else None,
        evidence_id=evidence_id,
        quote=quote,
        quote_start=start,
        quote_end=end,
    )


def addition(run_id: UUID, entry: ReviewEntry, evidence: Mapping[str, EvidenceText]) -> FactDecision:
    """Return a fact that the answer of this run lacks. Raises BadEntry, NoSuchQuote."""
    key = _text(entry.key, "key", MAX_KEY_CHARACTERS)
    value = _text(entry.value, "value", MAX_VALUE_CHARACTERS)
    evidence_id, quote, start, end = _place(entry, evidence)
    return FactDecision(
        decision=ReviewDecision.ADDED,
        run_id=run_id,
        fact_key=key,
        value=value,
        value_key=_key_of(value, key, run_id),
        evidence_id=evidence_id,
        quote=quote,
        quote_start=start,
        quote_end=end,
    )


def _text(text: str, name: str, most: int) -> str:
    text = text.strip()
    if not text:
        raise BadEntry(f"Enter a {name}.")
    if len(text) > most:
        raise BadEntry(f"A {name} has at most {most:,} characters.")
    try:
        return check_storable(text)
    except ValueError as error:
        raise BadEntry(f"The {name} {error}.") from None


def _place(entry: ReviewEntry, evidence: Mapping[str, EvidenceText]) -> tuple[str, str, int, int]:
    quote, start, end = place_of(entry.quote, evidence.get(entry.evidence_id), near=entry.near)
    return entry.evidence_id, quote, start, end


def _key_of(value: str, key: str | None, run_id: UUID) -> str | None:
    """Return what equal values share; None where the key may have several, so that they are no conflict."""
    return None if key in _many_of(run_id) else value_key(value, FieldProof().context(key=key or ""))


def _many_of(run_id: UUID) -> frozenset[str]:
    sha256 = Run.objects.filter(run_id=run_id).values_list("definition_sha256", flat=True).first()
    row = Interrogation.objects.filter(definition_sha256=sha256).first()
    if row is None:
        return frozenset()
    definition = Definition(
        interrogation_key=row.interrogation_key,
        version=row.version,
        prompt_template=row.prompt_template,
        output_schema_json=row.output_schema_json,
        rubric=row.rubric,
    )
    try:
        return frozenset(definition.fact_rules.many)
    except (ValueError, ConfigurationError):
        return frozenset()
