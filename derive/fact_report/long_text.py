"""A long text with all its facts marked, in pieces short enough to be shown in full, and a map of its facts."""

from collections.abc import Sequence
from dataclasses import dataclass

from derive.fact_report.marking import MAX_STRETCH_CHARACTERS, ProofPlace, Segment, lies_in, mark_text

PIECE_CHARACTERS = MAX_STRETCH_CHARACTERS // 2
MAP_CELLS = 100
_WORST_FIRST = ("REFUTED", "NOT_ENOUGH_INFO", "SUPPORTED")


@dataclass(frozen=True)
class Piece:
    """A stretch of a text that begins at ``start``, in code points; ``number`` counts pieces from 1."""

    number: int
    start: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class MapCell:
    """A share of a text on the map: how many facts begin in it, the worst verdict, and the first fact to jump to."""

    facts: int
    verdict: str
    first_fact: int | None


def pieces_of(text: str, places: Sequence[ProofPlace]) -> tuple[Piece, ...]:
    """Return the whole text in pieces with the places marked; no piece begins inside a place.

    A place outside the text marks nothing.
    """
    inside = sorted((place for place in places if lies_in(text, place)), key=lambda place: place.start)
    pieces: list[Piece] = []
    start = taken = 0
    while start < len(text):
        end = min(len(text), start + PIECE_CHARACTERS)
        line = text.rfind("\n", start + PIECE_CHARACTERS // 2, end) + 1
        end = line if line > 0 and end < len(text) else end
        own: list[ProofPlace] = []
        while taken < len(inside) and inside[taken].start < end:
            own.append(inside[taken])
            end = max(end, inside[taken].end)
            taken += 1
        moved = [ProofPlace(place.fact, place.start - start, place.end - start, place.verdict) for place in own]
        pieces.append(Piece(len(pieces) + 1, start, mark_text(text[start:end], moved)))
        start = end
    return tuple(pieces)


def map_of(text: str, places: Sequence[ProofPlace], *, cells: int = MAP_CELLS) -> tuple[MapCell, ...]:
    """Return where in the text facts begin, in equal shares from its beginning to its end."""
    begins: list[list[ProofPlace]] = [[] for _ in range(cells)]
    for place in sorted(places, key=lambda one: (one.start, one.fact)):
        if lies_in(text, place):
            begins[place.start * cells // len(text)].append(place)
    return tuple(_cell(found) for found in begins)


def _cell(found: Sequence[ProofPlace]) -> MapCell:
    held = {place.verdict for place in found}
    verdict = next((one for one in _WORST_FIRST if one in held), "")
    return MapCell(len(found), verdict, found[0].fact if found else None)
