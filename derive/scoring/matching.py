"""Matches the facts of an answer with the expected ones, by key and value."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from derive.proofs import same_value, value_key
from derive.proofs.judgement import Context
from derive.scoring.stated import StatedFact

ALL_OTHERS = "*"
"""The key of a matching that stands for every key it does not name."""
_BETWEEN_WORDS = re.compile(r"[\s_-]+")


class Matching(StrEnum):
    """How the values of a key are compared."""

    SAME = "same"
    """By the proof rules' equality: 1,000 is 1000 and one thousand."""
    EXACT = "exact"
    """By the same characters."""
    PRESENT = "present"
    """Any value will do."""
    IGNORE = "ignore"
    """Facts of this key count neither way."""


class Mark(StrEnum):
    """What became of an expected fact, or of one that an answer states."""

    MATCHED = "matched"
    MISSED = "missed"
    """Expected, and not in the answer."""
    WRONG = "wrong"
    """In the answer, and not expected."""
    IGNORED = "ignored"


class Counts(NamedTuple):
    """Facts that are right, wrongly stated and missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class CaseComparison:
    """The counts by key, and a mark for each expected and each found fact, in their order."""

    by_key: Mapping[str, Counts]
    expected: tuple[Mark, ...]
    found: tuple[Mark, ...]


@lru_cache(maxsize=4_096)
def plain_key(key: str) -> str:
    """Return a key without differences of case, blanks, hyphens and underscores."""
    return _BETWEEN_WORDS.sub("_", key.strip().casefold())


def compare(
    expected: Sequence[StatedFact], found: Sequence[StatedFact], matching: Mapping[str, Matching] | None = None
) -> CaseComparison:
    """Match each expected fact with at most one found fact of its key, and count what is left over.

    A fact that is stated again, or expected twice, counts once. Never raises.
    """
    how = {plain_key(key): way for key, way in (matching or {}).items()}
    others = how.pop(ALL_OTHERS, Matching.SAME)
    ours, theirs = _by_key(expected), _by_key(found)
    expected_marks, found_marks = [Mark.IGNORED] * len(expected), [Mark.IGNORED] * len(found)
    by_key: dict[str, Counts] = {}
    for key in {**ours, **theirs}:
        way = how.get(key, others)
        if way is not Matching.IGNORE:
            by_key[key] = _match(
                [(place, expected[place]) for place in ours.get(key, ())],
                [(place, found[place]) for place in theirs.get(key, ())],
                way,
                expected_marks,
                found_marks,
            )
    return CaseComparison(by_key, tuple(expected_marks), tuple(found_marks))


_Placed = list[tuple[int, StatedFact]]


def _by_key(statements: Sequence[StatedFact]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, statement in enumerate(statements):
        places[plain_key(statement.key)].append(place)
    return places


def _match(
    expected: _Placed, found: _Placed, way: Matching, expected_marks: list[Mark], found_marks: list[Mark]
) -> Counts:
    """Mark the facts of one key and return their counts."""
    if len(expected) == len(found) == 1:
        ((place, one),), ((other, statement),) = expected, found
        matches = is_same(one, statement, way)
        expected_marks[place] = Mark.MATCHED if matches else Mark.MISSED
        found_marks[other] = Mark.MATCHED if matches else Mark.WRONG
        return Counts(right=1) if matches else Counts(wrong=1, missed=1)
    right = missed = 0
    taken: set[int] = set()
    for n, (place, one) in enumerate(expected):
        same = [other for other, statement in found if is_same(one, statement, way)]
        is_repeated = any(is_same(one, before, way) for _, before in expected[:n])
        taken.update(same)
        for other in same:
            found_marks[other] = Mark.MATCHED
        expected_marks[place] = Mark.MATCHED if same else Mark.MISSED
        if not is_repeated:
            right += bool(same)
            missed += not same
    left = [(place, statement) for place, statement in found if place not in taken]
    wrong = 0
    for n, (place, statement) in enumerate(left):
        found_marks[place] = Mark.WRONG
        wrong += not any(is_same(before, statement, way) for _, before in left[:n])
    return Counts(right, wrong, missed)


def is_same(one: StatedFact, other: StatedFact, way: Matching = Matching.SAME) -> bool:
    """Whether two statements of one key have the same value."""
    if way is Matching.PRESENT:
        return True
    first, second = _text(one.value), _text(other.value)
    if first == second:
        return True
    return way is Matching.SAME and _is_same_value(one.value, other.value, other.context if other.path else one.context)


def _is_same_value(one: Any, other: Any, context: Context) -> bool:
    if isinstance(one, dict) or isinstance(other, dict):
        return (
            isinstance(one, dict)
            and isinstance(other, dict)
            and one.keys() == other.keys()
            and all(_is_same_value(one[name], other[name], Context(key=name)) for name in one)
        )
    if isinstance(one, list) or isinstance(other, list):
        return value_key(one, context) == value_key(other, context)
    return same_value(one, other, context)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
