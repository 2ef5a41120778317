"""What is said of a derivation: its subjects by state, why some are stale, and its last batches."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from django.db.models import Count

from derive.derivations.declarations import Declared
from derive.models import Batch, Subject
from derive.sql.reading import reading
from derive.sql.subject_counts import COUNT_CAP, count_subjects
from derive.states import StaleBecause, SubjectState

BATCHES = 10
WANTED = frozenset(SubjectState) - {SubjectState.RETIRED}
"""Subjects that are to have an answer."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a derivation stands; one that was never applied has no subjects.

    States that are ``capped`` have more subjects than the COUNT_CAP that were counted.
    """

    declared: Declared
    states: Counter[SubjectState]
    stale: Counter[StaleBecause]
    batches: Sequence[Batch]
    capped: frozenset[SubjectState] = frozenset()

    @property
    def subjects(self) -> int:
        """Subjects that are to have an answer."""
        return sum(amount for state, amount in self.states.items() if state in WANTED)

    @property
    def percent(self) -> int:
        """Share of them whose answer is current, rounded down, so that 100 means all."""
        return 100 * self.states[SubjectState.CURRENT] // self.subjects if self.subjects else 100

    @property
    def lagging(self) -> int:
        """Subjects that are to have an answer and have no current one."""
        return self.subjects - self.states[SubjectState.CURRENT]

    @property
    def is_lag_capped(self) -> bool:
        """Whether more subjects lag than were counted."""
        return not self.capped.isdisjoint(WANTED - {SubjectState.CURRENT})

    @property
    def is_exact(self) -> bool:
        """Whether all subjects that are to have an answer were counted."""
        return self.capped.isdisjoint(WANTED)


def read_standings(every: Sequence[Declared]) -> list[Standing]:
    """Return how derivations stand, without their batches, in one query. Raises QueueError."""
    states: dict[int, Counter[SubjectState]] = {}
    stale: dict[int, Counter[StaleBecause]] = {}
    query = Subject.objects.values_list("derivation_seq", "state", "stale_because").annotate(
        amount=Count("subject_seq")
    )
    rows: list[tuple[int, str, str | None, int]] = reading(partial(list, query.order_by()))
    for seq, state, because, amount in rows:
        states.setdefault(seq, Counter())[SubjectState(state)] += amount
        if state == SubjectState.STALE and because is not None:
            stale.setdefault(seq, Counter())[StaleBecause(because)] += amount
    return [Standing(one, states.get(_seq(one), Counter()), stale.get(_seq(one), Counter()), ()) for one in every]


def read_standing(declared: Declared) -> Standing:
    """Return how one derivation stands, with its last batches. Raises QueueError."""
    query = (
        Subject.objects.filter(derivation_seq=_seq(declared))
        .values_list("state", "stale_because")
        .annotate(amount=Count("subject_seq"))
    )
    rows: list[tuple[str, str | None, int]] = reading(partial(list, query.order_by()))
    states, stale = _counted(rows)
    return Standing(declared, states, stale, newest_batches(declared.key, BATCHES))


def read_bounded_standing(declared: Declared) -> Standing:
    """Return how a derivation stands, without its batches, counting up to COUNT_CAP of each state.

    Costs the same for ten thousand subjects as for a million. Raises QueueError.
    """
    states, stale = _counted(count_subjects(_seq(declared)) if declared.row else ())
    capped = frozenset(state for state, amount in states.items() if amount > COUNT_CAP)
    return Standing(
        declared, Counter({state: min(amount, COUNT_CAP) for state, amount in states.items()}), stale, (), capped
    )


def newest_batches(key: str, most: int) -> list[Batch]:
    """Return a derivation's batches, newest first. Raises QueueError."""
    query = Batch.objects.filter(name=f"derivation {key}").order_by("-batch_seq")[:most]
    found: list[Batch] = reading(partial(list, query))
    return found


def _counted(rows: Iterable[tuple[str, str | None, int]]) -> tuple[Counter[SubjectState], Counter[StaleBecause]]:
    states: Counter[SubjectState] = Counter()
    stale: Counter[StaleBecause] = Counter()
    for state, because, amount in rows:
        states[SubjectState(state)] += amount
        if state == SubjectState.STALE and because is not None:
            stale[StaleBecause(because)] += amount
    return states, stale


def _seq(declared: Declared) -> int:
    return declared.row.derivation_seq if declared.row else 0
