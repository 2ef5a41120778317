"""Facts and their evidence prepared for display: bounded, sanitised, each fact with its place as text and as a mark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from derive.fact_report.marking import ProofPlace, Segment, lies_in, mark_text
from derive.fact_report.stored import EvidenceText, StoredFact
from derive.states import ADDED_BY_PERSON
from derive.visible_text import cell

MAX_ITEMS = 100
VERDICTS = {"SUPPORTED": "Supported", "REFUTED": "Refuted", "NOT_ENOUGH_INFO": "Not enough info"}
REVIEWS = {"OPEN": "To review", "ACCEPTED": "Accepted", "CORRECTED": "Corrected", "REJECTED": "Rejected"}
DECISIONS = {
    "ACCEPTED": "Accepted",
    "CORRECTED": "Corrected",
    "REJECTED": "Rejected",
    "NOT_SURE": "Not sure",
    "NONE": "Taken back",
    "ADDED": "Added",
}
_VALUE_CHARACTERS = 500
_QUOTE_CHARACTERS = 500
_WHY_CHARACTERS = 1_000


@dataclass(frozen=True)
class ShownFact:
    """A fact with sanitised texts; ``stored`` has the fields that need no sanitising."""

    stored: StoredFact
    key: str
    value: str
    quote: str
    why: str
    corrected: str
    place: str
    is_marked: bool

    @property
    def number(self) -> int:
        """Its index in the answer, from 0, which identifies its mark."""
        return self.stored.fact_index

    @property
    def rank(self) -> str:
        """How it is called on a page: its place in the answer, from 1; + if a person added it."""
        return "+" if self.is_added else str(self.number + 1)

    @property
    def is_added(self) -> bool:
        """Whether a person added it: it is not in the answer."""
        return self.stored.proof == ADDED_BY_PERSON

    @property
    def verdict_words(self) -> str:
        """The verdict's label."""
        return VERDICTS.get(self.stored.verdict, "Not judged" if self.is_marked else "Ungrounded")

    @property
    def css(self) -> str:
        """The CSS class that repeats the verdict as a colour."""
        return f"is-{(self.stored.verdict or ('unjudged' if self.is_marked else 'ungrounded')).lower()}"

    @property
    def classes(self) -> str:
        """The CSS classes by which a page filters facts."""
        stored = self.stored
        marks = {
            "is-conflict": stored.in_conflict,
            "is-review": stored.review_status == "OPEN",
            "is-admitted": bool(stored.admitted),
        }
        return " ".join([self.css, *(name for name, holds in marks.items() if holds)])

    @property
    def tags(self) -> list[str]:
        """Other notes about it, in a word or two each."""
        stored = self.stored
        tags = {
            "In conflict": stored.in_conflict,
            self.review_words: bool(self.review_words),
            "Added by a person": self.is_added,
            "Superseded": not stored.is_current,
            "Not admitted": stored.admitted is False,
        }
        return [words for words, holds in tags.items() if holds]

    @property
    def review_words(self) -> str:
        """The label of its review status; empty if no review is needed."""
        return REVIEWS.get(self.stored.review_status, "")


@dataclass(frozen=True)
class MarkedItem:
    """An item of evidence with the places of facts marked; ``stored_id`` is its id as stored, not fit to be shown."""

    evidence_id: str
    source: str
    segments: tuple[Segment, ...]
    stored_id: str = ""


@dataclass(frozen=True)
class MarkedFacts:
    """Facts beside their evidence; ``items_left_out``: evidence items beyond ``MAX_ITEMS``."""

    facts: tuple[ShownFact, ...] = ()
    items: tuple[MarkedItem, ...] = ()
    items_left_out: int = 0


def show_facts(facts: Sequence[StoredFact], evidence: Mapping[str, EvidenceText]) -> MarkedFacts:
    """Prepare facts and evidence for display; items with facts come first if not all are shown."""
    places: dict[str, list[ProofPlace]] = {}
    shown = []
    for fact in facts:
        place = _place_of(fact)
        item = evidence.get(fact.evidence_id or "")
        is_marked = place is not None and item is not None and lies_in(item.text, place)
        if place is not None and is_marked:
            places.setdefault(fact.evidence_id or "", []).append(place)
        shown.append(_shown(fact, is_marked=is_marked, is_known=item is not None))
    chosen = frozenset(sorted(evidence, key=lambda name: name not in places)[:MAX_ITEMS])
    return MarkedFacts(
        facts=tuple(shown),
        items=tuple(
            MarkedItem(
                evidence_id=cell(name, 100),
                source=cell(item.source, 200),
                segments=mark_text(item.text, places.get(name, ())),
                stored_id=name,
            )
            for name, item in evidence.items()
            if name in chosen
        ),
        items_left_out=len(evidence) - len(chosen),
    )


def _place_of(fact: StoredFact) -> ProofPlace | None:
    if fact.evidence_id is None or fact.quote_start is None or fact.quote_end is None:
        return None
    return ProofPlace(fact.fact_index, fact.quote_start, fact.quote_end, fact.verdict)


def _shown(fact: StoredFact, *, is_marked: bool, is_known: bool) -> ShownFact:
    return ShownFact(
        stored=fact,
        key=cell(fact.fact_key, 200),
        value=cell(fact.value, _VALUE_CHARACTERS),
        quote=cell(fact.quote, _QUOTE_CHARACTERS),
        why=cell(fact.why, _WHY_CHARACTERS),
        corrected=cell(fact.corrected_value, _VALUE_CHARACTERS),
        place=_in_words(fact, is_marked=is_marked, is_known=is_known),
        is_marked=is_marked,
    )


def _in_words(fact: StoredFact, *, is_marked: bool, is_known: bool) -> str:
    """Describe where the quote is, or why no place is marked."""
    if fact.evidence_id is None or fact.quote_start is None:
        return f"The quote does not stand in {cell(', '.join(fact.cites), 200) or 'any evidence'}."
    words = f"{cell(fact.evidence_id, 100)}, characters {fact.quote_start:,}–{fact.quote_end:,}"
    if fact.occurrences > 1:
        words += f"; the first of {fact.occurrences:,} places"
    if not is_known:
        return f"{words}; that evidence is not at hand."
    return words if is_marked else f"{words}; the stored evidence ends before that."
