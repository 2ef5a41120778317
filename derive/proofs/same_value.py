"""Whether two values say the same, whatever their notation."""

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
from derive.proofs.standing import GRAMMAR
from derive.proofs.stems import stem


def same_value(first: object, second: object, context: Context = Context()) -> bool:  # noqa: B008 (frozen)
    """Return whether two values of one key are equal once notation is set aside; never raises.

    "1,000", 1000 and "one thousand" are the same, as are "1.72 m" and "172 cm", "3 May 1998" and "1998-05-03",
    "Tatooine" and "tatooine", and two synonyms of one choice. A more precise value is another value: "1998" is not
    "May 1998". The relation is symmetric. It is transitive but for rounded conversions of units.
    """
    ours, theirs = _text_of(first), _text_of(second)
    if _plain(ours) == _plain(theirs):
        return True
    if not ours.strip() or not theirs.strip() or max(len(ours), len(theirs)) > MAX_CHARACTERS:
        return False
    if context.choices and _choice(ours, context) == _choice(theirs, context):
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
    if "date" in rules and is_same_date(ours, theirs):
        return True
    return _words(ours) == _words(theirs) and _same_quantities(ours, theirs, context)


def _plain(text: str) -> str:
    return " ".join(read(text).low) if len(text) <= MAX_CHARACTERS else text


def _choice(text: str, context: Context) -> str:
    plain = _plain(text)
    for choice, synonyms in context.choices.items():
        if plain == _plain(choice) or any(plain == _plain(synonym) for synonym in synonyms):
            return choice
    return text


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


def _words(text: str) -> list[str]:
    """Return the stems of a text's words outside its quantities."""
    taken = {at for one in quantities(text) for at in range(one.start, one.end)}
    words = read(text).low
    return [
        stem(word) for at, word in enumerate(words) if at not in taken and word[0].isalpha() and word not in GRAMMAR
    ]


def _text_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**400:
        return ""
    return value if isinstance(value, str) else "" if value is None else str(value)
