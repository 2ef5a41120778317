"""Splits a text into tokens, with digits, dashes and quotation marks normalised.

Offsets refer to the normalised text; they are never stored.
"""

import re
import unicodedata
from functools import lru_cache

from derive.evidence.folding import fold
from derive.proofs.stems import root, stem

MAX_CHARACTERS = 2_000
"""Characters of a value or quote that are read at all; interrogations allow 500 for a quote."""

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:[.,]\d+|'\d{3}(?!\d))*|[^\s\w]|_")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_FRACTION = re.compile(r"(\d?)([¼-¾⅐-⅞])")
_POWER = re.compile(r"(?<=\d)([⁻⁺]?[⁰¹²³⁴-⁹]{1,4})")
_MOST_WRITTEN_OUT = 20
_MOST_ADDED = 200
_ALREADY_PLAIN = re.compile(r"(?:(?![\u02b0-\u02ff])[\w\s!-~°€£])*+")
"""Letters, digits and marks that folding does not change if already normalised: most texts in other scripts."""
_SEPARATORS = {ord("٫"): ".", ord("٬"): ",", ord("⁄"): "/"}
_LINE_END_HYPHEN = re.compile(r"-\s{0,8}[\n\r]")


class Reading:
    """The tokens of a text: as written, in lower case, and their positions.

    Shared between judging threads, so a lazily computed attribute is only assigned once complete.
    """

    __slots__ = ("_roots", "_starts", "_stems", "low", "raw", "text")

    def __init__(self, text: str) -> None:
        self.text = _plain(text) if not text.isascii() or _LINE_END_HYPHEN.search(text) else text
        text = self.text
        self.raw = _TOKEN.findall(text)
        self.low = [token.lower() for token in self.raw]
        self._stems: list[str] | None = None
        self._roots: list[str] | None = None
        self._starts: list[int] | None = None

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def starts(self) -> list[int]:
        """The offset of each token."""
        if self._starts is None:
            starts: list[int] = []
            end, find = 0, self.text.find
            for token in self.raw:
                start = find(token, end)
                end = start + len(token)
                starts.append(start)
            self._starts = starts  # complete, because another thread may read it at once
        return self._starts

    @property
    def stems(self) -> list[str]:
        """The stem of each token."""
        if self._stems is None:
            self._stems = list(map(stem, self.low))
        return self._stems

    @property
    def roots(self) -> list[str]:
        """The root of each token."""
        if self._roots is None:
            self._roots = list(map(root, self.stems))
        return self._roots

    def word(self, at: int) -> str:
        """Return the token in lower case; empty outside the text."""
        low = self.low
        return low[at] if 0 <= at < len(low) else ""

    def is_glued(self, at: int) -> bool:
        """Whether this token directly follows the previous one, without a space."""
        if not 0 < at < len(self.raw):
            return False
        starts = self.starts
        return starts[at] == starts[at - 1] + len(self.raw[at - 1])

    def slice(self, start: int, end: int) -> str:
        """Return the text from one token up to another, exclusive."""
        if not 0 <= start < end <= len(self.raw):
            return ""
        return self.text[self.starts[start] : self.starts[end - 1] + len(self.raw[end - 1])]

    def starts_sentence(self, at: int) -> bool:
        """Whether this token begins the text or follows the end of a sentence."""
        if at == 0:
            return True
        before = self.raw[at - 1]
        # The full stop of an abbreviation does not end a sentence.
        return before in "!?" or (before == "." and (at < 2 or len(self.raw[at - 2]) > 2))


@lru_cache(maxsize=1_024)
def read(text: str) -> Reading:
    """Return the tokens of the text's first 2,000 characters; cached, since an answer's texts are read repeatedly."""
    return Reading(text[:MAX_CHARACTERS])


def _written_out(match: re.Match[str]) -> str:
    return match[1] + " " * bool(match[1]) + unicodedata.normalize("NFKC", match[2])


def _plain(text: str) -> str:
    length = len(text)
    # Before NFKC, which would turn 5½ into 51/2 and 10⁸ into 108.
    text = _FRACTION.sub(_written_out, text, count=_MOST_WRITTEN_OUT)
    text = _POWER.sub(lambda match: "^" + unicodedata.normalize("NFKC", match[1]), text, count=_MOST_WRITTEN_OUT)
    if not (_ALREADY_PLAIN.fullmatch(text) and unicodedata.is_normalized("NFKC", text)):
        text = unicodedata.normalize("NFKC", fold(text).text).translate(_SEPARATORS)[: length + _MOST_ADDED]
    return _OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
