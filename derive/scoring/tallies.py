"""Adds up what many cases count, in one sum: a case's counts are packed into one integer.

A resample of 10,000 cases is then one ``sum`` of as many integers, whatever the number of variants and keys, which
takes milliseconds without a numeric library. Fields have 64 bits; no count of a set comes near.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

_BYTES = 8


class Field(IntEnum):
    """What is counted of a case's answers."""

    RIGHT = 0
    WRONG = 1
    MISSED = 2
    ANSWERS = 3
    """Answers that are in, refused ones too."""
    REFUSED = 4
    """Jobs that ended without a valid answer."""
    TOKENS = 5
    MILLISECONDS = 6


FIELDS = len(Field)
Tally = tuple[int, ...]
"""A count for each of ``Field``."""
NOTHING: Tally = (0,) * FIELDS


@dataclass(frozen=True)
class TallyLayout:
    """Which tallies a packed case has: ``size`` of them, one after the other."""

    size: int

    def pack(self, tallies: Sequence[Tally]) -> int:
        """Return the tallies as one integer."""
        counts = array("Q", [count for tally in tallies for count in tally])
        return int.from_bytes(counts.tobytes(), "little") if _IS_LITTLE else _from_big(counts)

    def unpack(self, packed: int) -> list[Tally]:
        """Return the tallies of a packed case, or of a sum of them."""
        counts = array("Q", packed.to_bytes(self.size * FIELDS * _BYTES, "little"))
        if not _IS_LITTLE:
            counts.byteswap()
        return [tuple(counts[at : at + FIELDS]) for at in range(0, len(counts), FIELDS)]


_IS_LITTLE = array("H", [1]).tobytes()[0] == 1


def _from_big(counts: "array[int]") -> int:
    counts.byteswap()
    return int.from_bytes(counts.tobytes(), "little")


def add(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    return tuple(map(sum, zip(*tallies, strict=True))) or NOTHING


def precision(tally: Tally) -> float:
    """Return the share of stated facts that are right; 1 if nothing is stated."""
    stated = tally[Field.RIGHT] + tally[Field.WRONG]
    return tally[Field.RIGHT] / stated if stated else 1.0


def recall(tally: Tally) -> float:
    """Return the share of expected facts that are found; 1 if nothing is expected."""
    expected = tally[Field.RIGHT] + tally[Field.MISSED]
    return tally[Field.RIGHT] / expected if expected else 1.0


def f1(tally: Tally) -> float:
    """Return the harmonic mean of precision and recall; 1 if nothing is expected and nothing stated."""
    all_facts = 2 * tally[Field.RIGHT] + tally[Field.WRONG] + tally[Field.MISSED]
    return 2 * tally[Field.RIGHT] / all_facts if all_facts else 1.0


def refusals(tally: Tally) -> float:
    """Return the share of jobs that ended without a valid answer."""
    return _per_answer(tally, Field.REFUSED)


def tokens(tally: Tally) -> float:
    """Return the tokens of an answer, of all its runs."""
    return _per_answer(tally, Field.TOKENS)


def seconds(tally: Tally) -> float:
    """Return the seconds that an answer took, of all its runs."""
    return _per_answer(tally, Field.MILLISECONDS) / 1000


def _per_answer(tally: Tally, field: Field) -> float:
    return tally[field] / tally[Field.ANSWERS] if tally[Field.ANSWERS] else 0.0


METRICS = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "refusals": refusals,
    "tokens": tokens,
    "seconds": seconds,
}
SMALLER_IS_BETTER = frozenset({"refusals", "tokens", "seconds"})
