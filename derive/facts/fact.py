"""A fact as it is judged and stored."""

from dataclasses import dataclass

from derive.proofs import Verdict

BY_QUOTE = "quote"
"""The ``proof`` of a fact that was judged by its quote alone: it is not in the evidence, or there is no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One cited object of an answer; the members are columns of ``llm.fact``.

    ``fact_index`` counts the cited objects from 0 in the answer's order. ``quote_start`` and ``quote_end`` (exclusive)
    are code points in the text of the item ``evidence_id``, at the first of ``occurrences`` places. Without a place the
    quote does not stand in what it cites. ``value`` is text, of anything but a string its JSON. ``value_key`` is equal
    for equal values; None where a value cannot disagree with another.
    """

    fact_index: int
    path: str
    fact_key: str | None
    value: str | None
    value_key: str | None
    quote: str
    evidence_id: str | None
    quote_start: int | None
    quote_end: int | None
    occurrences: int
    confidence: int | float | None
    proof: str
    verdict: Verdict
    why: str

    @property
    def is_grounded(self) -> bool:
        """Whether the quote stands in the evidence it cites."""
        return self.evidence_id is not None

    @property
    def is_bad(self) -> bool:
        """Whether it is known to be wrong: its quote is not there, or refutes its value."""
        return not self.is_grounded or self.verdict is Verdict.REFUTED
