"""Compares two quantities: the same, undecided for a stated reason, different, or not comparable."""

from decimal import Decimal
from enum import Enum, auto

from derive.proofs.keys import Key
from derive.proofs.literals import ARITHMETIC
from derive.proofs.quantity import Quantity
from derive.proofs.units import POUND, UNITS, Unit

_RANKS = frozenset(
    "rank position place edition floor generation round number grade stage phase season century seat standing ranking "
    "finish finished order".split()
)
_UPPER = frozenset("max maximum limit most capacity upper ceiling cap end highest longest high latest".split())
_LOWER = frozenset("min minimum least lower floor start lowest shortest low earliest".split())
_SHARES = frozenset("ratio rate share fraction proportion probability percentage percent pct portion".split())
_STEPS = {
    "length": frozenset(map(Decimal, (100, 1000))),
    "mass": frozenset(map(Decimal, (1000,))),
    "centuries": frozenset(map(Decimal, (10, 100))),
    "time": frozenset(map(Decimal, (7, 12, 24, 60, 3600))),
}
"""Factors between common units of a dimension, any of which a value without a unit may have been written in."""
_DIMENSION_OF_KEYS = {"angle": "temperature", "months": "time"}
_HUNDRED = Decimal(100)
_MILLION = Decimal(10**6)


class Relation(Enum):
    """The result of comparing two quantities."""

    SAME = auto()
    OTHER = auto()
    APART = auto()
    ROUNDED = auto()
    WITHIN = auto()
    UNIT_MISSING = auto()
    OTHER_READING = auto()
    NEAR_UNIT = auto()


def relate(wanted: Quantity, quoted: Quantity, key: Key, *, is_attached: bool = False) -> Relation:
    """Compare a value's quantity with one in its quote; ``is_attached`` if the quote's belongs to the key's words."""
    if wanted.kind == "sequence" or quoted.kind == "sequence":
        return _relate_sequences(wanted, quoted)
    if wanted.kind != quoted.kind:
        by_kind = _relate_kinds(wanted, quoted, key, is_attached=is_attached)
        if by_kind is not None:
            return by_kind
    return _relate_units(wanted, quoted, key)


def _relate_sequences(wanted: Quantity, quoted: Quantity) -> Relation:
    if wanted.kind == quoted.kind or (wanted.parts and quoted.parts):
        if wanted.parts == quoted.parts:
            return Relation.SAME
        return Relation.OTHER if len(wanted.parts) == len(quoted.parts) else Relation.APART
    if wanted.kind == "sequence":
        ends = (quoted.low, quoted.high)
        return (
            Relation.SAME
            if wanted.parts == ends
            else Relation.OTHER
            if not quoted.is_exact and not quoted.kind
            else Relation.APART
        )
    if not wanted.is_exact:
        return Relation.OTHER if len(quoted.parts) == 2 and wanted.kind == "" else Relation.APART
    if len(quoted.parts) == 2 and wanted.is_exact and wanted.kind == "":
        return Relation.SAME if wanted.low in quoted.parts else Relation.OTHER if quoted.unit else Relation.APART
    return Relation.APART


def _relate_kinds(wanted: Quantity, quoted: Quantity, key: Key, *, is_attached: bool) -> Relation | None:
    """Compare by the kinds of the numbers, if that alone decides."""
    is_equal = wanted.low == quoted.low
    if quoted.kind == "none":
        return (
            Relation.SAME
            if wanted.low == 0 and wanted.is_exact and is_attached
            else Relation.OTHER
            if is_attached
            else Relation.APART
        )
    if wanted.kind == "none":
        return (
            Relation.SAME
            if quoted.low == 0 and quoted.is_exact
            else Relation.OTHER
            if is_attached and quoted.kind == ""
            else Relation.APART
        )
    if "ordinal" in {wanted.kind, quoted.kind}:
        fits = is_attached or not _RANKS.isdisjoint(key.words)
        if is_equal:
            return Relation.SAME if fits or quoted.kind == "" else Relation.APART
        return Relation.OTHER if fits and quoted.kind in {"ordinal", ""} and quoted.unit is None else Relation.APART
    if quoted.kind == "year":
        looks = wanted.low is not None and 1000 <= wanted.low <= 2199 and wanted.unit is None
        if is_equal and wanted.is_exact:
            return Relation.SAME
        return Relation.OTHER if (looks or key.is_year) and wanted.kind in {"", "decade"} else Relation.APART
    if quoted.kind == "part" and quoted.parts and wanted.kind == "" and wanted.unit is None and wanted.is_exact:
        return Relation.SAME if wanted.low in {quoted.parts[0], quoted.low} else Relation.OTHER
    if quoted.kind == "times" and not is_equal:
        return Relation.OTHER if is_attached else Relation.APART
    return None


