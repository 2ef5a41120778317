"""What applying a derivation would do, counted exactly and priced; nothing is written and nothing queued."""

from collections import Counter
from dataclasses import dataclass, field

from derive.derivations.comparison import SAMPLE, DifferenceKind, SourceComparison
from derive.derivations.declarations import Declared
from derive.derivations.price import Price, Sizes, price_of
from derive.derivations.wanted import Wanted
from derive.sources.contract import Source, SourceSubject, Unreadable
from derive.sources.registry import load_sources
from derive.states import StaleBecause, SubjectState

_AS_THEY_ARE = frozenset({SubjectState.QUEUED, SubjectState.FAILED})
"""States that a subject keeps which is as it was asked; of any other the answer is in use again."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A comparison's counts: each subject is in one of them, but for ``left_out`` and ``duplicates``.

    ``gone`` are in the source no more, or a rule leaves them out. ``is_partial``: a part of the source could not be
    read, so that none of them would be retired.
    """

    derivation: str
    new: int
    changed: int
    stale: Counter[StaleBecause]
    gone: int
    current: int
    queued: int
    failed: int
    unreadable: int
    left_out: int
    duplicates: int
    is_partial: bool
    price: Price
    shown: list[Unreadable] = field(default_factory=list)

    @property
    def to_derive(self) -> int:
        """Jobs that applying would queue, without limits."""
        return self.new + self.changed + self.stale.total()


def make_plan(declared: Declared, source: Source | None = None) -> Plan:
    """Compare a derivation's source with its subjects, and price the difference.

    Raises ConfigurationError, UnknownInterrogation, SourceError, QueueError, LakeError.
    """
    declaration = declared.usable()
    source = source or load_sources().get(declaration.source)
    wanted = Wanted.of(declared.key, declaration)
    with SourceComparison(source, wanted, declared.row.derivation_seq if declared.row else None) as comparison:
        comparison.read()
        settled = comparison.settled()
        kinds: Counter[DifferenceKind] = Counter()
        stale: Counter[StaleBecause] = Counter()
        sizes: list[int] = []
        unread: list[SourceSubject] = []
        read_jobs = unread_jobs = gone_of_known = 0
        for one in comparison.differences(reads_stale=False):
            kinds[one.kind] += 1
            gone_of_known += one.kind is DifferenceKind.LEFT_OUT and one.state not in {None, SubjectState.RETIRED}
            if one.kind is DifferenceKind.AS_ASKED:
                settled[one.state if one.state in _AS_THEY_ARE else SubjectState.CURRENT] += 1
            if one.kind is DifferenceKind.STALE and one.because is not None:
                stale[one.because] += 1
            if one.kind in {DifferenceKind.NEW, DifferenceKind.CHANGED, DifferenceKind.STALE}:
                if one.evidence is not None:
                    sizes.append(one.evidence.characters)
                    read_jobs += 1
                else:
                    unread_jobs += 1
                    if len(unread) < SAMPLE:
                        unread.append(one.subject)
        if unread_jobs:
            sampled = comparison.sample(unread)
            # Each sampled one stands for its share of those that were not read.
            sizes = _weighted(sizes, sampled, read_jobs=read_jobs, unread_jobs=unread_jobs)
        price = price_of(
            Sizes(read_jobs + unread_jobs, sizes),
            interrogation=declaration.interrogation,
            model=wanted.model,
            rate_per_minute=declaration.rate_per_minute,
        )
        return Plan(
            derivation=declared.key,
            new=kinds[DifferenceKind.NEW],
            changed=kinds[DifferenceKind.CHANGED],
            stale=stale,
            gone=comparison.gone_count() + gone_of_known,
            current=settled[SubjectState.CURRENT],
            queued=settled[SubjectState.QUEUED],
            failed=settled[SubjectState.FAILED],
            unreadable=comparison.unreadable,
            left_out=comparison.left_out + settled[SubjectState.RETIRED],
            duplicates=comparison.duplicates,
            is_partial=comparison.is_partial,
            price=price,
            shown=comparison.shown,
        )


def _weighted(read: list[int], sampled: list[int], *, read_jobs: int, unread_jobs: int) -> list[int]:
    """Return sizes in which read and unread jobs have their true shares, from all read ones and a sample."""
    if not sampled or not read:
        return read or sampled
    share = unread_jobs / (read_jobs + unread_jobs)
    if len(sampled) / (len(read) + len(sampled)) >= share:
        return [*read, *sampled[: max(1, round(len(read) * share / (1 - share)))]]
    return [*read[: max(1, round(len(sampled) * (1 - share) / share))], *sampled]
