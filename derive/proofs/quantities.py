"""Finds the quantities in a text: numbers with sign, scale, unit, bounds and range."""

import re
from decimal import Decimal
from functools import lru_cache

from derive.proofs.bounds import read_bounds_after, read_bounds_before
from derive.proofs.digits import (
    GLUED_SCALES,
    end_of_code,
    is_in_code,
    sequence_at,
    spaced_thousands,
    with_exponent,
    with_fraction,
)
from derive.proofs.joining import join
from derive.proofs.literals import ARITHMETIC, read_literal, reads_decimal_commas
from derive.proofs.number_words import SCALES, STARTERS, spoken_number
from derive.proofs.quantity import Quantity
from derive.proofs.reading import Reading, read
from derive.proofs.units import CURRENCY_CODES, SYMBOLS, UNITS, unit_at

_DIGIT = re.compile(r"\d")
_NONE = frozenset({"no", "without", "none", "nil"})
_NUMBER_WORDS = (STARTERS | _NONE | {*SCALES}) - {"a", "an"}
_OPENERS = STARTERS | _NONE
_MOST = 50
"""Maximum number of quantities read from one text; a longer list proves nothing about one of them."""
_YEAR_CUES = frozenset(
    "in since until till during from by of circa before after around about early late mid between spring "
    "summer autumn "
    "fall winter year jan feb mar apr may jun jul aug sep sept oct nov dec january february march april june "
    "july august "
    "september october november december ( , -".split()
)
_NOT_NOUNS = frozenset(
    "and or in to the of at by for on with from when after before until as but a an is was were he she it "
    "they his her "
    "their its while who which that under through during has had where".split()
)
_TIME_WORDS = frozenset({"am", "pm", "o'clock"})
_DECADE_OPENERS = frozenset("the his her their my your early mid late ' -".split())
_PARTS_OF_A_DECADE = {"early": (0, 3), "mid": (4, 6), "late": (7, 9)}
_PRONOUN_BEFORE = frozenset("no the this that any every which each another".split())
_PRONOUN_AFTER = frozenset("of another day who that which side or".split())


@lru_cache(maxsize=1_024)
def quantities(text: str) -> tuple[Quantity, ...]:
    """Return the quantities in a text, in order."""
    reading = read(text)
    if not _DIGIT.search(reading.text) and _NUMBER_WORDS.isdisjoint(reading.low):
        return ()
    found: list[Quantity] = []
    low = reading.low
    has_decimal_commas = reads_decimal_commas(low)
    done = 0
    for start, word in enumerate(low):
        if start < done or not ("0" <= word[0] <= "9" or word in _OPENERS):
            continue
        quantity: Quantity | None = None
        if "0" <= word[0] <= "9":
            quantity, done = _in_digits(reading, start, decimal_commas=has_decimal_commas)
        elif word in STARTERS:
            quantity, done = _in_words(reading, start)
        else:
            quantity = Quantity(Decimal(0), Decimal(0), start, start + 1, kind="none", is_weak=True)
        if quantity is None:
            continue
        joined = join(reading, found[-1], quantity) if found else None
        if joined is not None:
            found[-1] = joined
        else:
            found.append(quantity)
            if len(found) == _MOST:
                break
    return tuple(found)


def _in_digits(reading: Reading, at: int, *, decimal_commas: bool) -> tuple[Quantity | None, int]:
    """Read the number in digits at a token; return it, if there is one, and the next token to read."""
    if is_in_code(reading, at):
        return None, end_of_code(reading, at)
    literal = read_literal(reading.raw[at], decimal_commas=decimal_commas)
    if literal is None:
        return None, at + 1
    number, other = literal
    end = at + 1
    if len(reading.raw[at]) <= 3:
        number, end = spaced_thousands(reading, at) or (number, end)
    sequence = sequence_at(reading, at, end)
    if sequence is not None:
        return sequence, sequence.end
    number, end = with_fraction(reading, number, end)
    number, end = with_exponent(reading, number, end)
    quantity = Quantity(number, number, at, end, other=other)
    if reading.word(end) in _TIME_WORDS or reading.low[end : end + 4] in (["a", ".", "m", "."], ["p", ".", "m", "."]):
        # A time of day does not count anything.
        return Quantity(None, None, at, end + 1, kind="sequence", parts=(number,)), end + 1
    if reading.is_glued(end):
        ending = reading.low[end]
        if ending in {"st", "nd", "rd", "th"}:
            quantity.kind, quantity.end = "ordinal", end + 1
            return quantity, end + 1
        if ending == "s" and _is_decade(reading, at, number):
            return _decade(reading, number, at, end + 1), end + 1
        if ending == "'" and reading.word(end + 1) == "s" and number >= 1000 and number % 10 == 0:
            return _decade(reading, number, at, end + 2), end + 2
    _finish(reading, quantity)
    return quantity, quantity.end


def _in_words(reading: Reading, at: int) -> tuple[Quantity | None, int]:
    """Read the number in words at a token."""
    spoken = spoken_number(reading.low, at)
    if spoken is None:
        return None, at + 1
    if spoken.kind == "decade":
        return _decade(reading, spoken.low, at, spoken.end), spoken.end
    quantity = Quantity(spoken.low, spoken.high, at, spoken.end, kind=spoken.kind)
    if reading.low[at] == "one" and spoken.end == at + 1:
        quantity.is_weak = _is_pronoun(reading, at)
    if reading.low[at] in {"second", "seconds"} or spoken.kind in {"times", "group"}:
        quantity.is_weak = True
    if spoken.kind not in {"ordinal", "year"}:
        _finish(reading, quantity)
    return quantity, quantity.end


