"""The input and the result of a proof rule."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from derive.states import Verdict

__all__ = ["Context", "Judgement", "Verdict", "refuted", "shown", "supported", "undecided", "worst"]

_MAX_SHOWN_CHARACTERS = 60


class Judgement(NamedTuple):
    """A verdict and its reason, for operators; ``proof`` names the rule once ``judge`` has chosen it."""

    verdict: Verdict
    why: str
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known about a fact besides its value and quote.

    ``key`` is the fact's key in snake_case; its words tell which number or date in a quote is meant, and a suffix such
    as ``_m`` or ``_usd`` names the unit. ``unit`` is the unit of a value without one. ``choices`` maps each allowed
    value to its synonyms. ``entity`` is the name of the fact's subject. ``proof`` names a rule to use instead of the
    one the value's form suggests.
    """

    key: str = ""
    unit: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    entity: str = ""
    proof: str = ""


def supported(why: str) -> Judgement:
    """Return the judgement that the quote supports the value."""
    return Judgement(Verdict.SUPPORTED, why)


def refuted(why: str) -> Judgement:
    """Return the judgement that the quote contradicts the value."""
    return Judgement(Verdict.REFUTED, why)


def undecided(why: str) -> Judgement:
    """Return the judgement that the quote neither supports nor contradicts the value."""
    return Judgement(Verdict.NOT_ENOUGH_INFO, why)


def worst(judgements: list[Judgement]) -> Judgement:
    """Return the first refuted judgement, else the first undecided one, else the first."""
    for verdict in (Verdict.REFUTED, Verdict.NOT_ENOUGH_INFO):
        for judgement in judgements:
            if judgement.verdict is verdict:
                return judgement
    return judgements[0]


def shown(text: str) -> str:
    """Return the beginning of an untrusted text, on one line and without invisible or unprintable characters."""
    if len(text) <= _MAX_SHOWN_CHARACTERS and text.isalnum():
        return text
    text = text[: 2 * _MAX_SHOWN_CHARACTERS]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 1].rstrip() + "…"
