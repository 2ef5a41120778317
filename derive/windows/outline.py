"""Reads the outline of a text: its title, the headings above a place, and the first row of the table it is in."""

import re
from typing import NamedTuple

from derive.windows.window import WindowHeader

MAX_HEADING_CHARACTERS = 120
_MAX_SECTIONS = 4
_MAX_COLUMNS_CHARACTERS = 300
_MAX_BEFORE_CHARACTERS = 200
_LOOKED_AT = 2_000
"""Characters of a line that are looked at: the rest of a longer one says nothing about the outline."""
_MARKDOWN = re.compile(r"(#{1,6})[ \t]+(\S.*?)[ \t#]*\Z")
_NUMBERED = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,5})[.)]?[ \t]+\S")
_UNDERLINE = re.compile(r"(=+|-{3,})[ \t]*\Z")
_ENDS_SENTENCE = re.compile(r"""[.!?…]["'’”)\]»]*\s+(?![a-z])|[。！？｡]""")
_ROWS_OF_TABLE = {"|": 2, "\t": 2, ";": 3, ",": 3}
"""Lines with equally many of a delimiter that make a table."""


class Heading(NamedTuple):
    """A heading and its level, 1 for the highest."""

    level: int
    words: str


class Line(NamedTuple):
    """A line of a text: its places, without the line end, and its first characters."""

    start: int
    end: int
    words: str


def heading_at(text: str, at: int) -> Heading | None:
    """Return the heading that begins at the start of a paragraph, if any."""
    return _heading(text, _line_at(text, at), is_first=True)


def is_table_row(text: str, line_start: int) -> bool:
    """Whether the line before this one and this one are rows of a table, by their delimiters."""
    if line_start >= len(text):
        return False
    before = _line_at(text, text.rfind("\n", 0, line_start - 1) + 1)
    rows = _delimiter(before.words)
    return rows is not None and rows == _delimiter(_line_at(text, line_start).words)


class Outline:
    """The outline of one text, read once from its beginning: places must be asked for in ascending order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next = 0
        self._title = ""
        self._path: list[Heading] = []
        self._is_first = True
        self._columns: Line | None = None
        self._delimiter: tuple[str, int] | None = None
        self._rows = self._lines = 0

    def header_at(self, start: int) -> WindowHeader:
        """Return the header of a window that begins at ``start``; empty at the beginning of the text."""
        while self._next < start:
            self._read(_line_at(self._text, self._next))
        if start == 0:
            return WindowHeader()
        section = [heading.words for heading in self._path if heading.words != self._title][-_MAX_SECTIONS:]
        return WindowHeader(
            title=self._title,
            section=tuple(section),
            columns=self._columns_at(start),
            before=_sentence_before(self._text, start),
        )

    def _read(self, line: Line) -> None:
        self._next = line.end + 1
        if not line.words.strip():
            self._is_first, self._columns, self._delimiter = True, None, None
            return
        heading = _heading(self._text, line, is_first=self._is_first)
        if heading is not None:
            self._path = [*(one for one in self._path if one.level < heading.level), heading]
            self._columns = None
        elif self._is_first or self._columns is None:
            self._columns, self._delimiter = line, _delimiter(line.words)
            self._rows = self._lines = 1
        else:
            self._lines += 1
            self._rows += _delimiter(line.words) == self._delimiter
        if not self._title and line.end - line.start <= MAX_HEADING_CHARACTERS:
            self._title = heading.words if heading else _one_line(line.words)
        self._title = self._title or _one_line(line.words)[:MAX_HEADING_CHARACTERS]
        self._is_first = heading is not None

    def _columns_at(self, start: int) -> str:
        if self._columns is None or self._delimiter is None or start <= self._columns.end:
            return ""
        is_table = self._rows >= _ROWS_OF_TABLE[self._delimiter[0]] and 2 * self._rows >= self._lines
        return self._columns.words[:_MAX_COLUMNS_CHARACTERS].strip() if is_table else ""


def _line_at(text: str, start: int) -> Line:
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    return Line(start, end, text[start : min(end, start + _LOOKED_AT)].rstrip("\r"))


def _heading(text: str, line: Line, *, is_first: bool) -> Heading | None:
    """Return the heading a line is, if any; ``is_first``: whether it begins a paragraph."""
    words = line.words.strip()
    if not words or len(words) > MAX_HEADING_CHARACTERS or line.end - line.start > _LOOKED_AT:
        return None
    markdown = _MARKDOWN.match(words)
    if markdown:
        return Heading(len(markdown[1]), markdown[2])
    if not is_first:
        return None
    following = _line_at(text, line.end + 1).words.strip() if line.end + 1 < len(text) else ""
    underline = _UNDERLINE.match(following)
    if underline and _delimiter(words) is None:
        return Heading(1 if underline[1][0] == "=" else 2, words)
    if following or words[-1] in ".!?;:,…":
        return None
    return _standing_alone(words)


def _standing_alone(words: str) -> Heading | None:
    """Return the heading that a short paragraph of one line is: numbered, or in capitals."""
    numbered = _NUMBERED.match(words)
    if numbered:
        return Heading(1 + numbered[1].count("."), words)
    is_capitals = words.isupper() and sum(map(str.isalpha, words)) > 1
    return Heading(1, words) if is_capitals else None


def _delimiter(words: str) -> tuple[str, int] | None:
    """Return the delimiter of a table's row and how often it occurs; a row of a Markdown table has any number."""
    if words.lstrip().startswith("|"):
        return "|", 0
    for delimiter, least in (("\t", 1), (";", 2), (",", 2)):
        count = words.count(delimiter)
        if count >= least:
            return delimiter, count
    return None


def _sentence_before(text: str, start: int) -> str:
    before = text[max(0, start - 2 * _MAX_BEFORE_CHARACTERS) : start].rstrip()
    if not before:
        return ""
    ends = [match.end() for match in _ENDS_SENTENCE.finditer(before, 0, len(before) - 1)]
    sentence = _one_line(before[ends[-1] :] if ends else before)
    if len(sentence) <= _MAX_BEFORE_CHARACTERS:
        return sentence
    return "…" + sentence[-_MAX_BEFORE_CHARACTERS:].partition(" ")[2]


def _one_line(words: str) -> str:
    return " ".join(words.split())
