"""English number words, their values, and how they combine."""

from decimal import Decimal
from typing import NamedTuple

from derive.proofs.literals import ARITHMETIC

SMALL = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
TENS = {
    word: 10 * number
    for number, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
TENS["fourty"] = 40
SCALES = {
    "hundred": 100,
    "thousand": 1_000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "quadrillion": 10**15,
    "dozen": 12,
    "gross": 144,
    "lakh": 10**5,
    "crore": 10**7,
    "millions": 10**6,
    "billions": 10**9,
    "mn": 10**6,
    "mln": 10**6,
    "mio": 10**6,
    "bn": 10**9,
    "bln": 10**9,
    "tn": 10**12,
    "trn": 10**12,
    "mm": 10**6,
    "tausend": 10**3,
    "mille": 10**3,
    **dict.fromkeys(("millionen", "milioni", "millones", "miljoen"), 10**6),
    **dict.fromkeys(("milliarde", "milliarden", "milliard", "milliards", "miliardi", "miljard"), 10**9),
    "lakhs": 10**5,
    "crores": 10**7,
}
_SPOKEN_SCALES = frozenset(
    "hundred thousand million billion trillion quadrillion dozen lakh crore lakhs crores".split()
)
GROUPS = {
    "couple": 2,
    "pair": 2,
    "dozen": 12,
    "trio": 3,
    "quartet": 4,
    "quintet": 5,
    "sextet": 6,
    "twin": 2,
    "twins": 2,
    "duo": 2,
    "triplets": 3,
}
TIMES = {"once": 1, "twice": 2, "thrice": 3}
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
).split()
ORDINALS = {word: number for number, word in enumerate(_ORDINALS) if number}
ORDINALS |= {word[:-1] + "ieth": number for word, number in TENS.items()}
ORDINALS |= {"hundredth": 100, "thousandth": 1000}
PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4}
PARTS |= {word + ending: number for word, number in ORDINALS.items() if 2 < number <= 20 for ending in ("", "s")}
VAGUE = {
    "dozens": (24, 144),
    "scores": (40, 200),
    "hundreds": (200, 1_000),
    "thousands": (2_000, 10**6),
    "several": (3, 20),
}
DECADES = {word[:-1] + "ies": number for word, number in TENS.items()}
STARTERS = frozenset(
    {*SMALL, *TENS, *GROUPS, *ORDINALS, *PARTS, *VAGUE, *DECADES, *TIMES, "a", "an", "hundred", "thousand"}
)
"""Words that a number may begin with."""


class Spoken(NamedTuple):
    """A number in words: its bounds, the token after it, and whether it is an ordinal, a year, or vague."""

    low: Decimal
    high: Decimal
    end: int
    kind: str = ""


def spoken_number(words: list[str], at: int) -> Spoken | None:
    """Read the number that begins at this token, if any ("two hundred and six", "half a million", "a dozen")."""
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if word in {"a", "an"}:
        return _after_article(words, at, following)
    if word in VAGUE:
        low, high = VAGUE[word]
        if following == "of" and words[at + 2 : at + 3] and words[at + 2] in {"thousands", "millions"}:
            return Spoken(Decimal(10_000), Decimal(10**9), at + 3, "vague")
        return Spoken(Decimal(low), Decimal(high), at + 1, "vague")
    if word in DECADES:
        return Spoken(Decimal(DECADES[word]), Decimal(DECADES[word] + 9), at + 1, "decade")
    if word in TIMES:
        return _exact(TIMES[word], at + 1, "times")
    if word == "half":
        return _half(words, at)
    if word in GROUPS and word != "dozen":
        return _exact(GROUPS[word], at + 1, "group")
    if word in ORDINALS:
        return _exact(ORDINALS[word], at + 1, "ordinal")
    if word in PARTS and word not in SMALL:
        return None
    return _cardinal(words, at)


def _exact(number: int | Decimal, end: int, kind: str = "") -> Spoken:
    value = Decimal(number)
    return Spoken(value, value, end, kind)


def _after_article(words: list[str], at: int, following: str) -> Spoken | None:
    if following == "half" and words[at + 2 : at + 3] and words[at + 2] in _SPOKEN_SCALES:
        return _half(words, at + 1)
    if following in _SPOKEN_SCALES:
        return _cardinal(words, at + 1)
    if following in GROUPS:
        return _exact(GROUPS[following], at + (3 if words[at + 2 : at + 3] == ["of"] else 2), "group")
    if following in PARTS and words[at + 2 : at + 3] in ([], ["of"]):
        return _exact(ARITHMETIC.divide(Decimal(1), Decimal(PARTS[following])), at + 2, "part")
    if following == "few" and words[at + 2 : at + 3] and words[at + 2] in _SPOKEN_SCALES:
        scale = Decimal(SCALES[words[at + 2]])
        return Spoken(2 * scale, 10 * scale, at + 3, "vague")
    return None