def _relate_units(wanted: Quantity, quoted: Quantity, key: Key) -> Relation:
    ours, theirs = wanted.unit or key.unit, quoted.unit
    ours, theirs = _settle_pounds(ours, theirs)
    if quoted.kind == "part" and theirs is None:
        return _relate_part(wanted, quoted, ours)
    if ours is None and theirs is None:
        return _compare(wanted, quoted, key)
    if ours is None or theirs is None:
        return _relate_one_unit(wanted, quoted, key)
    if ours.dimension == theirs.dimension:
        if ours.name == theirs.name:
            return _compare(wanted, quoted, key)
        return _compare(wanted, _converted(quoted, theirs, ours), key, is_converted=True)
    return _relate_dimensions(wanted, quoted, key, ours, theirs)


def _settle_pounds(ours: Unit | None, theirs: Unit | None) -> tuple[Unit | None, Unit | None]:
    """Resolve a pound to weight or money, whichever the other side is."""
    if ours is POUND and theirs is not None and theirs is not POUND:
        ours = UNITS["gbp"] if theirs.dimension.startswith("money") else UNITS["lb"]
    elif theirs is POUND and ours is not None and ours is not POUND:
        theirs = UNITS["gbp"] if ours.dimension.startswith("money") else UNITS["lb"]
    return ours, theirs


def _relate_part(wanted: Quantity, quoted: Quantity, ours: Unit | None) -> Relation:
    """Compare with a fraction such as a half, two thirds or one in five."""
    if wanted.low is None or quoted.low is None:
        return Relation.APART
    share = (
        ARITHMETIC.multiply(quoted.low, _HUNDRED) if ours is not None and ours.dimension == "percent" else quoted.low
    )
    if abs(wanted.low - share) <= share / 100:
        return Relation.SAME
    if ours is None and wanted.kind == "part":
        return Relation.OTHER
    return Relation.OTHER if ours is not None and ours.dimension == "percent" else Relation.APART


def _relate_one_unit(wanted: Quantity, quoted: Quantity, key: Key) -> Relation:
    relation = _compare(wanted, quoted, key)
    if quoted.unit is None:
        if relation is Relation.SAME:
            return relation if wanted.unit is None else Relation.UNIT_MISSING
        if relation is not Relation.OTHER:
            return relation
        is_money = wanted.unit is not None and wanted.unit.dimension.startswith("money")
        return (
            Relation.APART
            if is_money and quoted.low is not None and quoted.low < 32 and not quoted.is_scaled
            else relation
        )
    if relation is not Relation.OTHER or quoted.unit is None:
        return relation
    return _without_our_unit(wanted, quoted, key)


