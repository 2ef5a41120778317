"""What a page needs to offer that an answer becomes a golden case: the answer, and the sets to choose from."""

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest

from derive.admin.site import permissions
from derive.golden.reading import SetChoices, set_choices


@dataclass(frozen=True)
class GoldenOffer:
    """An answer that may become a golden case; ``of`` is its entity."""

    run_id: UUID
    of: str
    sets: SetChoices


def golden_offer(request: HttpRequest, run_id: UUID, *, interrogation_key: str, of: str | None) -> GoldenOffer | None:
    """Return the offer, or None to whoever may not make golden cases. Raises QueueError."""
    if not all(permissions.may(request, one) for one in (permissions.EDIT_GOLDEN_CASES, permissions.SEE_PAYLOADS)):
        return None
    return GoldenOffer(run_id, of or "", set_choices(interrogation_key, permissions.actor_of(request)))
