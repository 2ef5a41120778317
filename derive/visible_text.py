"""Sanitises untrusted text for display: limited in length, without characters that hide or reorder text.

Escaping for HTML is left to the templates.
"""

import contextlib
import json
import unicodedata

CELL_CHARACTERS = 120
PAGE_CHARACTERS = 60_000

_KEPT = frozenset("\n\t")


def visible(text: str, limit: int = PAGE_CHARACTERS) -> str:
    """Return the text cut to ``limit`` characters, with control and bidi characters written as ``⟨U+202E⟩``.

    A cut text ends with the length of the original.
    """
    # Nearly every line is printable, which is quick to check; escaping 60 kB takes longer than the rest of a page.
    lines = text[:limit].split("\n")
    shown = "\n".join(line if line.isprintable() else "".join(map(_spelt, line)) for line in lines)
    return shown if len(text) <= limit else f"{shown}… (cut: {len(text):,} characters)"


def _spelt(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character
    return f"⟨U+{ord(character):04X}⟩"


def cell(text: str | None, limit: int = CELL_CHARACTERS) -> str:
    """Return the text shortened to one line for a cell of a list."""
    return visible(" ".join(text[: limit * 4].split()), limit) if text else ""


def pretty(text: str, limit: int = PAGE_CHARACTERS) -> str:
    """Return JSON indented, or the text as it is if it is not JSON or too large; sanitised for display."""
    if len(text) <= limit * 4:
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return visible(text, limit)
