"""How many facts wait for a review."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from derive.models import Fact, PastAnswer

COUNT_CAP = 10_000
"""Beyond it the number is not counted: an exact count of a million costs more than the page."""


@dataclass(frozen=True)
class Waiting:
    """The number of facts that wait; ``is_more``: at least that many."""

    count: int
    is_more: bool

    def __str__(self) -> str:
        return f"{self.count:,}{'+' if self.is_more else ''}"


def waiting_facts() -> Waiting:
    """Count the facts of answers in use that wait for a decision, up to the cap."""
    is_past = Exists(PastAnswer.objects.filter(job_id=OuterRef("job_id")))
    numbers = Fact.objects.filter(~is_past, review_priority__isnull=False, is_current=True)
    found = numbers.order_by("review_round", "-review_priority", "fact_seq")[: COUNT_CAP + 1].count()
    return Waiting(min(found, COUNT_CAP), is_more=found > COUNT_CAP)
