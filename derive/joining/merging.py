"""Decides which facts of a job's parts are one fact: found twice in an overlap, or stated in several places."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from derive.contracts import JudgedFact
from derive.proofs import FieldProof, same_value
from derive.states import Verdict

_MOST_COMPARED = 20
"""Facts at one place whose values are compared in other notations ("180 cm", "5 ft 11 in"); real answers have two."""
_BEST_FIRST = (Verdict.SUPPORTED, Verdict.NOT_ENOUGH_INFO, Verdict.REFUTED)


class FactPlace(NamedTuple):
    """A stretch of an item of the whole evidence, in code points; items are numbered in the bundle's order."""

    item: int
    start: int
    end: int


@dataclass(slots=True)
class FoundFact:
    """A fact of one part, with the element of the answer that states it; ``fact`` has its place in the whole text.

    ``identity`` is the canonical form of its value, whatever its verdict; ``proof`` declares how it is judged.
    ``inner`` are facts inside the element, with the rest of their paths. ``places`` are all places of the fact once it
    is merged.
    """

    part_no: int
    element: Mapping[str, Any]
    fact: JudgedFact
    identity: str
    place: FactPlace | None
    proof: FieldProof
    inner: Sequence[tuple[tuple[int | str, ...], JudgedFact]] = ()
    places: list[FactPlace] = field(default_factory=list)


def merge(found: Iterable[FoundFact]) -> list[FoundFact]:
    """Return the facts without repetitions, ordered by place; facts whose quotes do not occur come last.

    Facts with one key and equal values are one fact if their places overlap: of those, the one with the best verdict
    stays. Elsewhere they are further places of one fact if their verdicts agree; the first place stays. Different
    values of a key are different facts, which may conflict.
    """
    by_key: dict[str | None, list[FoundFact]] = defaultdict(list)
    for one in found:
        by_key[one.fact.fact_key].append(one)
    merged = [fact for group in by_key.values() for fact in _merge_mentions(_merge_overlapping(group))]
    return sorted(merged, key=_order)


def _merge_overlapping(group: list[FoundFact]) -> list[FoundFact]:
    kept: list[FoundFact] = []
    by_identity: dict[str, FoundFact] = {}
    for one in sorted(group, key=_order):
        place = one.place
        if place is None:
            kept.append(one)
            continue
        same = by_identity.get(one.identity)
        if same is None or not _reaches(same, place):
            near = (other for other in kept[: -_MOST_COMPARED - 1 : -1] if _reaches(other, place))
            same = next((other for other in near if _has_same_value(one, other)), None)
        if same is None:
            one.places = [place]
            kept.append(one)
            by_identity[one.identity] = one
        else:
            _absorb_overlapping(same, one, place)
    return sorted(kept, key=_order)


def _reaches(fact: FoundFact, place: FactPlace) -> bool:
    return bool(fact.places) and fact.places[-1].item == place.item and fact.places[-1].end > place.start


def _absorb_overlapping(kept: FoundFact, other: FoundFact, place: FactPlace) -> None:
    """Make two findings of one mention one fact, with the stretch of both as its only place to compare with."""
    last = kept.places[-1]
    kept.places[-1] = FactPlace(last.item, min(last.start, place.start), max(last.end, place.end))
    if _rank(other) < _rank(kept):
        kept.part_no, kept.element, kept.fact = other.part_no, other.element, other.fact
        kept.identity, kept.place, kept.inner = other.identity, other.place, other.inner


def _merge_mentions(facts: list[FoundFact]) -> list[FoundFact]:
    first: dict[tuple[str, Verdict, str | None], FoundFact] = {}
    kept: list[FoundFact] = []
    for one in facts:
        quote = one.fact.quote if one.place is None else None
        same = first.setdefault((one.identity, one.fact.verdict, quote), one)
        if same is one:
            one.places = [] if one.place is None else [one.place]
            kept.append(one)
        elif one.place is not None:
            same.places.append(one.place)
    return kept


def _has_same_value(one: FoundFact, other: FoundFact) -> bool:
    return same_value(one.fact.value or "", other.fact.value or "", one.proof.context(key=one.fact.fact_key or ""))


def _rank(one: FoundFact) -> tuple[int, int]:
    return _BEST_FIRST.index(one.fact.verdict), -len(one.fact.quote or "")


def _order(one: FoundFact) -> tuple[Any, ...]:
    at = (1, 0, 0, 0) if one.place is None else (0, *one.place)
    return (*at, one.fact.fact_key or "", one.part_no, one.fact.fact_index)
