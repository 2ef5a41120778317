"""Marks the places of facts in a text: overlapping places become non-overlapping segments."""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from derive.proofs import Verdict
from derive.visible_text import visible

MAX_STRETCH_CHARACTERS = 8_000
"""Longest stretch between two places shown in full; a longer one is shown by its start and end."""
_EDGE_CHARACTERS = MAX_STRETCH_CHARACTERS // 2
_WORST_FIRST = (Verdict.REFUTED.value, Verdict.NOT_ENOUGH_INFO.value, Verdict.SUPPORTED.value)


@dataclass(frozen=True)
class ProofPlace:
    """The place of a fact's quote in a text: code points, end exclusive; ``verdict`` is empty if not judged."""

    fact: int
    start: int
    end: int
    verdict: str = ""


@dataclass(frozen=True)
class Segment:
    """A stretch of text, safe for display, with the facts it belongs to, ascending; none if no quote covers it.

    ``verdicts`` are those facts', worst first, without repeats. ``begins`` and ``ends`` are the facts whose places
    start or end here. A segment for omitted characters has their number in ``left_out``, and no text.
    """

    text: str
    facts: tuple[int, ...] = ()
    verdicts: tuple[str, ...] = ()
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    left_out: int = 0

    @property
    def numbers(self) -> str:
        """The facts, separated by spaces, for an HTML attribute."""
        return " ".join(map(str, self.facts))


def mark_text(text: str, places: Sequence[ProofPlace]) -> tuple[Segment, ...]:
    """Split a text at the edges of all places and return the segments in order.

    A place outside the text (``lies_in``) marks nothing. The work grows with the square of the number of overlapping
    places: callers limit it.
    """
    places = [place for place in places if lies_in(text, place)]
    segments: list[Segment] = []
    for start, end, facts in _pieces(len(text), places):
        segments += _shown(text[start:end], facts, start=start, end=end)
    return tuple(segments)


def lies_in(text: str, place: ProofPlace) -> bool:
    """Whether a place lies within this text."""
    return 0 <= place.start < place.end <= len(text)


def _pieces(length: int, places: Sequence[ProofPlace]) -> Iterator[tuple[int, int, list[ProofPlace]]]:
    """Yield each stretch between two edges with the places that cover it, ordered by fact."""
    begins: dict[int, list[ProofPlace]] = {}
    ends: dict[int, list[ProofPlace]] = {}
    for place in places:
        begins.setdefault(place.start, []).append(place)
        ends.setdefault(place.end, []).append(place)
    active: list[ProofPlace] = []
    for start, end in pairwise(sorted({0, length, *begins, *ends})):
        for place in ends.get(start, ()):
            active.remove(place)
        for place in begins.get(start, ()):
            insort(active, place, key=lambda one: one.fact)
        yield start, end, active


def _shown(piece: str, places: list[ProofPlace], *, start: int, end: int) -> list[Segment]:
    """Return a stretch as one segment, or as its start, a gap and its end."""
    facts = tuple(place.fact for place in places)
    held = {place.verdict for place in places}
    verdicts = tuple(one for one in _WORST_FIRST if one in held)
    begins = tuple(place.fact for place in places if place.start == start)
    ends = tuple(place.fact for place in places if place.end == end)
    if len(piece) <= MAX_STRETCH_CHARACTERS:
        return [Segment(visible(piece), facts, verdicts, begins, ends)]
    return [
        Segment(visible(piece[:_EDGE_CHARACTERS]), facts, verdicts, begins=begins),
        Segment("", facts, verdicts, left_out=len(piece) - 2 * _EDGE_CHARACTERS),
        Segment(visible(piece[-_EDGE_CHARACTERS:]), facts, verdicts, ends=ends),
    ]
