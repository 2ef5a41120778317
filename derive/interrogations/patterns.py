r"""Rewrites patterns for the grammar behind ``format``, which supports only a few escapes.

Source: measured on llama.cpp b10434 (2026-08), and the code of its ``json-schema-to-grammar`` and ``llama-grammar``.
Text outside a class becomes a literal, and a class is copied as it is; in both, the grammar supports few escapes and
rejects the schema for any other.
"""

import re
from collections.abc import Iterator

MAX_REPETITIONS = 1999
_EVERYWHERE = frozenset('nrtxu\\"[]')
_OUTSIDE_CLASSES = _EVERYWHERE | frozenset("^$.(){}|*+?")
_NEEDED_IN_CLASSES = frozenset("^-]")
_DIGITS, _WORD = "0-9", "A-Za-z0-9_"
_SETS = {"d": _DIGITS, "w": _WORD}
_NEGATED_SETS = {"D": _DIGITS, "W": _WORD}
_PIECE = re.compile(r"\\.|.", re.DOTALL)
_COUNTS = re.compile(r"(?<!\\)\{(\d+)(?:,(\d*))?\}")


def wire_pattern(pattern: str) -> str:
    r"""Return an equivalent pattern without the escapes that the grammar rejects, as far as possible.

    Classes are those of ECMA 262, as JSON Schema requires: ``\d`` becomes ``[0-9]`` and ``\w`` ``[A-Za-z0-9_]``.
    ``\/`` becomes ``/``, and ``\-`` moves to the end of its class. ``\s``, ``\b`` and the like are not rewritten.
    """
    written: list[str] = []
    ends_with_hyphen = False
    for piece, in_class in _pieces(pattern):
        escaped = piece[1:] if piece[0] == "\\" else ""
        if in_class and escaped == "-":
            ends_with_hyphen = True
        elif piece == "]" and in_class:
            written.append("-]" if ends_with_hyphen else "]")
            ends_with_hyphen = False
        else:
            written.append(_rewritten(piece, escaped, in_class=in_class))
    return "".join(written)


def refused_escapes(pattern: str) -> list[str]:
    """Return the escapes in a pattern that the grammar rejects, each once, in order of occurrence."""
    return list(
        dict.fromkeys(
            piece
            for piece, in_class in _pieces(pattern)
            if piece[0] == "\\" and piece[1:] not in (_EVERYWHERE if in_class else _OUTSIDE_CLASSES)
        )
    )


def most_repetitions(pattern: str) -> int:
    """Return the largest repetition count in a pattern, or 0 if there is none."""
    counts = [int(count) for counts in _COUNTS.findall(pattern) for count in counts if count]
    return max(counts, default=0)


def _rewritten(piece: str, escaped: str, *, in_class: bool) -> str:
    if escaped in _SETS and escaped:
        return _SETS[escaped] if in_class else f"[{_SETS[escaped]}]"
    if escaped in _NEGATED_SETS and not in_class:
        return f"[^{_NEGATED_SETS[escaped]}]"
    is_plain_mark = bool(escaped) and not escaped.isalnum() and escaped.isascii()
    known = _EVERYWHERE | _NEEDED_IN_CLASSES if in_class else _OUTSIDE_CLASSES
    return escaped if is_plain_mark and escaped not in known else piece


def _pieces(pattern: str) -> Iterator[tuple[str, bool]]:
    """Yield each character or escape, and whether it is inside a class; ``]`` counts as inside, ``[`` does not."""
    in_class = False
    for match in _PIECE.finditer(pattern):
        piece = match[0]
        yield piece, in_class
        if piece == "[" and not in_class:
            in_class = True
        elif piece == "]":
            in_class = False
