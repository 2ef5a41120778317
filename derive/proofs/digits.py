"""Numbers written in digits, and what only looks like a number: codes, times, ratios, scores."""

from decimal import Decimal

from derive.proofs.literals import ARITHMETIC, read_literal
from derive.proofs.number_words import SCALES
from derive.proofs.quantity import Quantity
from derive.proofs.reading import Reading
from derive.proofs.units import CURRENCY_CODES, UNITS, unit_at

GLUED_SCALES = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_PREFIXES = frozenset("mid pre post early late sub approx ca c circa x no nr".split()) | CURRENCY_CODES
_GLUED_BEFORE = frozenset({"us", "rs", "x", "c", "ca"}) | CURRENCY_CODES
_GLUED_AFTER = frozenset("st nd rd th s e x bby aby bc bce ad ce am pm z ish c f".split()) | {
    *SCALES,
    *GLUED_SCALES,
    *UNITS,
}
_FRACTIONS = frozenset(map(Decimal, (2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32, 64, 100)))
_LONGEST_SEQUENCE = 8


def is_in_code(reading: Reading, at: int) -> bool:
    """Whether the digits at a token are part of a name such as T-65B, R2-D2 or INV-0042."""
    low = reading.low
    if at and reading.is_glued(at):
        before = low[at - 1]
        if before == "-" and at > 1 and reading.is_glued(at - 1) and low[at - 2][0].isalpha():
            return low[at - 2] not in _PREFIXES
        if before[0].isalpha():
            return before not in _GLUED_BEFORE
        if before in {"_", "#", "@", "\\"} and at > 1 and reading.is_glued(at - 1):
            return True
    if reading.is_glued(at + 1):
        after = low[at + 1]
        return after == "_" or (after[0].isalpha() and after not in _GLUED_AFTER)
    return False


def end_of_code(reading: Reading, at: int) -> int:
    """Return the token after the code that holds this one."""
    at += 1
    while at < len(reading.low) and reading.is_glued(at) and reading.raw[at] not in ",;:()":
        at += 1
    return at


def spaced_thousands(reading: Reading, at: int) -> tuple[Decimal, int] | None:
    """Read "12 345 678", with groups separated by single spaces; return it and the token after it."""
    digits, end = reading.raw[at], at + 1
    if end == len(reading.raw) or not "0" <= reading.raw[end][0] <= "9" or digits[0] == "0":
        return None
    while (
        end < len(reading.low)
        and reading.starts[end] == reading.starts[end - 1] + len(reading.raw[end - 1]) + 1
        and len(digits) < 40
    ):
        group, _, cents = reading.raw[end].replace(",", ".").partition(".")
        if len(group) != 3 or not group.isdigit() or not (cents.isdigit() or reading.raw[end] == group):
            break
        digits += group
        end += 1
        if cents:
            return Decimal(f"{digits}.{cents}"), end
    return (Decimal(digits), end) if end > at + 1 else None


def sequence_at(reading: Reading, at: int, end: int) -> Quantity | None:
    """Read numbers that belong together: "120/80", "14:30", "2:04:35", "2021-05-03"; also "3/4"."""
    sign = reading.word(end)
    if sign not in {"/", ":", "-"} or not reading.is_glued(end):
        return None
    parts, last = [reading.raw[at]], end
    while (
        len(parts) < _LONGEST_SEQUENCE
        and reading.word(last) == sign
        and reading.is_glued(last)
        and reading.is_glued(last + 1)
        and reading.raw[last + 1][0].isdigit()
    ):
        parts.append(reading.raw[last + 1])
        last += 2
    if len(parts) < 2 or (sign == "-" and len(parts) == 2):
        return None
    literals = [read_literal(part, decimal_commas=False) for part in parts]
    numbers = tuple(literal[0] for literal in literals if literal is not None)
    if len(numbers) < len(parts):
        return None
    if sign == "/" and len(numbers) == 2 and 0 < numbers[0] < numbers[1] and numbers[1] in _FRACTIONS:
        share = ARITHMETIC.divide(numbers[0], numbers[1]).quantize(Decimal("1e-12"), context=ARITHMETIC)
        return Quantity(share, share, at, last, kind="part", parts=numbers)
    quantity = Quantity(None, None, at, last, kind="sequence", parts=numbers)
    found = unit_at(reading, last)
    if found:
        quantity.unit, quantity.end = found
    return quantity


def with_fraction(reading: Reading, number: Decimal, end: int) -> tuple[Decimal, int]:
    """Add the fraction of "5 1/2" or "5 and a half"."""
    raw = reading.raw
    if end >= len(raw):
        return number, end
    if raw[end + 1 : end + 2] == ["/"] and number < 1000 and number == int(number) and reading.is_glued(end + 1):
        above, below = raw[end], reading.word(end + 2)
        if above.isdigit() and below in {"2", "3", "4", "8", "16"} and int(above[:3]) < int(below):
            return ARITHMETIC.add(number, ARITHMETIC.divide(Decimal(int(above)), Decimal(int(below)))), end + 3
    if raw[end] == "and" and reading.low[end : end + 3] == ["and", "a", "half"]:
        return ARITHMETIC.add(number, Decimal("0.5")), end + 3
    return number, end


def with_exponent(reading: Reading, number: Decimal, end: int) -> tuple[Decimal, int]:
    """Multiply by the power of "6.02 × 10^23" or "6.02e23"."""
    if reading.word(end) == "e" and reading.is_glued(end):
        at = end + 1
    elif reading.word(end) in {"×", "x", "*", "·"} and reading.low[end + 1 : end + 3] == ["10", "^"]:
        at = end + 3
    else:
        return number, end
    sign = "-" if reading.word(at) == "-" else ""
    at += reading.word(at) in {"-", "+"}
    digits = reading.word(at)
    if not digits.isdigit() or len(digits) > 3 or not reading.is_glued(at):
        return number, end
    return number.scaleb(int(sign + digits), ARITHMETIC), at + 1
