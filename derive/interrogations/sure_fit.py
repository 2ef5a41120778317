"""A quick yes: a plain schema made into one function, which tells in a fraction of the time that a value fits.

It is sure of its yes alone. Where it says no, and of a schema with any rule that is not known here, jsonschema judges,
which also says what is wrong. A test holds the two together.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Fits = Callable[[Any], bool]

MAX_MATCHED_CHARACTERS = 10_000
"""Of a text without ``maxLength`` that a pattern is matched against."""

_NOTES = frozenset({"title", "description", "default", "examples", "$comment", "$schema", "$defs", "format"})
"""Words that judge nothing, ``format`` by the standard's own default."""


class _Unknown(Exception):
    """A rule that only jsonschema knows."""


def sure_fit(schema: Any) -> Fits | None:
    """Return what tells that a value surely fits the schema; None for a schema of which it cannot tell."""
    try:
        return _fit(schema)
    except (_Unknown, re.error):
        return None


def to_the_end(pattern: str) -> str:
    """Return a schema's pattern for Python, whose ``$`` also lets a line feed follow; the model server's does not."""
    return pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern


def _fit(schema: Any) -> Fits:
    if not isinstance(schema, Mapping):
        raise _Unknown
    words = schema.keys() - _NOTES
    if words == {"anyOf"}:
        return _any_of([_fit(one) for one in schema["anyOf"]])
    kind = "enum" if "enum" in words else schema.get("type")
    known, make = _MAKERS.get(kind, (frozenset(), None)) if isinstance(kind, str) else (frozenset(), None)
    if make is None or not words <= known:
        raise _Unknown
    return make(schema)


def _any_of(forms: list[Fits]) -> Fits:
    return lambda value: any(fits(value) for fits in forms)


def _object(schema: Mapping[str, Any]) -> Fits:
    if schema.get("additionalProperties") is not False:
        raise _Unknown
    members = {name: _fit(one) for name, one in schema.get("properties", {}).items()}
    required = frozenset(schema.get("required", ()))

    def fits(value: Any) -> bool:
        if type(value) is not dict or not required <= value.keys():
            return False
        for name, member in value.items():
            member_fits = members.get(name)
            if member_fits is None or not member_fits(member):
                return False
        return True

    return fits


def _array(schema: Mapping[str, Any]) -> Fits:
    least, most = schema.get("minItems", 0), schema.get("maxItems", float("inf"))
    item_fits = _fit(schema["items"]) if "items" in schema else lambda _: True
    return lambda value: type(value) is list and least <= len(value) <= most and all(map(item_fits, value))


def _string(schema: Mapping[str, Any]) -> Fits:
    least, most = schema.get("minLength", 0), schema.get("maxLength", float("inf"))
    if "pattern" not in schema:
        return lambda value: type(value) is str and least <= len(value) <= most
    matches = re.compile(to_the_end(schema["pattern"])).search
    most = min(most, schema.get("maxLength", MAX_MATCHED_CHARACTERS))
    return lambda value: type(value) is str and least <= len(value) <= most and matches(value) is not None


def _choice(schema: Mapping[str, Any]) -> Fits:
    choices = schema["enum"]
    if schema.get("type", "string") != "string" or not all(isinstance(one, str) for one in choices):
        raise _Unknown
    return lambda value: type(value) is str and value in choices


def _number(schema: Mapping[str, Any]) -> Fits:
    least, most = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    kinds = (int,) if schema["type"] == "integer" else (int, float)
    return lambda value: type(value) in kinds and least <= value <= most


def _constant(schema: Mapping[str, Any]) -> Fits:
    kind = {"boolean": bool, "null": type(None)}[schema["type"]]
    return lambda value: type(value) is kind


_MAKERS: Mapping[str, tuple[frozenset[str], Callable[[Mapping[str, Any]], Fits]]] = {
    "object": (frozenset({"type", "properties", "required", "additionalProperties"}), _object),
    "array": (frozenset({"type", "items", "minItems", "maxItems"}), _array),
    "string": (frozenset({"type", "minLength", "maxLength", "pattern"}), _string),
    "enum": (frozenset({"type", "enum"}), _choice),
    "integer": (frozenset({"type", "minimum", "maximum"}), _number),
    "number": (frozenset({"type", "minimum", "maximum"}), _number),
    "boolean": (frozenset({"type"}), _constant),
    "null": (frozenset({"type"}), _constant),
}
"""By type (or ``enum``): the words that are known beside it, and what makes the function."""
