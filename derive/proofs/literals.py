"""Numbers in digits: separators, decimal commas, exponents."""

import re
from decimal import Context, Decimal

ARITHMETIC = Context(prec=420, Emax=9_999, Emin=-9_999, traps=[])
"""Exact for every number that is read from a text, whatever the calling thread's own context."""

_THOUSANDS = re.compile(
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?|\d{1,3}(?:'\d{3})+(?:[.,]\d+)?"
)
_POINT_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_DECIMAL = re.compile(r"\d+[.,]\d+")
_EITHER = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_FOREIGN = frozenset(
    "der die das und ist mit von einwohner den les des est une avec por los las una della che het een".split()
)
_ENGLISH = frozenset("the of and is was with to has a an at are were".split())


def reads_decimal_commas(words: list[str]) -> bool:
    """Whether a text is clearly not English, so that 1.234 means more than a thousand."""
    return not _FOREIGN.isdisjoint(words) and _ENGLISH.isdisjoint(words)


def read_literal(token: str, *, decimal_commas: bool) -> tuple[Decimal, Decimal | None] | None:
    """Return the number, and its alternative if ambiguous ("1.234"); None if it is not a number ("1.2.3")."""
    if token.isdigit():
        return (Decimal(token), None) if len(token) <= 400 else None
    if len(token) > 400:
        return None
    if _EITHER.fullmatch(token):
        many, few = Decimal(token.replace(".", "").replace(",", "")), Decimal(token.replace(",", "."))
        if "," in token:
            return (few, many) if decimal_commas else (many, None)
        return (many, few) if decimal_commas else (few, many)
    if _THOUSANDS.fullmatch(token):
        return Decimal(token.replace(",", "").replace("'", "")), None
    if _DECIMAL.fullmatch(token):
        return Decimal(token.replace(",", ".")), None
    if _POINT_THOUSANDS.fullmatch(token):
        return Decimal(token.replace(".", "").replace(",", ".")), None
    return None
