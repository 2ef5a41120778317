"""Strings and numbers for a JSON schema: creates simple valid values, and validates given ones."""

import math
import re
from typing import Any

from derive.demo.patterns import PatternRefused, shortest_match

FILLER_TEXT = "holocron-demo"
_FORMATS = {
    "date-time": "1977-05-25T00:00:00Z",
    "date": "1977-05-25",
    "time": "00:00:00Z",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "email": "nobody@holocron-demo.example",
    "uri": "urn:holocron-demo",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "holocron-demo.example",
    "duration": "PT0S",
}

Schema = dict[str, Any]


class UnfillableSchema(ValueError):
    """The schema cannot be filled: it contradicts itself, recurses forever, or uses something unsupported."""


def fill_string(schema: Schema) -> str:
    """Return the filler's name, cut or padded to the limits, or a short text with the required pattern or format."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if "pattern" in schema:
        try:
            text = shortest_match(schema["pattern"], min_length=least)
        except (PatternRefused, re.error) as error:
            raise UnfillableSchema(str(error)) from error
    elif schema.get("format") in _FORMATS:
        text = _FORMATS[schema["format"]]
    else:
        text = FILLER_TEXT if most >= len(FILLER_TEXT) else FILLER_TEXT[: int(most)]
        text = text.ljust(least, ".")
    if not least <= len(text) <= most:
        raise UnfillableSchema(f"no text found of {least} to {most} characters")
    return text


def fill_number(schema: Schema, *, whole: bool) -> int | float:
    """Return the number nearest to zero within the bounds."""
    step = schema.get("multipleOf", 1 if whole else None)
    least, most = _bounds(schema, whole=whole)
    number: int | float = 0 if least <= 0 <= most else least if least > 0 else most
    if step is not None:
        multiple = math.ceil(number / step) if number > 0 else math.floor(number / step)
        number = multiple * step
    if not number_fits(schema, number):
        raise UnfillableSchema(f"no number found from {least} to {most}")
    return int(number) if whole else number


def _bounds(schema: Schema, *, whole: bool) -> tuple[float, float]:
    """Return the lowest and highest allowed number; for exclusive bounds, a number just inside."""
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    if whole:
        if above > -math.inf:
            least = max(least, math.floor(above) + 1)
        if below < math.inf:
            most = min(most, math.ceil(below) - 1)
        return (math.ceil(least) if least > -math.inf else least, math.floor(most) if most < math.inf else most)
    if above >= least:
        least = above + 1 if above + 1 <= most and above + 1 < below else (above + min(most, below)) / 2
    if below <= most:
        most = below - 1 if below - 1 >= least else (below + least) / 2
    return least, most


def string_fits(schema: Schema, value: str) -> bool:
    """Return whether the text matches the schema's lengths and pattern."""
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        return False
    return "pattern" not in schema or re.search(schema["pattern"], value) is not None


def number_fits(schema: Schema, value: float) -> bool:
    """Return whether the number is within the schema's bounds."""
    return bool(
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf)
        and math.isfinite(value)
    )
