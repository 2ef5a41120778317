"""Marks the places of facts in a text: overlapping places become segments that do not overlap."""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from derive.proofs import Verdict
from derive.visible_text import visible

MAX_STRETCH_CHARACTERS = 8_000
"""Of a text between two edges of places: a longer stretch is shown by its beginning and its end."""
_EDGE_CHARACTERS = MAX_STRETCH_CHARACTERS // 2
_WORST_FIRST = (Verdict.REFUTED.value, Verdict.NOT_ENOUGH_INFO.value, Verdict.SUPPORTED.value)


@dataclass(frozen=True)
class ProofPlace:
    """Where the proof of a fact stands in a text: code points, end exclusive; ``verdict`` empty: not judged."""

    fact: int
    start: int
    end: int
    verdict: str = ""


@dataclass(frozen=True)
class Segment:
    """A stretch of a text, fit to be shown, with the facts it belongs to in ascending order; none: it proves nothing.

    ``verdicts`` are those facts', the worst first, each once. ``begins`` and ``ends`` are the facts whose places begin
    or end with it.
    A segment that stands for characters left out has their number in ``left_out``, and no text.
    """

    text: str
    facts: tuple[int, ...] = ()
    verdicts: tuple[str, ...] = ()
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    left_out: int = 0

    @property
    def numbers(self) -> str:
        """The facts, with a blank between, for an attribute of a page."""
        return " ".join(map(str, self.facts))


def mark_text(text: str, places: Sequence[ProofPlace]) -> tuple[Segment, ...]:
    """Cut a text at the edges of all places and return the pieces in order.

    A place that does not lie in the text (``lies_in``) marks nothing. The work grows with the square of the number of
    places that overlap: callers bound it.
    """
    places = [place for place in places if lies_in(text, place)]
    segments: list[Segment] = []
    for start, end, facts in _pieces(len(text), places):
        segments += _shown(text[start:end], facts, start=start, end=end)
    return tuple(segments)


def lies_in(text: str, place: ProofPlace) -> bool:
    """Whether a place is one of this text."""
    return 0 <= place.start < place.end <= len(text)


def _pieces(length: int, places: Sequence[ProofPlace]) -> Iterator[tuple[int, int, list[ProofPlace]]]:
    """Yield each stretch between two edges, with the places it lies in, ordered by fact."""
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
    """Return a stretch as one segment, or as its beginning, a gap and its end."""
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
