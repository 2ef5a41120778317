"""The facts of one entity, grouped by key and value, each with the runs that support it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from derive.admin.display.untrusted_text import cell
from derive.fact_report.shown import ShownFact, show_facts
from derive.fact_report.stored import StoredFact
from derive.models import Run

MAX_FACTS = 200
"""Facts per page."""
_RUN_COLUMNS = ("run_id", "model_name", "model_tag", "interrogation_version", "completed_utc")


@dataclass(frozen=True)
class Statement:
    """A fact and its run (None if it was purged meanwhile)."""

    fact: ShownFact
    run: Run | None


@dataclass(frozen=True)
class KnownValue:
    """A value of a key with all facts that state it, newest first."""

    text: str
    statements: tuple[Statement, ...]

    @property
    def is_admitted(self) -> bool:
        """Whether any fact that states it is admitted."""
        return any(one.fact.stored.admitted for one in self.statements)


@dataclass(frozen=True)
class KnownKey:
    """A key and its values, admitted ones first."""

    name: str
    entity_type: str
    values: tuple[KnownValue, ...]

    @property
    def is_in_conflict(self) -> bool:
        """Whether its facts contradict each other without a decision."""
        return any(one.fact.stored.in_conflict for value in self.values for one in value.statements)


def known_of(facts: Sequence[StoredFact]) -> list[KnownKey]:
    """Group facts, given newest first, by key and value; keys in alphabetical order."""
    runs = {
        run.run_id: run for run in Run.objects.filter(run_id__in={fact.run_id for fact in facts}).only(*_RUN_COLUMNS)
    }
    # Evidence is not read, since a page would open hundreds of files. Each quote links to its mark.
    shown = show_facts(facts, {}).facts
    statements = [Statement(fact, runs.get(fact.stored.run_id)) for fact in shown]
    keys: dict[tuple[str, str], list[Statement]] = {}
    for one in statements:
        keys.setdefault((one.fact.stored.fact_key or "", one.fact.stored.entity_type or ""), []).append(one)
    return [
        KnownKey(name=cell(key, 200), entity_type=cell(entity_type, 200), values=_values(found))
        for (key, entity_type), found in sorted(keys.items())
    ]


def _values(statements: Iterable[Statement]) -> tuple[KnownValue, ...]:
    """Group values that are equal however they are written."""
    values: dict[str, list[Statement]] = {}
    for one in statements:
        values.setdefault(one.fact.stored.value_key or one.fact.stored.value or "", []).append(one)
    known = [KnownValue(text=found[0].fact.value, statements=tuple(found)) for found in values.values()]
    return tuple(sorted(known, key=lambda value: (not value.is_admitted, -len(value.statements))))
