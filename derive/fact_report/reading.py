"""Reads stored facts, with whether each is admitted."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from derive.fact_report.stored import StoredFact
from derive.models import Fact
from derive.sql.tables import engine_of, quoted_table
from derive.states import ReviewStatus

_COLUMNS = (
    *("fact_index", "fact_seq", "run_id", "job_id", "entity_type", "path", "fact_key", "value", "value_key", "quote"),
    *("evidence_id", "quote_start", "quote_end", "occurrences", "proof", "verdict", "why", "conflict_id"),
    *("review_status", "reviewed_by", "reviewed_utc", "corrected_value", "is_current"),
)
_CORRECTED_PLACE = ("corrected_evidence_id", "corrected_quote", "corrected_quote_start", "corrected_quote_end")
_UNDECIDED = frozenset({ReviewStatus.NONE.value, ReviewStatus.OPEN.value})


def facts_of_run(run_id: UUID, *, first: int = 0, most: int) -> list[StoredFact]:
    """Return up to this many facts of a run from an index on, in the order of the answer."""
    rows = Fact.objects.filter(run_id=run_id, fact_index__gte=first).order_by("fact_index")
    return _read(rows[:most])


def placed_facts_of_run(run_id: UUID, *, most: int) -> list[StoredFact]:
    """Return key, value, verdict and place of up to this many facts of a run, in the order of the answer.

    The other fields are not read: an answer may have thousands of facts.
    """
    columns = ("fact_index", "fact_key", "value", "verdict", "evidence_id", "quote_start", "quote_end")
    rows = Fact.objects.filter(run_id=run_id).order_by("fact_index").values(*columns, *_CORRECTED_PLACE)[:most]
    found = [_at_its_place_now(row) for row in rows]
    return [StoredFact(**{name: row[name] for name in columns}) for row in found]


def _at_its_place_now(row: dict[str, Any]) -> dict[str, Any]:
    """Let the place that a correction names replace that of the answer."""
    for name in _CORRECTED_PLACE:
        if (corrected := row.pop(name)) is not None:
            row[name.removeprefix("corrected_")] = corrected
    return row


def facts_numbered(numbers: Sequence[int]) -> list[StoredFact]:
    """Return the facts with these numbers, newest first; purged ones are left out."""
    return _read(Fact.objects.filter(fact_seq__in=numbers).order_by("-fact_seq"))


def _read(rows: Any) -> list[StoredFact]:
    found = list(rows.values(*_COLUMNS, *_CORRECTED_PLACE, "evidence_ids", "confidence"))
    admitted = _admitted([row["fact_seq"] for row in found])
    return [_stored(row, is_admitted=row["fact_seq"] in admitted) for row in found]


def _admitted(numbers: Sequence[int]) -> set[int]:
    """Return which of these facts are admitted, according to the one view that defines it."""
    if not numbers:
        return set()
    view = quoted_table(engine_of(connection), "v_admitted_fact")
    listed = ", ".join(str(int(number)) for number in numbers)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT v.fact_seq FROM {view} AS v WHERE v.fact_seq IN ({listed})")  # noqa: S608 (numbers, our own)
        return {int(number) for (number,) in cursor.fetchall()}


def _stored(row: dict[str, Any], *, is_admitted: bool) -> StoredFact:
    cites, confidence = row.pop("evidence_ids"), row.pop("confidence")
    row = _at_its_place_now(row)
    is_open = row["is_current"] and row["review_status"] in _UNDECIDED
    return StoredFact(
        **row,
        cites=_names(cites),
        confidence=None if confidence is None else float(confidence),
        in_conflict=row["conflict_id"] is not None and is_open and not is_admitted,
        admitted=is_admitted,
    )


def _names(text: str | None) -> tuple[str, ...]:
    try:
        names = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
