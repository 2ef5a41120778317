"""Decides which of several numbers or dates in a quote a fact's key refers to."""

from collections.abc import Sequence
from typing import Protocol

from derive.proofs.reading import Reading

FAR = 99
_BACK = 7
_FORTH = 4
_STOPS = frozenset({".", ";", "!", "?", ",", "and", "but", "while", "whereas", "though", "although", "then", "|", "\n"})
_GRAMMAR = frozenset(
    "a an the of in on at to by for from with is was are were be been has have had its his her their it he she they as "
    "than that which who about around some per up into over under until since across against during within among "
    "between after before through towards near when where if so not only also today now ( ) - : = \" '".split()
)


class Span(Protocol):
    """A range of tokens of a reading; the end is exclusive."""

    start: int
    end: int


def distances(reading: Reading, spans: Sequence[Span], cues: frozenset[str]) -> list[int]:
    """Return each span's distance in tokens from a word that names the key; ``FAR`` if none belongs to it.

    A word belongs to a span within the same part of a sentence and on the same side of any other span.
    """
    if cues.isdisjoint(reading.stems) and cues.isdisjoint(reading.roots):
        return [FAR] * len(spans)
    is_cue = [bare in cues or base in cues for bare, base in zip(reading.stems, reading.roots, strict=True)]
    found = []
    for place, span in enumerate(spans):
        floor = spans[place - 1].end if place else -1
        ceiling = spans[place + 1].start if place + 1 < len(spans) else len(reading.low)
        back, forth = _distance_back(reading, span, is_cue, floor), _distance_forth(reading, span, is_cue, ceiling)
        found.append(min(back, forth))
    for place in range(len(spans) - 1):
        if found[place] == FAR and _is_share_of(reading, spans[place], spans[place + 1]):
            found[place] = found[place + 1]
    for place in range(1, len(spans)):
        if found[place] == FAR and found[place - 1] < FAR and _continues(reading, spans[place - 1], spans[place]):
            found[place] = found[place - 1]
    return found


def _distance_back(reading: Reading, span: Span, is_cue: list[bool], floor: int) -> int:
    for at in range(span.start - 1, max(floor, span.start - _BACK, 0) - 1, -1):
        if reading.low[at] in _STOPS and not _is_abbreviation(reading, at):
            return FAR
        if reading.low[at] == ")" or (reading.low[at] == "(" and at < span.start - 1):
            return FAR
        if is_cue[at]:
            # The noun belongs to the previous span if this one has its own: "27 goals in 34 matches".
            return FAR if floor >= 0 and at - floor <= 1 and has_own_label(reading, span) else span.start - at
    return FAR


def _distance_forth(reading: Reading, span: Span, is_cue: list[bool], ceiling: int) -> int:
    for at in range(span.end, min(ceiling, span.end + _FORTH)):
        if reading.low[at] in _STOPS or reading.low[at] in "()":
            return FAR
        if is_cue[at]:
            return at - span.end + 1
    return FAR


def _is_abbreviation(reading: Reading, at: int) -> bool:
    """Whether the full stop at a token ends an abbreviation ("b. 21 March", "no. 4")."""
    return reading.low[at] == "." and at > 0 and len(reading.low[at - 1]) <= 2 and reading.is_glued(at)


def _is_share_of(reading: Reading, before: Span, after: Span) -> bool:
    """Whether the first is a part of the second ("35 of the 120 seats")."""
    between = reading.low[before.end : after.start]
    return "of" in between and all(
        word in {"out", "of", "the", "its", "his", "her", "their", "our", "all", "these", "those"} for word in between
    )


def _continues(reading: Reading, before: Span, after: Span) -> bool:
    """Whether the second span continues a list or change that the first began ("12, 15 and 18", "from 2 to 3")."""
    between = reading.low[before.end : after.start]
    if not between or len(between) > 3 or not all(word in {",", "and", "or", "to", "then", "-"} for word in between):
        return False
    return not has_own_label(reading, after)


def has_own_label(reading: Reading, span: Span) -> bool:
    """Whether the span is directly followed by its own noun ("600 passengers", "4 TB of disk")."""
    at = span.end
    at += reading.word(at) == "-" and reading.is_glued(at)
    if reading.word(at) == "of":
        at += 2 if reading.word(at + 1) in {"the", "a", "its", "his", "her", "their"} else 1
    following = reading.word(at)
    return following[:1].isalpha() and following not in _GRAMMAR and following not in _STOPS


def has_own_verb(reading: Reading, span: Span, floor: int) -> bool:
    """Whether the span has its own verb before it in the same part of the sentence ("dissolved in 1991")."""
    for at in range(span.start - 1, max(floor, span.start - 4) - 1, -1):
        word = reading.low[at]
        if word in _STOPS and not _is_abbreviation(reading, at):
            return False
        if word not in _GRAMMAR and word[0].isalpha():
            return word in {"b", "d", "born"} or (reading.stems[at] != word and not word.endswith("e"))
    return False


def label_before(reading: Reading, span: Span, floor: int) -> bool:
    """Whether a content word precedes the span in the same part of the sentence."""
    for at in range(span.start - 1, max(floor, span.start - 4) - 1, -1):
        word = reading.low[at]
        if word in _STOPS:
            return False
        if word not in _GRAMMAR and word[0].isalpha():
            # "on discharge" tells when, not what.
            return reading.word(at - 1) not in {"on", "at", "in", "by", "during", "after", "before", "since"}
    return False
