"""Joins adjacent numbers that form one quantity: "5 ft 11 in", "10–12 km", "eighteen (18) months"."""

from dataclasses import replace
from decimal import Decimal

from derive.proofs.digits import GLUED_SCALES
from derive.proofs.literals import ARITHMETIC
from derive.proofs.number_words import SCALES
from derive.proofs.quantity import Quantity
from derive.proofs.reading import Reading
from derive.proofs.units import UNITS, Unit, unit_at

CHANGES = frozenset(
    "rose rise rising fell fall falling grew grow growing increased increase dropped drop declined decline up down cut "
    "raised went go gone reduced expanded climbed jumped moved changed improved shrank slipped widened surged".split()
)

_SMALLER = {"ft": ("in", 12), "st": ("lb", 14)}
"""The unit of a second number without a unit after these units, and how many of it make one of the first."""


def join(reading: Reading, before: Quantity, after: Quantity) -> Quantity | None:
    """Return the quantity that two adjacent ones form, if any."""
    if not before.end <= after.start <= before.end + 3:
        return None
    return (
        _share(reading, before, after)
        or _said_twice(reading, before, after)
        or _compound(reading, before, after)
        or _range(reading, before, after)
    )


def _share(reading: Reading, before: Quantity, after: Quantity) -> Quantity | None:
    """Join "one in five", "3 out of 4"."""
    if reading.low[before.end : after.start] not in (["in"], ["out", "of"], ["in", "every"]):
        return None
    if before.kind or after.kind or before.low is None or after.low is None or before.unit or after.unit:
        return None
    if not (before.is_exact and after.is_exact and 0 < before.low < after.low <= 1000 and before.low <= 100):
        return None
    share = ARITHMETIC.divide(before.low, after.low).quantize(Decimal("1e-12"), context=ARITHMETIC)
    parts = (before.low, after.low)
    return replace(before, low=share, high=share, end=after.end, kind="part", is_weak=False, parts=parts)


def _said_twice(reading: Reading, before: Quantity, after: Quantity) -> Quantity | None:
    """Join "eighteen (18) months"."""
    end = after.end
    if reading.low[before.end : after.start] != ["("] or reading.word(end) != ")" or before.low != after.low:
        return None
    unit = unit_at(reading, end + 1) if before.unit is None and after.unit is None else None
    return replace(before, unit=unit[0] if unit else before.unit or after.unit, end=unit[1] if unit else end + 1)


def _compound(reading: Reading, before: Quantity, after: Quantity) -> Quantity | None:
    """Join "5 ft 11 in", "3 years and 2 months", "6 foot 2"."""
    between = reading.low[before.end : after.start]
    if before.unit is None or between not in ([], ["and"], [","], ["-"]) or not (before.is_exact and after.is_exact):
        return None
    if before.low is None or after.low is None or before.low < 0:
        return None
    unit = after.unit
    if unit is None and before.unit.name in _SMALLER and between in ([], ["-"]):
        name, most = _SMALLER[before.unit.name]
        stands_free = not reading.word(after.end)[:1].isalpha()
        unit = UNITS[name] if 0 <= after.low < most and stands_free else None
    if unit is None or unit.dimension != before.unit.dimension or unit.factor >= before.unit.factor:
        return None
    share = ARITHMETIC.divide(ARITHMETIC.multiply(after.low, unit.factor), before.unit.factor)
    if share >= 1:
        return None
    total = ARITHMETIC.add(before.low, share.quantize(Decimal("1e-12"), context=ARITHMETIC))
    return replace(before, low=total, high=total, end=after.end)


def _range(reading: Reading, before: Quantity, after: Quantity) -> Quantity | None:
    """Join "10–12 km", "between 3 and 5", "from 10 to 12"; a descending pair is a sports score."""
    if before.low is None or after.high is None or not _is_range(reading, before, after):
        return None
    low = _in_unit_of(before.low, before.unit, after.unit)
    if low is None:
        return None
    high, unit = after.high, after.unit or before.unit
    if after.is_scaled and not before.is_scaled and low < 1000:
        low = ARITHMETIC.multiply(low, _scale_of(reading, after))
    if low <= high:
        return replace(before, low=low, high=high, end=after.end, unit=unit, is_scaled=after.is_scaled)
    if reading.low[before.end] != "-" or not (before.is_exact and after.is_exact):
        return None
    return Quantity(None, None, before.start, after.end, unit=unit, kind="sequence", parts=(before.low, high))


def _is_range(reading: Reading, before: Quantity, after: Quantity) -> bool:
    between = reading.low[before.end : after.start]
    if len(between) != 1 or after.kind in {"none", "vague"}:
        return False
    if before.kind != after.kind and "year" not in {before.kind, after.kind}:
        return False
    opener = reading.word(before.start - 1)
    if between[0] == "and":
        return bool(opener == "between")
    if between[0] in {"to", "through"}:
        # "from 2 to 3" after a verb of change is not a range: the number was 2 and is now 3.
        return opener != "from" or CHANGES.isdisjoint(reading.low)
    return bool(between[0] == "-")


def _in_unit_of(number: Decimal, ours: Unit | None, theirs: Unit | None) -> Decimal | None:
    if ours is None or theirs is None or ours == theirs:
        return number
    if ours.dimension != theirs.dimension:
        return None
    return ARITHMETIC.divide(ARITHMETIC.multiply(number, ours.factor), theirs.factor)


def _scale_of(reading: Reading, quantity: Quantity) -> Decimal:
    for word in reading.low[quantity.start : quantity.end]:
        if word in SCALES or word in GLUED_SCALES:
            return Decimal(SCALES.get(word) or GLUED_SCALES[word])
    return Decimal(1)
