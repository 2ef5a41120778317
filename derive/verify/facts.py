"""Compares the rows of a run's facts with the result of judging its answer again."""

import json
from collections.abc import Sequence
from typing import Any

from derive.contracts import JudgedFact
from derive.states import ReviewStatus
from derive.verify.findings import Check, Findings
from derive.verify.stored import FactColumns

MAX_TOLD = 10
_SHOWN = frozenset({"evidence_id", "quote_start", "quote_end", "occurrences", "proof", "verdict"})
"""Columns whose values may be shown: they contain nothing of an answer."""


def check_facts(
    stored: Sequence[FactColumns] | None, judged: Sequence[JudgedFact], findings: Findings, *, must_be_stored: bool
) -> None:
    """Compare each row with its fact; None means facts were never stored."""
    if stored is None:
        if must_be_stored:
            findings.add("", Check.FACTS_STORED, f"the answer's facts ({len(judged)}) are not stored")
        return
    wrong = list(_differences({fact.fact_index: fact for fact in stored}, {fact.fact_index: fact for fact in judged}))
    for what in wrong[:MAX_TOLD]:
        findings.add("", Check.FACTS_STORED, what)
    if len(wrong) > MAX_TOLD:
        findings.add("", Check.FACTS_STORED, f"and {len(wrong) - MAX_TOLD} more facts differ")


def _differences(rows: dict[int, FactColumns], judged: dict[int, JudgedFact]) -> Any:
    for index in sorted(rows.keys() | judged.keys()):
        row, fact = rows.get(index), judged.get(index)
        if row is None or fact is None:
            yield f"fact {index} is {'not stored' if row is None else 'stored, and the answer has no such fact'}"
            continue
        again = as_stored(fact)
        differing = (name for name, one, other in zip(FactColumns._fields, row, again, strict=True) if one != other)
        columns = [name for name in differing if name not in _decided_by_people(row)]
        if columns:
            yield f"fact {index}: " + "; ".join(_difference(name, row, again) for name in columns)


def _decided_by_people(row: FactColumns) -> frozenset[str]:
    is_corrected = row.review_status == ReviewStatus.CORRECTED.value
    return frozenset({"review_status", "value_key"}) if is_corrected else frozenset({"review_status"})


def _difference(name: str, row: FactColumns, again: FactColumns) -> str:
    if name not in _SHOWN:
        return f"{name} in SQL is another than the answer's"
    return f"{name} is {getattr(row, name)} in SQL, judged again {getattr(again, name)}"


def as_stored(fact: JudgedFact) -> FactColumns:
    """Convert a fact to the form of its row."""
    ids = None if fact.evidence_ids is None else list(fact.evidence_ids)
    values = {name: getattr(fact, name) for name in FactColumns._fields if name != "review_status"}
    values["evidence_ids"] = ids
    return FactColumns(**values | {"verdict": fact.verdict.value})


def stored_fact(values: Sequence[Any]) -> FactColumns:
    """Return a row from its columns in order."""
    row = FactColumns._make(values)
    return row._replace(
        confidence=None if row.confidence is None else float(row.confidence), evidence_ids=_ids(row.evidence_ids)
    )


def _ids(text: Any) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