def _is_pronoun(reading: Reading, at: int) -> bool:
    """Whether the "one" at a token counts nothing ("one of them", "the one who")."""
    following = reading.word(at + 1)
    return not following[:1].isalnum() or following in _PRONOUN_AFTER or reading.word(at - 1) in _PRONOUN_BEFORE


def _is_decade(reading: Reading, at: int, number: Decimal) -> bool:
    return number % 10 == 0 and number >= 10 and (number >= 1000 or reading.word(at - 1) in _DECADE_OPENERS)


def _decade(reading: Reading, number: Decimal, at: int, end: int) -> Quantity:
    before = reading.word(at - 1)
    if before == "-":
        before = reading.word(at - 2)
    first, last = _PARTS_OF_A_DECADE.get(before, (0, 9))
    return Quantity(number + first, number + last, at, end, kind="decade")


def _finish(reading: Reading, quantity: Quantity) -> None:
    """Read the context of the number: scale, unit, currency, sign, and words that make it a bound."""
    _read_scale(reading, quantity)
    _read_unit(reading, quantity)
    at = _read_sign(reading, quantity)
    if at >= 0:
        _mark_year(reading, quantity, at)
        read_bounds_before(reading, quantity, at)
    read_bounds_after(reading, quantity)


def _read_scale(reading: Reading, quantity: Quantity) -> None:
    at = quantity.end
    if at >= len(reading.low) or quantity.low is None or quantity.high is None:
        return
    word = reading.low[at]
    if word == "-" and reading.word(at + 1) in {"million", "billion", "thousand", "hundred"}:
        at += 1
        word = reading.low[at]
    scale: int | None = None
    if word in SCALES and word not in {"gross", "mm"}:
        scale = SCALES[word]
        if reading.word(at + 1) in {"thousand", "million", "billion"}:
            at += 1
            scale *= SCALES[reading.low[at]]
    elif word in GLUED_SCALES:
        scale = _letter_scale(reading, quantity, at)
    if scale is None:
        return
    quantity.low = ARITHMETIC.multiply(quantity.low, Decimal(scale))
    quantity.high = ARITHMETIC.multiply(quantity.high, Decimal(scale))
    if quantity.other is not None:
        quantity.other = ARITHMETIC.multiply(quantity.other, Decimal(scale))
    quantity.end = at + 1
    quantity.is_scaled = True


def _letter_scale(reading: Reading, quantity: Quantity, at: int) -> int | None:
    """Return the scale that the letter after a number stands for: "5k", "£45m", but "12m" may be metres."""
    letter = reading.raw[at]
    if reading.word(quantity.start - 1) in SYMBOLS or reading.word(quantity.start - 1) in CURRENCY_CODES:
        return GLUED_SCALES[letter.lower()]
    if not reading.is_glued(at) or letter == "t":
        return None
    if letter == "m":
        quantity.may_be_millions = True
        return None
    return GLUED_SCALES[letter.lower()]


def _read_unit(reading: Reading, quantity: Quantity) -> None:
    at = quantity.end
    if at >= len(reading.low):
        return
    if quantity.kind == "part" and reading.low[at : at + 2] in (["of", "a"], ["of", "an"]):
        at += 2
    elif quantity.kind == "part" and reading.low[at] in {"a", "an"}:
        at += 1
    if at >= len(reading.low):
        return
    is_dashed = reading.low[at] == "-" and reading.is_glued(at) and reading.is_glued(at + 1)
    found = unit_at(reading, at + is_dashed)
    if found is None and reading.low[at] in {"'", '"'} and reading.is_glued(at):
        found = UNITS["ft" if reading.low[at] == "'" else "in"], at + 1
    if found is not None and not (is_dashed and found[0].name in {"m", "in", "s"}):
        quantity.unit, quantity.end = found


def _read_sign(reading: Reading, quantity: Quantity) -> int:
    """Read the currency and sign before a number; return the token before them."""
    at = quantity.start - 1
    low = reading.low
    if at >= 0 and (low[at] in SYMBOLS or low[at] in CURRENCY_CODES):
        prefix = reading.word(at - 1) if reading.is_glued(at) else ""
        is_longer = bool(prefix) and prefix + low[at] in UNITS
        quantity.unit = UNITS[prefix + low[at]] if is_longer else UNITS[low[at]]
        at -= 2 if is_longer else 1
        quantity.start = at + 1
    word = reading.word(at)
    is_sign = word in {"-", "+"} and reading.is_glued(at + 1)
    is_sign = is_sign and not (reading.is_glued(at) and reading.raw[at - 1] not in "(=:<>~,")
    if is_sign or word in {"minus", "negative", "plus"}:
        if word in {"-", "minus", "negative"}:
            quantity.negate()
        quantity.start = at
        at -= 1
        if reading.word(at) in SYMBOLS and quantity.unit is None:
            quantity.unit = UNITS[low[at]]
            at -= 1
    return at


def _mark_year(reading: Reading, quantity: Quantity, at: int) -> None:
    """Mark the year of "in 1998", which does not count anything."""
    if quantity.kind or quantity.unit is not None or quantity.is_scaled or quantity.low is None:
        return
    if len(reading.raw[quantity.start]) != 4 or not 1000 <= quantity.low <= 2199 or not quantity.is_exact:
        return
    following = reading.word(quantity.end)
    has_noun = following[:1].isalpha() and following not in _NOT_NOUNS
    if not has_noun and reading.low[at] in _YEAR_CUES:
        quantity.kind = "year"
