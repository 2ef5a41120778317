"""An answer beside its evidence: its stored facts, or the citations in the answer if none are stored."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count

from derive.admin.jobs.highlights import unjudged_facts
from derive.fact_report.reading import facts_of_run
from derive.fact_report.shown import REVIEWS, VERDICTS, MarkedFacts, show_facts
from derive.fact_report.stored import evidence_of
from derive.models import Fact

MAX_FACTS = 200
"""Facts per page: an answer may have thousands, and each is marked in the evidence."""


@dataclass(frozen=True)
class Answer:
    """One page of a run's facts beside the evidence: from index ``first`` of ``count``; ``tally`` covers all of them.

    ``count`` is None if no facts are stored, so nothing shown has been judged.
    """

    marked: MarkedFacts
    count: int | None = None
    first: int = 0
    tally: tuple[tuple[str, str, int], ...] = ()

    @property
    def last(self) -> int:
        """The index after the last fact shown."""
        return self.first + len(self.marked.facts)

    @property
    def earlier(self) -> int | None:
        """Where the previous page starts; None if there is none."""
        return max(0, self.first - MAX_FACTS) if self.first else None

    @property
    def later(self) -> int | None:
        """Where the next page starts; None if there is none."""
        return self.last if self.last < (self.count or 0) else None


def answer_of(run_id: UUID, parsed: Any, bundle: Any, *, wanted: int = 0) -> Answer:
    """Return the page of facts that contains the requested one. ``parsed`` and ``bundle`` are untrusted JSON."""
    evidence = evidence_of(bundle).items
    tally = _tally(run_id)
    if not tally:
        return Answer(show_facts(unjudged_facts(parsed, evidence), evidence))
    count = sum(tally[verdict] for verdict in VERDICTS)
    first = max(0, min(wanted, count - 1)) // MAX_FACTS * MAX_FACTS
    words = {**VERDICTS, **REVIEWS}
    return Answer(
        show_facts(facts_of_run(run_id, first=first, most=MAX_FACTS), evidence),
        count=count,
        first=first,
        tally=tuple((f"is-{name.lower()}", words[name], tally[name]) for name in words if tally[name]),
    )


def _tally(run_id: UUID) -> Counter[str]:
    """Count a run's facts by verdict and by review status."""
    grouped = Fact.objects.filter(run_id=run_id).values_list("verdict", "review_status").annotate(Count("fact_index"))
    tally: Counter[str] = Counter()
    for verdict, review, count in grouped:
        tally.update({verdict: count, review: count})
    return tally
