r"""Patterns as the grammar behind ``format`` takes them: which escapes it knows, and how to write the others.

Source: measured on llama.cpp b10434 (2026-08), and its ``json-schema-to-grammar`` and ``llama-grammar`` for what
follows from it. A text outside a class becomes a literal, a class is taken as it stands; in both the grammar knows few
escapes, and refuses the schema for any other.
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
    r"""Return a pattern that matches the same, without the escapes that the grammar refuses where there is a way.

    A digit and a letter are those of ECMA 262, as JSON Schema says: ``\d`` is ``[0-9]``, ``\w`` is ``[A-Za-z0-9_]``.
    ``\/`` is ``/``; a ``\-`` inside a class goes to the end of it. ``\s``, ``\b`` and the like are left as they are.
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
    """Return the escapes in a pattern that the grammar refuses, each once, in their order."""
    return list(
        dict.fromkeys(
            piece
            for piece, in_class in _pieces(pattern)
            if piece[0] == "\\" and piece[1:] not in (_EVERYWHERE if in_class else _OUTSIDE_CLASSES)
        )
    )


def most_repetitions(pattern: str) -> int:
    """Return the largest count that a pattern repeats anything by; 0 without any."""
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
    """Yield each character or escape, and whether it belongs to a class; its ``]`` does, its ``[`` does not."""
    in_class = False
    for match in _PIECE.finditer(pattern):
        piece = match[0]
        yield piece, in_class
        if piece == "[" and not in_class:
            in_class = True
        elif piece == "]":
            in_class = False
