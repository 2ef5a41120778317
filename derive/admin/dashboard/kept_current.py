"""What is kept current: the derivations that lag most, each counted up to a bound."""

from dataclasses import dataclass
from functools import partial

from derive.derivations.declarations import Declared, all_declared
from derive.derivations.status import Standing, read_bounded_standing
from derive.errors import ConfigurationError
from derive.models import Derivation
from derive.sql.reading import reading
from derive.states import SubjectState

MAX_COUNTED = 20
"""Derivations that are counted, in the order of their keys."""
MAX_SHOWN = 6


@dataclass(frozen=True, slots=True)
class KeptCurrent:
    """The derivations that lag most, and how many others there are."""

    shown: tuple[Standing, ...] = ()
    others: int = 0


def read_kept_current() -> KeptCurrent:
    """Return how derivations stand; empty if there is none. Raises QueueError."""
    try:
        every = all_declared()
    except ConfigurationError as error:
        rows: list[Derivation] = reading(partial(list, Derivation.objects.order_by("derivation_key")[:MAX_COUNTED]))
        every = [Declared(row.derivation_key, None, row.declared_in, row, str(error)) for row in rows]
    standings = sorted(map(read_bounded_standing, every[:MAX_COUNTED]), key=_share)
    return KeptCurrent(tuple(standings[:MAX_SHOWN]), len(every) - min(len(standings), MAX_SHOWN))


def _share(standing: Standing) -> float:
    """Return the share that is current, as far as it is counted; broken ones come first."""
    if standing.declared.broken is not None:
        return -1.0
    return standing.states[SubjectState.CURRENT] / standing.subjects if standing.subjects else 1.0
