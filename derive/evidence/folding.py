"""Normalises typography for comparison, and maps each character back to its position in the source.

A model that copies a passage tends to write it plainly: ``fi`` for a ligature, ``"`` for a typographic quote, and a
word that was hyphenated across lines as one word. Folding both sides makes such a copy equal to its source. Folding
changes only how characters are written and what separates words, never case, letters, digits or words: superscripts,
fractions and circled numbers are kept, since ``10²`` is not ``102``.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, pairwise

_MAX_CLUSTER_CHARACTERS = 32
"""Longest letter with combining marks that is normalised as one, because normalising takes quadratic time. No real
letter has this many marks (UAX #15 allows 30)."""

_PLAIN = {
    **dict.fromkeys("‘’‚‛′‵ʹʼʻ`´‹›", "'"),
    **dict.fromkeys("“”„‟″‶«»〝〞〟", '"'),
    **dict.fromkeys("‐‑‒–—―−⁃﹘", "-"),
    "․": ".",
}
_SAME_CHARACTER = frozenset({"<wide>", "<narrow>", "<small>", "<initial>", "<medial>", "<final>", "<isolated>"})
"""Unicode decompositions that only change a character's form. ``<compat>`` is applied only where it yields letters."""

_INVISIBLE = frozenset(
    map(
        chr,
        chain(
            # Unicode's Default_Ignorable_Code_Point, and the annotation marks.
            (0x00AD, 0x034F, 0x061C, 0x3164, 0xFEFF, 0xFFA0),
            range(0x115F, 0x1161),
            range(0x17B4, 0x17B6),
            range(0x180B, 0x1810),
            range(0x200B, 0x2010),
            range(0x202A, 0x202F),
            range(0x2060, 0x2070),
            range(0xFE00, 0xFE10),
            range(0xFFF9, 0xFFFC),
            range(0x1BCA0, 0x1BCA4),
            range(0x1D173, 0x1D17B),
            range(0xE0000, 0xE1000),
        ),
    )
)
_LINE_END = r"\n\r\v\f\x85\u2028\u2029"
_TOKEN = re.compile(
    rf"(?P<hyphen>[-\u2010\u00ad]\s*[{_LINE_END}]\s*)"
    r"|(?P<space>\s+)"
    # Excludes the last ASCII character before a non-ASCII one, which may be its accent.
    r"|(?P<plain>[!-,.-_a-~]+(?=[\x00-\x7f]|\Z))"
    r"|(?P<cluster>.)",
    re.DOTALL,
)
_BREAK = "\u00ad"
"""Marks a line break inside a word while searching; folded text contains no soft hyphens of its own."""
_BETWEEN_LETTERS = frozenset({"-", " ", _BREAK})
_LETTERS_ONLY = str.maketrans(dict.fromkeys(_BETWEEN_LETTERS, ""))
_MAX_TRIES = 50
"""Candidate places per quote that have the right letters but different hyphens. Hostile text may contain nothing
else, so the number checked is limited."""


@dataclass(frozen=True, eq=False)
class Folded:
    """A folded text. Code point ``n`` came from ``starts[n]`` to ``ends[n]`` of the original.

    Indexes count code points; ends are exclusive. ``breaks`` are the indexes in ``text`` before which a word was
    hyphenated across lines: ``exam-`` / ``ple`` folds to ``example`` and is also found as ``exam-ple`` and
    ``exam- ple``. A hyphen next to a digit is kept (``1939-1945``).
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    breaks: tuple[int, ...] = ()

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the slice of the original that ``text[start:end]`` came from; the slice must not be empty."""
        return self.starts[start], self.ends[end - 1]

    def find(self, quote: "str | Folded") -> tuple[int, int] | None:
        """Return the first slice (start, end) of the original that folds to the quote, or None."""
        return next(self.find_all(quote), None)

    def find_all(self, quote: "str | Folded") -> Iterator[tuple[int, int]]:
        """Yield every non-overlapping slice of the original that folds to the quote; an empty quote has none."""
        wanted = fold(quote) if isinstance(quote, str) else quote
        if not wanted.text:
            return
        if self.breaks or wanted.breaks:
            yield from self._find_across_breaks(wanted)
            return
        place = self.text.find(wanted.text)
        while place >= 0:
            end = place + len(wanted.text)
            yield self.span(place, end)
            place = self.text.find(wanted.text, end)

    def _find_across_breaks(self, wanted: "Folded") -> Iterator[tuple[int, int]]:
        """Search by letters alone first, which takes linear time and rarely gives a false match."""
        marked, marks = self._marked
        letters, places = self._letters
        wanted_letters = wanted.text.translate(_LETTERS_ONLY)
        found, tries, done = letters.find(wanted_letters) if wanted_letters else -1, 0, 0
        if found < 0:
            # Most quotes that do not occur are rejected here, before a pattern is compiled.
            return
        pattern = _pattern(wanted)
        while found >= 0 and tries < _MAX_TRIES:
            first = places[found]
            # A quote may begin with a hyphen or a space.
            matches = (pattern.match(marked, start) for start in range(max(first - 2, done), first + 1))
            match = next(filter(None, matches), None)
            if match is None:
                tries += 1
            else:
                done = match.end()
                start, end = (place - bisect_left(marks, place) for place in match.span())
                yield self.span(start, end)
            found = letters.find(wanted_letters, found + (1 if match is None else len(wanted_letters)))

    @cached_property
    def _marked(self) -> tuple[str, list[int]]:
        """The text with its breaks marked, and the positions of the marks."""
        edges = [0, *self.breaks, len(self.text)]
        pieces = [self.text[start:end] for start, end in pairwise(edges)]
        return _BREAK.join(pieces), [place + before for before, place in enumerate(self.breaks)]

    @cached_property
    def _letters(self) -> tuple[str, list[int]]:
        """The marked text without hyphens, spaces and breaks, and each remaining character's position in it."""
        marked, _ = self._marked
        places = [place for place, char in enumerate(marked) if char not in _BETWEEN_LETTERS]
        return "".join([marked[place] for place in places]), places


def fold(text: str) -> Folded:
    """Return the text folded for comparison; folding it again changes nothing.

    The result is canonically composed (NFC). Ligatures and full-width, half-width and presentation forms become plain
    letters; typographic quotes and dashes become ``'``, ``"`` and ``-``; ``…`` becomes three dots. Runs of white space
    become one space, and none at either end. Soft hyphens and invisible characters are removed.
    """
    folding = _Folding(text)
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if start < folding.done:
            continue
        kind = match.lastgroup
        if kind == "plain":
            folding.take(match[0], range(start, end), range(start + 1, end + 1))
        elif kind == "cluster":
            folding.take_cluster(start)
        elif kind == "space" or not folding.take_break(start, end):
            folding.take_space(start, end)
    return folding.result()


def count_word_characters(text: str) -> int:
    """Return the number of visible letters and digits in the text, in any script."""
    if text.isascii():
        return sum(map(str.isalnum, text))
    return sum(char.isalnum() and char not in _INVISIBLE for char in text)


class _Folding:
    """A text being folded; ``done`` is the position in the original."""

    def __init__(self, original: str) -> None:
        self._original = original
        self._characters: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._breaks: list[int] = []
        self.done = 0

    def take(self, characters: Iterable[str], starts: Iterable[int], ends: Iterable[int]) -> None:
        self._characters.extend(characters)
        self._starts.extend(starts)
        self._ends.extend(ends)

    def take_space(self, start: int, end: int) -> None:
        """Add one space, unless the folded text is empty or already ends with a space."""
        if not self._characters:
            return
        if self._characters[-1] == " ":
            self._ends[-1] = end
        else:
            self.take(" ", (start,), (end,))

    def take_break(self, start: int, end: int) -> bool:
        """Treat a hyphen at a line end as a break inside a word; return False if only a space should be added."""
        original = self._original
        before = original[start - 1] if start else ""
        after = original[end] if end < len(original) else ""
        if not (_is_of_word(before) and _is_of_word(after)):
            self.take_cluster(start)
            return False
        if original[start] != _BREAK and (before.isdigit() or after.isdigit()):
            self.take("-", (start,), (start + 1,))
        self._breaks.append(len(self._characters))
        return True

    def take_cluster(self, start: int) -> None:
        """Add one character with its combining marks, or drop it if it is invisible."""
        original = self._original
        if original[start] in _INVISIBLE:
            return
        seen, end, look = [original[start]], start + 1, start + 1
        while look < len(original) and len(seen) < _MAX_CLUSTER_CHARACTERS:
            char = original[look]
            look += 1
            if char in _INVISIBLE:
                continue
            if not _joins_the_one_before(char):
                break
            seen.append(char)
            end = look
        plain = unicodedata.normalize("NFC", "".join(map(_plain_form, seen)))
        self.take(plain, [start] * len(plain), [end] * len(plain))
        self.done = end

    def result(self) -> Folded:
        if self._characters and self._characters[-1] == " ":
            for taken in (self._characters, self._starts, self._ends):
                taken.pop()
        return Folded(
            text="".join(self._characters),
            starts=tuple(self._starts),
            ends=tuple(self._ends),
            breaks=tuple(self._breaks),
        )


def _is_of_word(char: str) -> bool:
    return bool(char) and unicodedata.category(char)[0] in "LMN" and char not in _INVISIBLE


@lru_cache(maxsize=4096)
def _plain_form(char: str) -> str:
    if char in _PLAIN:
        return _PLAIN[char]
    kind, _, codes = unicodedata.decomposition(char).partition(" ")
    if not kind.startswith("<"):
        return char
    plain = "".join(chr(int(code, 16)) for code in codes.split())
    yields_letters = kind == "<compat>" and all(one.isalpha() or one == "." for one in plain)
    if " " in plain or not (kind in _SAME_CHARACTER or yields_letters):
        return char
    return "".join(map(_plain_form, plain))


@lru_cache(maxsize=4096)
def _joins_the_one_before(char: str) -> bool:
    """Whether the character may compose with the previous one: a mark, or a Hangul vowel or final consonant."""
    first = _plain_form(char)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


def _pattern(wanted: Folded) -> re.Pattern[str]:
    """Return a pattern that finds the text although a break was copied as nothing, as a hyphen or with a space."""
    pieces: list[str] = []
    breaks = frozenset(wanted.breaks)
    for place, char in enumerate(wanted.text):
        if place:
            pieces.append(f"(?:{_BREAK}|- ?)?" if place in breaks else f"{_BREAK}?")
        if char == "-":
            pieces.append(f"[-{_BREAK}]")
        elif char == " " and wanted.text[place - 1] == "-":
            pieces.append(" ?")
        else:
            pieces.append(re.escape(char))
    return re.compile("".join(pieces))
