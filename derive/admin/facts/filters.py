"""The filters of the list of facts, and the query that finds the matching rows.

An index serves one filter, the most selective one; the others are checked row by row, within a bound.
"""

from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from derive.admin.lists.filters import ChoiceFilter, GuidFilter, ListFilter, TextFilter
from derive.admin.lists.keyset import Condition, Walk, equals, table_of
from derive.fact_report.shown import REVIEWS, VERDICTS
from derive.models import Fact, Run
from derive.states import Verdict

_IDS = ("run_id", "fact_id", "conflict_id")
_OF_THE_FACT = {
    "entity": "entity_id",
    "entity_type": "entity_type",
    "key": "fact_key",
    "review": "review_status",
    "interrogation": "interrogation_key",
    "verdict": "verdict",
}
_SERVED = ("entity", "key", "conflict", "review", "interrogation", "verdict")
"""Filters that an index serves in the order of fact numbers, most selective first."""
_UNSERVED = {"conflict": "no", "review": "NONE", "verdict": Verdict.SUPPORTED.value}
"""Their values that no index serves, because most facts have them."""
_OF_THE_RUN = {"version": "interrogation_version", "model": "model_name"}


class FactFilter(ListFilter):
    """The filters of the list of facts."""

    rows_of, sequence = Fact, "fact_seq"
    more = frozenset(("entity_type", "interrogation", "version", "model", "current"))

    q = GuidFilter("Search", placeholder="a complete run, job, fact or conflict id", is_wide=True)
    entity = TextFilter("Entity id", max_length=400)
    key = TextFilter("Key")
    verdict = ChoiceFilter("Verdict", VERDICTS.items())
    review = ChoiceFilter("Review", [("NONE", "Not needed"), *REVIEWS.items()])
    conflict = ChoiceFilter("Conflict", [("yes", "in conflict"), ("no", "not in conflict")])
    entity_type = TextFilter("Entity type")
    interrogation = TextFilter("Interrogation", suggest="interrogations")
    version = TextFilter("Version", max_length=40)
    model = TextFilter("Model", suggest="models")
    current = ChoiceFilter("Run", [("yes", "current"), ("no", "superseded")])

    @override
    def matching(self) -> Walk:
        if wanted := self.values["q"]:
            arms = (*((equals(name, wanted),) for name in _IDS), (_of_job(wanted),))
            return Walk(Fact, "fact_seq", arms=arms, rest=tuple(self._judged("")), may_overlap=True)
        served = next((name for name in _SERVED if self.values[name] not in {"", _UNSERVED.get(name)}), "")
        # The review index serves verdicts: whatever is not supported has or had a review to do.
        judged = self._judged("" if served == "verdict" else served)
        return Walk(Fact, "fact_seq", arms=tuple(self._arms(served)), rest=tuple(judged))

    def _arms(self, served: str) -> Iterator[tuple[Condition, ...]]:
        if served == "conflict":
            yield (Condition("conflict_id IS NOT NULL"),)
        elif served == "review":
            yield (_under_review(self.values[served]),)
        elif served == "verdict":
            yield from ((_under_review(status),) for status in REVIEWS)
        elif served:
            yield (equals(_OF_THE_FACT[served], self.values[served]),)
        else:
            yield ()

    def _judged(self, served: str) -> Iterator[Condition]:
        """Yield the conditions that the index range does not already guarantee."""
        for name, column in _OF_THE_FACT.items():
            if self.values[name] and name != served:
                yield equals(f"t.{column}", self.values[name])
        if (conflict := self.values["conflict"]) and served != "conflict":
            yield Condition("t.conflict_id IS NOT NULL" if conflict == "yes" else "t.conflict_id IS NULL")
        if current := self.values["current"]:
            yield equals("t.is_current", current == "yes")
        for name, column in _OF_THE_RUN.items():
            if self.values[name]:
                yield Condition(
                    f"EXISTS (SELECT 1 FROM {table_of(Run)} AS r WHERE r.run_id = t.run_id AND r.{column} = %s)",  # noqa: S608 (our own constants)
                    (self.values[name],),
                )


def _under_review(status: str) -> Condition:
    # Literals, our own constants: SQL Server cannot match a parameter to a filtered index.
    return Condition(f"review_status = '{status}' AND review_status <> 'NONE'")


def _of_job(job_id: Any) -> Condition:
    return Condition(f"run_id IN (SELECT r.run_id FROM {table_of(Run)} AS r WHERE r.job_id = %s)", (job_id,))  # noqa: S608 (our own constants)
