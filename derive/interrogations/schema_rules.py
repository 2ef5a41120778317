"""The table behind the schema lint: which keywords the grammar enforces, ignores or refuses, and what to use instead.

Source: measured against llama.cpp's grammar, 2026-10 (see ``lint``).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

SUBSCHEMA_MAPS = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
SUBSCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
SUBSCHEMAS = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedProperties"}
)

MAX_ENFORCED_LENGTH = 2000
_ENFORCED_FORMATS = frozenset({"date-time", "date", "time", "uuid"})
_NOTES = frozenset({"title", "description", "default", "examples", "$defs", "definitions", "$schema", "$comment"})

_NOT_ENFORCED = {
    "uniqueItems": "leave it out, and let the output model or the reader drop what stands twice",
    "if": "use anyOf of closed objects",
    "then": "use anyOf of closed objects",
    "else": "use anyOf of closed objects",
    "patternProperties": "use an array of objects with a key and a value",
    "propertyNames": "use an array of objects with a key and a value",
    "minProperties": "name the properties and require them",
    "maxProperties": "name the properties and require them",
    "dependentRequired": "use anyOf of closed objects",
    "dependentSchemas": "use anyOf of closed objects",
    "not": "say what is allowed",
    "contains": "use minItems and the items' own schema",
    "multipleOf": "use an enum, or check it in the output model",
    "unevaluatedProperties": "close the object with additionalProperties: false",
    "oneOf": "use anyOf: the grammar takes either form for the other",
}
_EXCLUSIVE_BOUNDS = ("exclusiveMinimum", "exclusiveMaximum")

# A group with a quantifier inside or an alternative, itself repeated: the form that can take exponential time.
_REPEATED_GROUP = re.compile(r"\((?:[^()\\]|\\.)*(?:[*+}|])(?:[^()\\]|\\.)*\)(?:[*+]|\{\d*,)")
_NESTED_REPEATED_GROUP = re.compile(r"\)[^()]*\)(?:[*+]|\{\d*,)")
_LOOK_AROUND = re.compile(r"\(\?|\\[1-9bBAZ]")


class Problem(NamedTuple):
    """One finding before it has a path."""

    level: Literal["error", "warning"]
    what: str
    instead: str


def problems_of(node: Any) -> Iterator[Problem]:
    """Yield what is wrong with one schema itself, not with those in it."""
    if isinstance(node, bool):
        yield Problem("error", f"the schema {str(node).lower()} is refused by the server", "say what is allowed")
        return
    if not isinstance(node, Mapping):
        yield Problem("error", "no schema stands here", "write an object")
        return
    for keyword, instead in _NOT_ENFORCED.items():
        if keyword in node:
            yield Problem("warning", f"{keyword} is not enforced while the model writes", instead)
    if "$dynamicRef" in node or "$id" in node or "$anchor" in node:
        yield Problem("error", "only plain local references are understood", "refer to #/$defs/…")
    if "properties" in node and ("anyOf" in node or "oneOf" in node or "allOf" in node):
        yield Problem(
            "warning", "properties beside anyOf in one object: not enforced together", "repeat them in each form"
        )
    types = node.get("type", "object" if "properties" in node else None)
    for kind in types if isinstance(types, list) else [types]:
        if kind in _TYPE_RULES:
            yield from _TYPE_RULES[kind](node)
    if types is None and not set(node) - _NOTES:
        yield Problem("warning", "anything at all fits here", "say of which type it is")


def _object_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    properties = node.get("properties", {})
    optional = [name for name in properties if name not in node.get("required", ())]
    if optional:
        yield Problem(
            "warning",
            f"not required, so the model often skips them: {', '.join(optional)}",
            "require them, nullable as anyOf with null where there may be no value",
        )
    if node.get("additionalProperties") is not False:
        yield Problem(
            "warning",
            "the object is open: the grammar closes it or lets anything in, and validation lets anything in",
            'close it: additionalProperties false (Pydantic: extra="forbid")',
        )
    if list(properties) != sorted(properties):
        yield Problem(
            "warning",
            "the members are not in alphabetical order, in which one of Ollama's paths writes them",
            f"declare them as {', '.join(sorted(properties))}, or name them so that what comes first sorts first",
        )


def _array_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    if "maxItems" not in node:
        yield Problem(
            "warning", "an array without an end: the model may go on until its budget is gone", "give maxItems"
        )
    if "items" not in node and "prefixItems" not in node:
        yield Problem("warning", "the items may be anything", "give items a schema")


def _string_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    length = node.get("maxLength")
    if "enum" not in node and "const" not in node and "format" not in node and length is None:
        yield Problem("warning", "a text without an end", "give maxLength, at most 1000")
    if isinstance(length, int) and length > MAX_ENFORCED_LENGTH:
        yield Problem("warning", f"maxLength over {MAX_ENFORCED_LENGTH} is not enforced", "keep it to 1000")
    if "format" in node and node["format"] not in _ENFORCED_FORMATS:
        yield Problem("warning", f"format {node['format']} is not enforced", "check it in the output model")
    if "pattern" in node:
        yield from _pattern_problems(str(node["pattern"]))


def _pattern_problems(pattern: str) -> Iterator[Problem]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield Problem("error", f"the pattern is no expression: {error}", "correct it")
        return
    if not (pattern.startswith("^") and pattern.endswith("$")):
        yield Problem("warning", "a pattern that is not anchored is not enforced", "write ^…$")
    if _LOOK_AROUND.search(pattern):
        yield Problem("warning", "the grammar knows only simple patterns", "do without look-arounds and references")
    if _REPEATED_GROUP.search(pattern) or _NESTED_REPEATED_GROUP.search(pattern):
        yield Problem(
            "error", "a repeated group that itself repeats or chooses can take for ever to match", "flatten the pattern"
        )


def _integer_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    if "enum" in node or "const" in node:
        return
    if not {"minimum", "maximum"} <= set(node):
        yield Problem("warning", "a whole number without bounds", "give minimum and maximum")
    if any(keyword in node for keyword in _EXCLUSIVE_BOUNDS):
        yield Problem("warning", "exclusive bounds were not measured to be enforced", "use minimum and maximum")


def _number_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    bounds = [name for name in ("minimum", "maximum", *_EXCLUSIVE_BOUNDS) if name in node]
    also = f", and {', '.join(bounds)} of a number is not enforced" if bounds else ""
    yield Problem("warning", f"a number can come back as -5E9028{also}", "use a bounded integer (0 to 100)")


_TYPE_RULES: dict[Any, Callable[[Mapping[str, Any]], Iterator[Problem]]] = {
    "object": _object_problems,
    "array": _array_problems,
    "string": _string_problems,
    "integer": _integer_problems,
    "number": _number_problems,
}