def _without_our_unit(wanted: Quantity, quoted: Quantity, key: Key) -> Relation:
    """Compare a different number that has a unit with a value that has none."""
    unit = quoted.unit
    if unit is None or wanted.low is None or quoted.low is None or not wanted.low or not quoted.low:
        return Relation.OTHER
    if quoted.may_be_millions and wanted.low == ARITHMETIC.multiply(quoted.low, _MILLION):
        return Relation.SAME
    dimension = _DIMENSION_OF_KEYS.get(unit.dimension, unit.dimension.partition(":")[0])
    if key.dimension and key.dimension != dimension and not (key.dimension == "count" and quoted.may_be_millions):
        return Relation.OTHER if dimension == "points" else Relation.APART
    if dimension == "percent" and ARITHMETIC.multiply(wanted.low, _HUNDRED) == quoted.low:
        return Relation.SAME if not _SHARES.isdisjoint(key.words) else Relation.NEAR_UNIT
    steps = _STEPS.get(unit.name) or _STEPS.get(dimension, frozenset())
    fits = steps and (
        ARITHMETIC.divide(wanted.low, quoted.low) in steps or ARITHMETIC.divide(quoted.low, wanted.low) in steps
    )
    return Relation.NEAR_UNIT if fits else Relation.OTHER


def _relate_dimensions(wanted: Quantity, quoted: Quantity, key: Key, ours: Unit, theirs: Unit) -> Relation:
    if (
        ours.dimension.startswith("money")
        and theirs.dimension.startswith("money")
        and "/" not in ours.dimension + theirs.dimension
    ):
        return Relation.OTHER
    raw = _compare(wanted, quoted, key)
    if ours.dimension.split("/")[0] == theirs.dimension.split("/")[0] or {ours.dimension, theirs.dimension} == {
        "angle",
        "temperature",
    }:
        return raw
    if {ours.dimension, theirs.dimension} == {"time", "months"}:
        return (
            Relation.NEAR_UNIT
            if raw is not Relation.SAME and _is_near_duration(wanted, quoted, ours, theirs)
            else Relation.OTHER
        )
    if quoted.may_be_millions and theirs.name == "m":
        return (
            Relation.SAME
            if wanted.low is not None and quoted.low is not None and wanted.low == quoted.low * _MILLION
            else Relation.APART
        )
    return Relation.OTHER if raw is Relation.SAME else Relation.APART


def _is_near_duration(wanted: Quantity, quoted: Quantity, ours: Unit, theirs: Unit) -> bool:
    """Whether durations in days and months are about equal."""
    if not wanted.is_exact or not quoted.is_exact or wanted.low is None or quoted.low is None:
        return False
    month = Decimal(2629746)
    first = wanted.low * ours.factor * (month if ours.dimension == "months" else 1)
    second = quoted.low * theirs.factor * (month if theirs.dimension == "months" else 1)
    return abs(first - second) <= abs(second) / 20


def _converted(quoted: Quantity, theirs: Unit, ours: Unit) -> Quantity:
    return Quantity(
        _convert(quoted.low, theirs, ours),
        _convert(quoted.high, theirs, ours),
        quoted.start,
        quoted.end,
        kind=quoted.kind,
        is_approximate=quoted.is_approximate,
    )


def _convert(number: Decimal | None, theirs: Unit, ours: Unit) -> Decimal | None:
    if number is None:
        return None
    in_own = ARITHMETIC.add(ARITHMETIC.multiply(number, theirs.factor), theirs.offset)
    return ARITHMETIC.divide(ARITHMETIC.subtract(in_own, ours.offset), ours.factor)


def _compare(wanted: Quantity, quoted: Quantity, key: Key, *, is_converted: bool = False) -> Relation:
    """Compare the bare numbers, bounds and ranges."""
    if wanted.is_exact and quoted.is_exact:
        return _compare_exact(wanted, quoted, key, is_converted=is_converted)
    if wanted.is_exact:
        return _compare_with_range(wanted.low, quoted, key)
    if quoted.is_exact:
        return _compare_range_with(wanted, quoted.low)
    return _compare_ranges(wanted, quoted, is_converted=is_converted)


