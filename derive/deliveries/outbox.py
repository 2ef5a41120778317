"""What waits to be delivered, and what a target refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db.models import Count, Min, Q

from derive.models import Delivery, Derivation, Subject
from derive.sql.reading import reading

MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Refusal:
    """A subject whose row the target refused."""

    entity_type: str
    entity_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox of a derivation: changes that wait, since when, and the first refused rows."""

    waiting: int = 0
    oldest_utc: datetime | None = None
    refused: int = 0
    refusals: Sequence[Refusal] = ()


def read_outbox(row: Derivation | None) -> Outbox:
    """Return what waits; after a target was declared that is every subject with an answer. Raises QueueError."""
    if row is None:
        return Outbox()
    rows = Delivery.objects.filter(derivation_seq=row.derivation_seq)
    still = Q(refused_utc__isnull=True)
    query = rows.aggregate
    counts = reading(
        partial(
            query,
            waiting=Count("delivery_seq", filter=still),
            refused=Count("delivery_seq", filter=~still),
            oldest=Min("queued_utc", filter=still),
        )
    )
    filled = 0
    if row.fill_after_seq is not None:
        subjects = Subject.objects.filter(derivation_seq=row.derivation_seq, run_id__isnull=False)
        filled = reading(subjects.filter(subject_seq__gt=row.fill_after_seq).count)
    return Outbox(counts["waiting"] + filled, counts["oldest"], counts["refused"], _refusals(row))


def _refusals(row: Derivation) -> list[Refusal]:
    refused = Delivery.objects.filter(derivation_seq=row.derivation_seq, refused_utc__isnull=False)
    shown: list[tuple[int, str | None]] = reading(
        partial(list, refused.order_by("delivery_seq").values_list("subject_seq", "why")[:MOST_SHOWN])
    )
    subjects = Subject.objects.filter(subject_seq__in=[seq for seq, _why in shown])
    rows: list[tuple[int, str, str]] = reading(
        partial(list, subjects.values_list("subject_seq", "entity_type", "entity_id"))
    )
    names = {seq: (kind, name) for seq, kind, name in rows}
    return [Refusal(*names[seq], why or "") for seq, why in shown if seq in names]