def _half(words: list[str], at: int) -> Spoken | None:
    end = at + 1
    if words[end : end + 1] == ["-"]:
        end += 1
    if words[end : end + 1] in (["a"], ["an"]):
        end += 1
    if words[end : end + 1] and words[end] in _SPOKEN_SCALES:
        return _exact(ARITHMETIC.divide(Decimal(SCALES[words[end]]), Decimal(2)), end + 1)
    return _exact(Decimal("0.5"), at + 1 if end == at + 1 else end, "part")


def _cardinal(words: list[str], at: int) -> Spoken | None:  # noqa: C901, PLR0912 (one grammar, read in one place)
    total = group = 0
    last = ""
    end = at
    start = at
    count = len(words)
    while at < count and at - start < 40:
        word = words[at]
        if word in SMALL:
            number = SMALL[word]
            if last == "small" or (last == "tens" and not 0 < number < 10):
                break
            group += number
            last = "small"
        elif word in TENS:
            if last in {"small", "tens"}:
                break
            group += TENS[word]
            last = "tens"
        elif word == "hundred":
            group = (group or 1) * 100
            last = "scale"
        elif word in _SPOKEN_SCALES:
            total += (group or 1) * SCALES[word]
            group = 0
            last = "scale"
        elif (word == "-" and last == "tens") or (word == "and" and last == "scale"):
            following = words[at + 1] if at + 1 < count else ""
            if following not in SMALL and (following not in TENS or word == "-"):
                break
            at += 1
            continue
        else:
            break
        at += 1
        end = at
    if not last:
        return None
    if total == 0 and 10 <= group < 100:
        year = _spoken_year(words, end, group)
        if year:
            return year
    return _with_fraction(words, end, Decimal(total + group))


def _spoken_year(words: list[str], at: int, century: int) -> Spoken | None:
    """Read the second half of "nineteen eighty-four"."""
    if words[at : at + 1] == ["-"]:
        at += 1
    word = words[at] if at < len(words) else ""
    if word in TENS or SMALL.get(word, 0) >= 10:
        rest = TENS.get(word) or SMALL[word]
        end = at + 1
        unit = end + 1 if words[end : end + 1] == ["-"] else end
        if word in TENS and unit < len(words) and 0 < SMALL.get(words[unit], 0) < 10:
            rest += SMALL[words[unit]]
            end = unit + 1
        return _exact(century * 100 + rest, end, "year")
    if word in {"oh", "o"} and at + 1 < len(words) and 0 < SMALL.get(words[at + 1], 0) < 10:
        return _exact(century * 100 + SMALL[words[at + 1]], at + 2, "year")
    return None


def _with_fraction(words: list[str], end: int, number: Decimal) -> Spoken:
    """Read what may follow an integer: "and a half", "thirds", or a scale."""
    if words[end : end + 2] in (["and", "a"], ["and", "one"]) and words[end + 2 : end + 3] and words[end + 2] in PARTS:
        number += ARITHMETIC.divide(Decimal(1), Decimal(PARTS[words[end + 2]]))
        end += 3
        if words[end : end + 1] and words[end] in _SPOKEN_SCALES:
            return _exact(number * SCALES[words[end]], end + 1)
        return _exact(number, end)
    part = end + 1 if words[end : end + 1] == ["-"] else end
    if 0 < number < 20 and part < len(words) and words[part] in PARTS and words[part] != "second":
        return _exact(ARITHMETIC.divide(number, Decimal(PARTS[words[part]])), part + 1, "part")
    if words[end : end + 1] == ["point"]:
        digits = ""
        while end + 1 < len(words) and SMALL.get(words[end + 1], 10) < 10 and len(digits) < 12:
            digits += str(SMALL[words[end + 1]])
            end += 1
        if digits:
            number += Decimal("0." + digits)
            end += 1
            if words[end : end + 1] and words[end] in _SPOKEN_SCALES:
                return _exact(number * SCALES[words[end]], end + 1)
            return _exact(number, end)
        return _exact(number, end)
    if part > end and part < len(words) and words[part] in ORDINALS and number % 10 == 0 and ORDINALS[words[part]] < 10:
        return _exact(number + ORDINALS[words[part]], part + 1, "ordinal")
    return _exact(number, end)