def _compare_exact(wanted: Quantity, quoted: Quantity, key: Key, *, is_converted: bool) -> Relation:
    ours, theirs = wanted.low, quoted.low
    if ours is None or theirs is None:
        return Relation.APART
    if ours == theirs or (
        key.scale != 1 and not wanted.is_scaled and ARITHMETIC.multiply(ours, Decimal(key.scale)) == theirs
    ):
        return Relation.SAME
    if is_converted and _rounds_to(theirs, ours):
        return Relation.SAME
    if is_converted and abs(ARITHMETIC.subtract(ours, theirs)) <= abs(theirs) / 200:
        return Relation.SAME
    if quoted.may_be_millions and ours == ARITHMETIC.multiply(theirs, _MILLION):
        return Relation.SAME
    if wanted.may_be_millions and theirs == ARITHMETIC.multiply(ours, _MILLION):
        return Relation.SAME
    if ours in {quoted.other} or theirs in {wanted.other}:
        return Relation.OTHER_READING
    if (
        ours
        and abs(ours - theirs) <= abs(theirs) / (12 if wanted.is_approximate else 50)
        and _rounds_to(theirs, ours, at_zeros=wanted.is_approximate or wanted.is_scaled)
    ):
        return Relation.SAME if wanted.is_approximate else Relation.ROUNDED
    if wanted.is_approximate and quoted.is_approximate and abs(ours - theirs) <= abs(theirs) / 50:
        return Relation.ROUNDED
    return Relation.OTHER


def _rounds_to(exact: Decimal, rounded: Decimal, *, at_zeros: bool = False) -> bool:
    """Whether the second is the first rounded to the digits it shows."""
    exponent = rounded.normalize(ARITHMETIC).as_tuple().exponent if at_zeros else rounded.as_tuple().exponent
    if not isinstance(exponent, int):
        return False
    step = Decimal((0, (5,), exponent - 1))
    difference = ARITHMETIC.subtract(exact, rounded).copy_abs()
    return difference <= step and (at_zeros or exponent < 0 or difference < 1)


def _compare_with_range(number: Decimal | None, quoted: Quantity, key: Key) -> Relation:
    if number is None:
        return Relation.APART
    if number == quoted.high and (not _UPPER.isdisjoint(key.words)):
        return Relation.SAME
    if number == quoted.low and (not _LOWER.isdisjoint(key.words)):
        return Relation.SAME
    if (quoted.low is not None and number < quoted.low) or (quoted.high is not None and number > quoted.high):
        return Relation.OTHER
    bound = quoted.high if quoted.low is None else quoted.low if quoted.high is None else None
    if bound is None or number == bound:
        return Relation.WITHIN
    # Nobody writes "over 2 tonnes" for 20, and a limit is the number itself.
    is_far = bound > 0 and not bound / 2 <= number <= bound * 2
    is_limit = not (_UPPER if quoted.low is None else _LOWER).isdisjoint(key.words)
    return Relation.OTHER if is_far or is_limit else Relation.WITHIN


def _compare_range_with(wanted: Quantity, number: Decimal | None) -> Relation:
    if number is None:
        return Relation.APART
    if (wanted.low is not None and number < wanted.low) or (wanted.high is not None and number > wanted.high):
        return Relation.OTHER
    if wanted.kind == "decade" or wanted.low is None or wanted.high is None:
        return Relation.SAME if wanted.kind == "decade" or number in {wanted.low, wanted.high} else Relation.WITHIN
    return Relation.WITHIN


def _compare_ranges(wanted: Quantity, quoted: Quantity, *, is_converted: bool) -> Relation:
    def is_same(ours: Decimal | None, theirs: Decimal | None) -> bool:
        if ours is None or theirs is None:
            return ours is theirs
        return ours == theirs or (is_converted and abs(ours - theirs) <= abs(theirs) / 200)

    if is_same(wanted.low, quoted.low) and is_same(wanted.high, quoted.high):
        return Relation.SAME
    is_vague = {"vague", "decade"} & {wanted.kind, quoted.kind}
    if (
        is_vague
        and (wanted.low or 0) <= (quoted.high or wanted.low or 0)
        and (quoted.low or 0) <= (wanted.high or quoted.low or 0)
    ):
        return (
            Relation.SAME
            if wanted.kind == "decade"
            and (wanted.low or 0) <= (quoted.low or 0)
            and (quoted.high or 0) <= (wanted.high or 0)
            else Relation.WITHIN
        )
    return Relation.OTHER
