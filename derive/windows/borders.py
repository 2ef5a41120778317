"""Finds where a text may be cut: before a heading or paragraph, after a sentence or word, never inside a character."""

import re
import unicodedata

from derive.windows.outline import heading_at, is_table_row

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"""[.!?…]+["'’”)\]»]*\s+(?![a-z])|[。！？｡]+[」』”’）]*\s*""")
_SPACE = re.compile(r"\s+")
_CLAUSE = re.compile(r"[、，；：,;:]")
_MAX_CLUSTER = 32
"""Characters looked at to find where a visible character begins; none that a person wrote is longer."""
_JOINER = "\u200d"
_REGIONAL = range(0x1F1E6, 0x1F200)
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_HANGUL_JAMO = range(0x1160, 0x1200)


def last_border(text: str, start: int, end: int) -> int:
    """Return the best place to end a window that begins at ``start`` and may reach to ``end``.

    It is after ``start`` and at most ``end``. Better kinds of border may cost up to half of the window; a "word" of
    more than half a window is cut between two characters.
    """
    if end >= len(text):
        return len(text)
    third, half = end - (end - start) // 3, end - (end - start) // 2
    paragraphs = [at for match in _PARAGRAPH.finditer(text, half, end) if start < (at := match.end()) <= end]
    heading = next((at for at in reversed(paragraphs) if heading_at(text, at) is not None), None)
    if heading is not None:
        return heading
    if paragraphs:
        return paragraphs[-1]
    return _last_of(text, start, third, end) or _word_border(text, half, end) or character_border(text, start, end)


def first_border(text: str, lowest: int, highest: int) -> int:
    """Return the best place to begin a window at or after ``lowest`` and at most at ``highest``."""
    paragraphs = [match.end() for match in _PARAGRAPH.finditer(text, lowest, highest)]
    if paragraphs:
        return paragraphs[-1]
    return (
        _last_of(text, lowest, lowest, highest)
        or _word_border(text, lowest, highest)
        or character_border(text, lowest, highest)
    )


def character_border(text: str, start: int, end: int) -> int:
    """Return the last place in (start, end] that does not split a visible character; ``end`` if there is none near."""
    for at in range(end, max(start, end - _MAX_CLUSTER), -1):
        if not _splits_character(text, at):
            return at
    return end


def _last_of(text: str, start: int, low: int, high: int) -> int | None:
    """Return the last line's end in a table, else the last sentence's end, else the last line's end."""
    line = text.rfind("\n", low, high) + 1
    if line > start and is_table_row(text, line):
        return line
    sentences = [match.end() for match in _SENTENCE.finditer(text, low, high)]
    if sentences and sentences[-1] > start:
        return sentences[-1]
    return line if line > start else None


def _word_border(text: str, low: int, high: int) -> int | None:
    if high < len(text) and text[high].isspace() and not text[high - 1].isspace():
        return high
    spaces = [match.end() for match in _SPACE.finditer(text, low, high)]
    return spaces[-1] if spaces and spaces[-1] > low else None


def _splits_character(text: str, at: int) -> bool:
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    code = ord(after)
    return (
        unicodedata.category(after)[0] == "M"
        or _JOINER in (before, after)
        or (before == "\r" and after == "\n")
        or code in _SKIN_TONES
        or code in _HANGUL_JAMO
        or 0xDC00 <= code < 0xE000
        or (code in _REGIONAL and _splits_flag(text, at))
    )


def _splits_flag(text: str, at: int) -> bool:
    run = 0
    while run < at and run < _MAX_CLUSTER and ord(text[at - run - 1]) in _REGIONAL:
        run += 1
    return run % 2 == 1
