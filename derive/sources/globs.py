"""Globs over relative paths with ``/`` between their parts."""

import re
from collections.abc import Callable, Iterable
from typing import Annotated

from pydantic import AfterValidator

MAX_GLOB_CHARACTERS = 200
_MOST_STARS = 10
"""More would let a hostile path keep the matcher busy."""


def check_glob(text: str) -> str:
    """Return the glob; raise ValueError if it is no glob over relative paths."""
    if not text or len(text) > MAX_GLOB_CHARACTERS or not text.isprintable():
        raise ValueError(f"write a glob of at most {MAX_GLOB_CHARACTERS} printable characters, such as **/*.md")
    if text.startswith("/") or "\\" in text or any(part in {"", ".", ".."} for part in text.split("/")):
        raise ValueError("write a glob relative to the folder, with / between its parts and without . and ..")
    if text.count("*") > _MOST_STARS:
        raise ValueError(f"write at most {_MOST_STARS} stars")
    return text


Glob = Annotated[str, AfterValidator(check_glob)]


def compile_globs(globs: Iterable[str]) -> Callable[[str], object]:
    """Return a predicate of paths that match any of the globs.

    ``*`` and ``?`` stay within one part of the path, ``**`` as a whole part is any number of parts, and ``[…]`` is one
    of its characters. Case counts.
    """
    return re.compile("|".join(f"(?:{_pattern(glob)})" for glob in globs), re.DOTALL).fullmatch


def _pattern(glob: str) -> str:
    *folders, name = glob.split("/")
    pattern = "".join("(?:[^/]+/)*" if part == "**" else f"{_of_part(part)}/" for part in folders)
    return pattern + ("(?:[^/]+/)*[^/]+" if name == "**" else _of_part(name))


def _of_part(part: str) -> str:
    pieces = re.findall(r"\[[!^]?[^\]]+\]|\*+|\?|[^*?\[]+|\[", part)
    return "".join(_of_piece(piece) for piece in pieces)


def _of_piece(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and len(piece) > 1:
        content = piece[1:-1]
        negated = content[0] in "!^"
        inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", content[1:] if negated else content)
        return f"(?!/)[{'^' if negated else ''}{inner}]"
    return re.escape(piece)
