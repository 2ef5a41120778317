"""Compares two values regardless of their notation."""

from dataclasses import replace
from decimal import localcontext

from derive.proofs.comparing import Relation, relate
from derive.proofs.date import is_same_date
from derive.proofs.judgement import Context
from derive.proofs.judging import choose_rule
from derive.proofs.keys import Key, key_of
from derive.proofs.literals import ARITHMETIC
from derive.proofs.polarity import truth_of
from derive.proofs.quantities import quantities
from derive.proofs.quantity import Quantity
from derive.proofs.reading import MAX_CHARACTERS, read
from derive.proofs.stems import stem
from derive.proofs.word_matching import GRAMMAR


def same_value(first: object, second: object, context: Context = Context()) -> bool:  # noqa: B008 (frozen)
    """Return whether two values of one key are equal regardless of notation; never raises.

    "1,000", 1000 and "one thousand" are the same, as are "1.72 m" and "172 cm", "3 May 1998" and "1998-05-03",
    "Tatooine" and "tatooine", and two synonyms of one choice. A more precise value is another value: "1998" is not
    "May 1998". The relation is symmetric, and transitive except for rounded conversions of units.
    """
    ours, theirs = text_of(first), text_of(second)
    if plain_text(ours) == plain_text(theirs):
        return True
    if not ours.strip() or not theirs.strip() or max(len(ours), len(theirs)) > MAX_CHARACTERS:
        return False
    if context.choices:
        choice = choice_of(ours, context)
        if choice is not None and choice == choice_of(theirs, context):
            return True
    truth = truth_of(ours)
    if truth is not None and truth_of(theirs) is truth and not (ours.strip().isdigit() and theirs.strip().isdigit()):
        return True
    with localcontext(ARITHMETIC):
        return _same_by_rule(ours, theirs, context)


def _same_by_rule(ours: str, theirs: str, context: Context) -> bool:
    rules = {choose_rule(ours, context), choose_rule(theirs, context)}
    if "identifier" in rules or "choice" in rules:
        return False
    if "date" in rules:
        is_same = is_same_date(ours, theirs)
        if is_same or rules == {"date"}:
            return is_same
    return content_words(ours) == content_words(theirs) and _same_quantities(ours, theirs, context)


def plain_text(text: str) -> str:
    """Return the text's tokens in lower case, separated by single spaces."""
    return " ".join(read(text).low) if len(text) <= MAX_CHARACTERS else text


def choice_of(text: str, context: Context) -> str | None:
    """Return the choice that a text names, directly or by a synonym; None for any other text."""
    plain = plain_text(text)
    for choice, synonyms in context.choices.items():
        if plain == plain_text(choice) or any(plain == plain_text(synonym) for synonym in synonyms):
            return choice
    return None


def _same_quantities(first: str, second: str, context: Context) -> bool:
    ours, theirs = quantities(first), quantities(second)
    if len(ours) != len(theirs):
        return False
    key = key_of(context.key, context.unit)
    ours, theirs = (tuple(_with_unit(one, key) for one in found) for found in (ours, theirs))
    return all(
        relate(one, other, key) is Relation.SAME and relate(other, one, key) is Relation.SAME
        for one, other in zip(ours, theirs, strict=True)
    )


def _with_unit(quantity: Quantity, key: Key) -> Quantity:
    return quantity if quantity.unit is not None or key.unit is None else replace(quantity, unit=key.unit)


def content_words(text: str) -> list[str]:
    """Return the stems of a text's words outside its quantities."""
    taken = {at for one in quantities(text) for at in range(one.start, one.end)}
    words = read(text).low
    return [
        stem(word) for at, word in enumerate(words) if at not in taken and word[0].isalpha() and word not in GRAMMAR
    ]


def text_of(value: object) -> str:
    """Return a scalar value as text; empty for null and for an integer of over 400 digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**400:
        return ""
    return value if isinstance(value, str) else "" if value is None else str(value)
