"""Halves the windows of a part that was too much for its model. The same windows always give the same halves."""

from collections.abc import Mapping, Sequence

from derive.windows.borders import character_border, first_border, last_border
from derive.windows.cutting import HEADERS_SHARE, fitted
from derive.windows.outline import Outline
from derive.windows.window import Window

MIN_HALVED_CHARACTERS = 200
"""Shorter windows are not halved: what a model cannot read of a few sentences, it cannot read of one."""
_OVERLAPS_SHARE = 4

Half = tuple[Window, ...]


def halve(windows: Sequence[Window], texts: Mapping[str, str], *, overlap: int) -> tuple[Half, Half] | None:
    """Return the windows in two halves; None if there is too little text to halve.

    ``texts`` are the items' texts by id. Several windows are shared out; a single one is cut at the best border near
    its middle, and the second half begins ``overlap`` characters (at most a quarter of the window) earlier.
    """
    if len(windows) > 1:
        border = _middle(windows)
        return tuple(windows[:border]), tuple(windows[border:])
    (window,) = windows
    length = window.end - window.start
    if length < MIN_HALVED_CHARACTERS:
        return None
    overlap = min(overlap, length // _OVERLAPS_SHARE)
    text = texts[window.evidence_id][: window.end]
    end = last_border(text, window.start, window.start + (length + overlap) // 2)
    start = _start(text, window.start, end, overlap)
    first = window.model_copy(update={"end": end})
    header, _ = fitted(Outline(text).header_at(start), len, length // 2 // HEADERS_SHARE)
    second = window.model_copy(update={"start": start, "header": header})
    return (first,), (second,)


def _middle(windows: Sequence[Window]) -> int:
    """Return the number of windows in the first half: at least one, and not all."""
    lengths = [window.end - window.start for window in windows]
    taken = 0
    for number, length in enumerate(lengths[:-1], start=1):
        taken += length
        if 2 * taken >= sum(lengths):
            return number
    return len(windows) - 1


def _start(text: str, lowest: int, end: int, overlap: int) -> int:
    """Return where the second half begins: ``overlap`` or more before ``end``, and after ``lowest``."""
    highest = max(end - overlap, lowest + 1)
    earliest = max(lowest + 1, highest - overlap)
    if earliest < highest:
        return first_border(text, earliest, highest)
    return character_border(text, lowest, highest)
