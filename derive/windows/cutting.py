"""Cuts evidence into windows. The same items and limits always give the same windows."""

from collections.abc import Callable, Iterable, Iterator

from derive.errors import EvidenceTooLarge
from derive.evidence.contracts import EvidenceItem
from derive.windows.borders import character_border, first_border, last_border
from derive.windows.budget import TokensOf, WindowLimits
from derive.windows.outline import Outline
from derive.windows.window import CONTEXT_NOTE, Window, WindowHeader

_CAREFUL = 0.98
_MAX_SCALINGS = 8
HEADERS_SHARE = 4
"""A header takes at most this part of a window's tokens."""


def cut(items: Iterable[EvidenceItem], limits: WindowLimits, tokens_of: TokensOf) -> Iterator[Window]:
    """Yield the windows of the items in order, one at a time; they contain all text except white space.

    A window ends before a heading or paragraph, or after a sentence, line or word, whichever is best near the limit.
    It begins at least ``limits.overlap`` characters before the end of the one before (or half that window's length, if
    it is short). An item that fits into what a part has left is added to it. Raises EvidenceTooLarge if
    ``limits.tokens`` has no space for any text.
    """
    parts = _Parts(limits, tokens_of)
    for item in items:
        if not item.text or item.text.isspace():
            continue
        if parts.take_whole(item):
            yield Window(part_no=parts.part_no, evidence_id=item.evidence_id, start=0, end=len(item.text))
        else:
            yield from _cut_item(item, parts)


class _Parts:
    """The part being filled: its number, and the space it has left."""

    def __init__(self, limits: WindowLimits, tokens_of: TokensOf) -> None:
        self.limits = limits
        self.tokens_of = tokens_of
        self.part_no = 0
        self._tokens = self._bytes = self._items = 0

    def take_whole(self, item: EvidenceItem) -> bool:
        """Add a whole item to the part, or to a new one; False if it has to be cut."""
        if len(item.text) > self.limits.item_bytes:
            return False
        size = len(item.text.encode())
        tokens = self.tokens_of(item.text) + self.tokens_of(_fence_line(item.evidence_id))
        if size > self.limits.item_bytes or tokens > self.limits.tokens:
            return False
        if not self.part_no or not self._has_room(tokens, size):
            self.begin()
        self.take(tokens, size)
        return True

    def begin(self) -> None:
        """Begin the next part."""
        self.part_no += 1
        self._tokens, self._bytes, self._items = self.limits.tokens, self.limits.part_bytes, self.limits.items

    def take(self, tokens: int, size: int) -> None:
        """Use up space."""
        self._tokens -= tokens
        self._bytes -= size
        self._items -= 1

    def _has_room(self, tokens: int, size: int) -> bool:
        return self._items > 0 and tokens <= self._tokens and size <= self._bytes


def _cut_item(item: EvidenceItem, parts: _Parts) -> Iterator[Window]:
    text, limits = item.text, parts.limits
    outline = Outline(text)
    fence_tokens = parts.tokens_of(_fence_line(item.evidence_id))
    start = 0
    while start < len(text):
        header, header_tokens = fitted(outline.header_at(start), parts.tokens_of, limits.tokens // HEADERS_SHARE)
        room = limits.tokens - fence_tokens - header_tokens
        reach = _reach(text, start, room, limits.item_bytes, parts.tokens_of)
        end = last_border(text, start, reach)
        stretch = text[start:end]
        if not stretch.isspace():
            parts.begin()
            parts.take(fence_tokens + header_tokens + parts.tokens_of(stretch), len(stretch.encode()))
            yield Window(part_no=parts.part_no, evidence_id=item.evidence_id, start=start, end=end, header=header)
        if end == len(text):
            return
        start = _next_start(text, start, end, limits.overlap)


def _next_start(text: str, start: int, end: int, overlap: int) -> int:
    """Return where the window after ``start`` to ``end`` begins: after ``start``, and ``overlap`` or more before
    ``end``.
    """  # noqa: D205 - one sentence
    length = end - start
    overlap = min(overlap, length // 2)
    highest = end - overlap
    if not overlap:
        return highest
    lowest = max(start + 1, highest - min(overlap, length // 4))
    border = first_border(text, lowest, highest) if lowest < highest else character_border(text, start, highest)
    return border if start < border <= highest else highest


def _reach(text: str, start: int, room: int, max_bytes: int, tokens_of: TokensOf) -> int:
    """Return how far a window may reach: as far as its tokens and bytes allow, found by scaling down."""
    length = min(len(text) - start, max_bytes)
    for scaling in range(_MAX_SCALINGS + length.bit_length()):
        stretch = text[start : start + length]
        share = min(room / max(tokens_of(stretch), 1), max_bytes / len(stretch.encode()))
        if share >= 1:
            return start + length
        # Dense text at the beginning needs more than one step; from some point on the length is halved.
        length = int(length * share * _CAREFUL) if scaling < _MAX_SCALINGS else length // 2
        if length < 1:
            break
    raise EvidenceTooLarge(f"a window of {room} tokens has no space for a single character of the evidence")


def fitted(header: WindowHeader, size_of: Callable[[str], int], most: int) -> tuple[WindowHeader, int]:
    """Return the header without what does not fit, and its size: the sentence before goes first, the title last."""
    for left_out in ({}, {"before": ""}, {"before": "", "columns": ""}):
        shorter = header.model_copy(update=left_out)
        words = shorter.in_words()
        size = size_of(_context_line() + words) if words else 0
        if size <= most:
            return shorter, size
    return WindowHeader(), 0


def _fence_line(evidence_id: str) -> str:
    return f'[[{"0" * 16}]] evidence_id: "{evidence_id}"\n'


def _context_line() -> str:
    return f"[[{'0' * 16}]] {CONTEXT_NOTE}\n"
