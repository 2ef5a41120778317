"""Chooses the rule for a value and judges it."""

from collections.abc import Callable, Mapping
from decimal import localcontext
from functools import lru_cache
from types import MappingProxyType

from derive.proofs.choice import judge_choice
from derive.proofs.date import is_date, judge_date
from derive.proofs.identifier import judge_identifier, looks_like_identifier
from derive.proofs.judgement import Context, Judgement, undecided, worst
from derive.proofs.keys import key_of
from derive.proofs.literals import ARITHMETIC
from derive.proofs.number import judge_number
from derive.proofs.polarity import judge_polarity, truth_of
from derive.proofs.quantities import quantities
from derive.proofs.reading import MAX_CHARACTERS, read
from derive.proofs.word_matching import GRAMMAR
from derive.proofs.words import judge_words

Rule = Callable[[str, str, Context], Judgement]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "number": judge_number,
        "date": judge_date,
        "words": judge_words,
        "choice": judge_choice,
        "polarity": judge_polarity,
        "identifier": judge_identifier,
    }
)
_YEARS = frozenset("year born birth died death founded established date launched published since released".split())
_NOUNS_IN_A_NUMBER = 2
_IDENTIFIER_KEYS = frozenset(
    "id code sku isbn issn iban phone telephone fax mobile email url uri website serial vin plate ssn postcode "
    "zip version "
    "hash sha256 uuid ip hostname callsign doi ean commit bic swift".split()
)
_NUMBERED = frozenset(
    "invoice order ticket account reference case flight passport licence license policy file docket contract "
    "serial part "
    "article room customer tracking registration patent".split()
)
_LONGEST_NUMBER = 120
_MOST_MEMBERS = 50


def judge(value: object, quote: str, context: Context = Context()) -> Judgement:  # noqa: B008 (frozen)
    """Judge whether a quote supports a value; never raises, whatever the texts contain.

    ``value`` is any JSON value; each member of a list is judged, and the worst judgement counts. The judgement's
    ``proof`` names the rule used.
    """
    if isinstance(value, list | tuple):
        if not value:
            return undecided("The value is an empty list.")
        return worst([judge(member, quote, context) for member in value[:_MOST_MEMBERS]])
    if isinstance(value, dict):
        return undecided("The value is an object, which no rule judges.")
    text = _text_of(value)
    if len(text) > MAX_CHARACTERS or len(quote) > MAX_CHARACTERS:
        return undecided(f"The value or the quote is longer than {MAX_CHARACTERS} characters.")
    if not text.strip() or not quote.strip():
        return undecided("The value or the quote is empty.")
    # The caller's decimal context might round, or raise on rounding.
    with localcontext(ARITHMETIC):
        proof = choose_rule(text, context)
        judgement = RULES[proof](text, quote, context)
    return Judgement(judgement.verdict, judgement.why, proof)


def choose_rule(value: str, context: Context = Context()) -> str:  # noqa: B008 (frozen)
    """Return the name of the rule for a value: the one its field declares, else the one its form suggests."""
    if context.proof in RULES:
        return context.proof
    if context.choices:
        return "choice"
    if truth_of(value) is not None and not value.strip().isdigit():
        return "polarity"
    return _rule_by_form(value, context.key, context.unit)


@lru_cache(maxsize=1_024)
def _rule_by_form(value: str, key_name: str, unit: str) -> str:
    key = key_of(key_name, unit)
    has_digit = any(map(str.isdigit, value))
    if (
        "@" in value
        or "://" in value
        or (has_digit and (looks_like_identifier(value) or _asks_for_identifier(key.words, value)))
    ):
        return "identifier"
    stripped = value.strip()
    if stripped.isdigit() and len(stripped) <= 4:
        return "date" if not _YEARS.isdisjoint(key.words) and key.unit is None else "number"
    if len(stripped) > _LONGEST_NUMBER:
        return "words"
    if "age" not in key.words and is_date(value):
        return "date"
    return "number" if _is_number(value) else "words"


def _asks_for_identifier(words: frozenset[str], value: str) -> bool:
    is_asked = not _IDENTIFIER_KEYS.isdisjoint(words)
    is_asked = is_asked or (not words.isdisjoint({"no", "number", "nr", "ref"}) and not _NUMBERED.isdisjoint(words))
    return is_asked and all(one.unit is None for one in quantities(value)) and not is_date(value)


def _is_number(value: str) -> bool:
    """Whether a value is one or more quantities with at most two nouns of their own."""
    found = quantities(value)
    if not found or all(one.kind in {"none", "group", "times"} or one.is_weak for one in found):
        return False
    reading = read(value)
    if sum(one.end - one.start for one in found) == len(reading.low):
        return True
    taken = {at for one in found for at in range(one.start, one.end)}
    rest = [
        word for at, word in enumerate(reading.low) if at not in taken and word[0].isalpha() and word not in GRAMMAR
    ]
    if any(one.kind == "ordinal" for one in found) and rest:
        return False
    return len(rest) <= _NOUNS_IN_A_NUMBER * len(found) and not any(
        reading.raw[at][0].isupper() for at in range(len(reading)) if at not in taken and reading.low[at] not in GRAMMAR
    )


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, int) and abs(value) >= 10**400:
        return ""
    return str(value)
