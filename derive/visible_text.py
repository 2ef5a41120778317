"""Sanitise untrusted text for display: bounded, with nothing in it that hides or reorders what it says.

Escaping for HTML is left to the templates.
"""

import contextlib
import json
import unicodedata

CELL_CHARACTERS = 120
PAGE_CHARACTERS = 60_000

_KEPT = frozenset("\n\t")


def visible(text: str, limit: int = PAGE_CHARACTERS) -> str:
    """Return the text with control and direction characters written out as ``⟨U+202E⟩``, cut to ``limit`` characters.

    A cut is said at the end with the whole's length.
    """
    # Nearly every line is printable, which is told at once: to spell 60 kB takes longer than all else of a page.
    lines = text[:limit].split("\n")
    shown = "\n".join(line if line.isprintable() else "".join(map(_spelt, line)) for line in lines)
    return shown if len(text) <= limit else f"{shown}… (cut: {len(text):,} characters)"


def _spelt(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character
    return f"⟨U+{ord(character):04X}⟩"


def cell(text: str | None, limit: int = CELL_CHARACTERS) -> str:
    """Return a text for one cell of a list: one line, short."""
    return visible(" ".join(text[: limit * 4].split()), limit) if text else ""


def pretty(text: str, limit: int = PAGE_CHARACTERS) -> str:
    """Return JSON indented, and anything else, or what is too large to be worth it, as it is; fit to be looked at."""
    if len(text) <= limit * 4:
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return visible(text, limit)
