"""The canonical form of a value, which is the same for equal values so that a database can compare them."""

import hashlib
import json
from decimal import Context as DecimalContext
from decimal import Decimal, localcontext

from derive.proofs.calendar_date import Date
from derive.proofs.date import in_full
from derive.proofs.date_reading import dates
from derive.proofs.judgement import Context
from derive.proofs.judging import choose_rule
from derive.proofs.keys import Key, key_of
from derive.proofs.literals import ARITHMETIC
from derive.proofs.polarity import truth_of
from derive.proofs.quantities import quantities
from derive.proofs.quantity import Quantity
from derive.proofs.reading import MAX_CHARACTERS
from derive.proofs.same_value import choice_of, content_words, plain_text, text_of
from derive.proofs.times_of_day import times_of_day

MAX_UNITS = 400
"""UTF-16 code units of a form; a longer one is replaced by its hash."""
_DIGITS = 12
"""Significant digits kept of a number that a conversion of units left with a fraction."""
_ROUNDED = DecimalContext(prec=_DIGITS, traps=[])
_AS_NUMBERS = frozenset({"year", "part"})
_RANKS = frozenset("rank position place edition floor generation round number grade stage phase season".split())


def value_key(value: object, context: Context = Context()) -> str:  # noqa: B008 (frozen)
    """Return a text that two values of one key share if ``same_value`` considers them equal; never raises.

    It has at most 400 UTF-16 code units and no outer white space. If ``same_value`` rounds ("5 ft 11 in" and "180 cm")
    or a text is ambiguous ("12m"), equal values have different keys, and a person has to decide.
    """
    if isinstance(value, list | tuple):
        return _bounded("list " + json.dumps(sorted(value_key(member, context) for member in value)))
    if isinstance(value, dict):
        return _bounded("object " + json.dumps(value, sort_keys=True, default=str))
    text = text_of(value)
    if len(text) > MAX_CHARACTERS:
        return _bounded(f"text {text}")
    return _bounded(_form(text, context))


def _form(text: str, context: Context) -> str:
    choice = choice_of(text, context) if context.choices else None
    if choice is not None:
        return f"choice {choice}"
    truth = truth_of(text)
    if truth is not None and not text.strip().isdigit():
        return f"truth {truth}"
    with localcontext(ARITHMETIC):
        rule = choose_rule(text, context)
        if rule in {"identifier", "choice"}:
            return f"text {plain_text(text)}"
        if rule == "date":
            date = _date_form(text)
            if date is not None:
                return date
        found = quantities(text)
        words = content_words(text)
        if not found and not words:
            return f"text {plain_text(text)}"
        key = key_of(context.key, context.unit)
        return " ".join(["value", *words, *(_quantity_form(one, key) for one in found)])


def _date_form(text: str) -> str | None:
    """Return the form of a value that names dates; None if a date is ambiguous."""
    found = dates(in_full(text))
    if not found or any(one.other is not None for one in found):
        return None
    times = times_of_day(text)
    return " ".join(["date", *map(_one_date, found), *([repr(times)] if times else [])])


def _one_date(date: Date) -> str:
    if not date.is_dated:
        return f"{date.month}/{date.day}"
    return f"{date.line}:{date.first}..{date.last}"


def _quantity_form(quantity: Quantity, key: Key) -> str:
    unit = quantity.unit or key.unit
    kind = quantity.kind
    if kind in _AS_NUMBERS or (kind == "ordinal" and not _RANKS.isdisjoint(key.words)):
        kind = ""
    if quantity.parts:
        return f"{kind}{'/'.join(map(_number, quantity.parts))}"
    bounds = [quantity.low] if quantity.is_exact else [quantity.low, quantity.high]
    if unit is not None:
        bounds = [_in_own_unit(bound, unit.factor, unit.offset) for bound in bounds]
    shown = "..".join("" if bound is None else _number(bound) for bound in bounds)
    return f"{kind}{shown}" + (f"[{unit.dimension}]" if unit is not None else "")


def _in_own_unit(number: Decimal | None, factor: Decimal, offset: Decimal) -> Decimal | None:
    if number is None:
        return None
    own = ARITHMETIC.add(ARITHMETIC.multiply(number, factor), offset)
    return own if own == own.to_integral_value() else _ROUNDED.plus(own)


def _number(number: Decimal) -> str:
    if number.is_zero():
        return "0"
    plain = number.normalize(ARITHMETIC)
    return f"{plain:f}" if -_DIGITS <= plain.adjusted() <= MAX_UNITS else str(plain)


def _bounded(form: str) -> str:
    form = form.rstrip()
    if 2 * len(form) <= MAX_UNITS or len(form.encode("utf-16-le", errors="replace")) <= 2 * MAX_UNITS:
        return form
    return "sha256 " + hashlib.sha256(form.encode(errors="replace")).hexdigest()
