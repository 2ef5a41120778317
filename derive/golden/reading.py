"""Reads golden sets and their cases."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import Count, Max, Min

from derive.models import GoldenCase
from derive.sql.reading import reading

_PAGE = 500
_RECENT = 500
"""Newest cases that are looked at for the sets somebody may choose from."""


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """A set, as its cases make it; ``interrogation`` is empty if they belong to several."""

    name: str
    cases: int
    interrogation: str
    changed_utc: datetime


def list_sets() -> list[GoldenSet]:
    """Return all sets by name. Raises QueueError."""
    query = (
        GoldenCase.objects.values("set_name")
        .annotate(
            cases=Count("case_id"),
            first=Min("interrogation_key"),
            last=Max("interrogation_key"),
            newest=Max("changed_utc"),
        )
        .order_by("set_name")
    )
    rows: list[dict[str, Any]] = reading(partial(list, query))
    return [
        GoldenSet(
            name=row["set_name"],
            cases=row["cases"],
            interrogation=row["first"] if row["first"] == row["last"] else "",
            changed_utc=row["newest"],
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class SetChoices:
    """Sets that a case of an interrogation may go into, by name, and the one somebody used last (or empty)."""

    names: tuple[str, ...] = ()
    last: str = ""


def set_choices(interrogation_key: str, actor: str) -> SetChoices:
    """Return the sets of the newest cases of an interrogation. Raises QueueError."""
    newest = GoldenCase.objects.order_by("-case_seq").values_list("set_name", "interrogation_key", "changed_by")
    rows: list[tuple[str, str, str]] = reading(partial(list, newest[:_RECENT]))
    ours = [(name, by) for name, key, by in rows if key == interrogation_key]
    return SetChoices(
        names=tuple(sorted({name for name, _by in ours})), last=next((name for name, by in ours if by == actor), "")
    )


def read_cases(set_name: str | None = None) -> Iterator[GoldenCase]:
    """Yield the cases of a set, or of all, in the order they were made. Raises QueueError."""
    cases = GoldenCase.objects.order_by("case_seq")
    if set_name is not None:
        cases = cases.filter(set_name=set_name)
    after = 0
    while True:
        page: list[GoldenCase] = reading(partial(list, cases.filter(case_seq__gt=after)[:_PAGE]))
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].case_seq
