"""The values of a row: what an entity, a text and an address must be."""

import re
from urllib.parse import quote

from derive.errors import SourceError
from derive.evidence.references import MAX_TEXT_CHARACTERS, check_one_line
from derive.sources.contract import MAX_ENTITY_ID_CHARACTERS
from derive.strict_types import check_storable

MAX_ADDRESS_CHARACTERS = 2000
"""The longest ``source_uri`` of evidence."""


_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+(?:/[A-Za-z0-9_.~-]+)*")


def quoted(name: str, *, safe: str = "/") -> str:
    """Return a name percent-encoded for a URI. Most need no quoting, which would take the most time of a walk."""
    if _PLAIN.fullmatch(name) and ("/" in safe or "/" not in name):
        return name
    return quote(name, safe=safe, errors="replace")


def check_entity(entity: str | None, *, column: str) -> str:
    """Return a row's entity; raise SourceError if it cannot be one."""
    if not entity:
        raise SourceError(f"it has no entity: {column} is empty")
    if len(entity) > MAX_ENTITY_ID_CHARACTERS:
        raise SourceError(f"its entity is longer than {MAX_ENTITY_ID_CHARACTERS} characters")
    try:
        return check_one_line(entity)
    except ValueError as error:
        raise SourceError(f"its entity {error}") from None


def checked_text(text: str | None, *, column: str) -> str | None:
    """Return a row's text, None if it is empty; raise SourceError if it is too long or no text."""
    if text is None or not text.strip():
        return None
    if len(text) > MAX_TEXT_CHARACTERS:
        raise SourceError(f"{column} is longer than {MAX_TEXT_CHARACTERS:,} characters: split it")
    try:
        return check_storable(text)
    except ValueError as error:
        raise SourceError(f"{column} {error}") from None


def shown_uri(uri: str | None) -> str | None:
    """Return a row's own address without user and password; None if it is none that evidence can carry."""
    if not uri or len(uri) > MAX_ADDRESS_CHARACTERS or not uri.isprintable() or not uri.strip():
        return None
    return re.sub(r"//[^/@]*@", "//", uri.strip())
