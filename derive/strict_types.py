"""Types that validate their values: storable text, strict JSON, keys, hashes, ids and times.

Each raises ValueError, which Pydantic reports.
"""

import json
import re
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, NoReturn
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

MAX_INT = 2**31 - 1
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")
MOST_MODELS = 500
"""Maximum number of models reported per server."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""The earliest time that a procedure accepts, on either engine."""
LATEST = datetime(9000, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""The latest time that a procedure accepts; it leaves room for additions before the engines' own limits."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
"""Created once: ``json.loads`` with hooks creates a decoder per call, which takes longer than parsing a short text."""


def parse_json(text: str) -> Any:
    """Parse JSON strictly; raise ValueError for NaN, Infinity and duplicate keys."""
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte-order mark (BOM)")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_storable(text: str) -> str:
    """Return the text; raise ValueError if a database cannot store it (U+0000, a lone surrogate)."""
    if "\x00" in text:
        raise ValueError("holds the character U+0000, which cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no character") from None
    return text


def _check_storable_deep(value: Any) -> None:
    if isinstance(value, str):
        check_storable(value)
    elif isinstance(value, dict):
        for key, member in value.items():
            check_storable(key)
            _check_storable_deep(member)
    elif isinstance(value, list):
        for member in value:
            _check_storable_deep(member)


def check_json_object(text: str) -> str:
    """Return the text unchanged; raise ValueError unless it is one storable JSON object."""
    check_storable(text)
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    if "\\u" in text:
        try:
            _check_storable_deep(value)
        except RecursionError:
            raise ValueError("nested too deeply") from None
    return text


def _check_ends(text: str) -> str:
    if text != text.strip():
        raise ValueError("has blanks at an end")
    return check_storable(text)


def _readable(text: Any) -> Any:
    return _UNREADABLE.sub("\ufffd", text) if isinstance(text, str) else text


def _storable_names(names: Any) -> Any:
    cleaned = (_readable(name).strip()[:200].rstrip() for name in names if isinstance(name, str))
    return tuple(islice((name for name in cleaned if name), MOST_MODELS))


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def check_bounds(moment: datetime) -> datetime:
    """Return the time in UTC; raise ValueError if the procedures would reject it."""
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("must be in the years 2000 to 9000")
    return moment.astimezone(UTC)


JsonObjectText = Annotated[str, AfterValidator(check_json_object)]
Utc = Annotated[AwareDatetime, AfterValidator(_to_utc)]
BoundedUtc = Annotated[AwareDatetime, AfterValidator(check_bounds)]
Key200 = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_ends)]
Key400 = Annotated[str, Field(min_length=1, max_length=400), AfterValidator(_check_ends)]
StorableText = Annotated[str, AfterValidator(check_storable)]
ReadableText = Annotated[str, BeforeValidator(_readable)]
"""Text in which U+0000 and lone surrogates, which no engine can store, become U+FFFD; positions do not change."""
ModelNames = Annotated[tuple[str, ...], BeforeValidator(_storable_names)]
"""A server's model names: storable, stripped, at most 200 characters each, at most ``MOST_MODELS``."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Guid = Annotated[UUID, BeforeValidator(lambda value: UUID(value) if isinstance(value, str) else value)]


class Frozen(BaseModel):
    """Base class of immutable values that are validated on creation; unknown members are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")
