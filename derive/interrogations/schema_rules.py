"""The table behind the schema lint: which keywords the grammar enforces, ignores or rejects, and the alternatives.

Source: 91 schemas sent to Ollama of 2026-08 with llama.cpp b10434, and some more to b11549 (see ``lint``).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from derive.interrogations.patterns import MAX_REPETITIONS, most_repetitions, refused_escapes

SUBSCHEMA_MAPS = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
SUBSCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
SUBSCHEMAS = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedProperties"}
)

MAX_ENFORCED_LENGTH = 1999
REFUSED_LENGTH = 2000
"""The grammar rejects a maximum length of exactly this many characters and does not enforce a greater one."""
MAX_ENFORCED_ITEMS = 1998
REFUSED_ITEMS = range(1999, 2002)
_ENFORCED_FORMATS = frozenset({"date-time", "date", "time", "uuid"})
_NOTES = frozenset({"title", "description", "default", "examples", "$defs", "definitions", "$schema", "$comment"})

_NOT_ENFORCED = {
    "uniqueItems": "leave it out, and let the output model or the reader drop duplicates",
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
}
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LOOK_AROUND = re.compile(r"(?<!\\)\(\?(?!:)")


class Problem(NamedTuple):
    """A finding without its path."""

    level: Literal["error", "warning"]
    what: str
    instead: str


def problems_of(node: Any) -> Iterator[Problem]:
    """Yield the faults of one schema itself, not those of the schemas inside it."""
    if isinstance(node, bool):
        yield Problem("error", f"the schema {str(node).lower()} is refused by the server", "say what is allowed")
        return
    if not isinstance(node, Mapping):
        yield Problem("error", "no schema stands here", "write an object")
        return
    for keyword, instead in _NOT_ENFORCED.items():
        if keyword in node:
            yield Problem("warning", f"{keyword} is not enforced while the model writes", instead)
    yield from _impossible(node)
    yield from _reference_problems(node)
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


def _reference_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    beside = sorted(set(node) - _NOTES - {"$ref"}) if "$ref" in node else []
    if beside:
        yield Problem(
            "warning",
            f"{', '.join(beside)} beside $ref is not enforced while the model writes",
            "put it into what is referred to",
        )
    if "$dynamicRef" in node or "$id" in node or "$anchor" in node:
        yield Problem("error", "only plain local references are understood", "refer to #/$defs/…")


def _impossible(node: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield requirements that no answer can meet; the server rejects them, writes invalid answers, or crashes."""
    for least, most in (("minItems", "maxItems"), ("minLength", "maxLength")):
        if _number(node, least, 0) > _number(node, most, float("inf")):
            yield Problem("error", f"{least} over {most} takes the server's runner down", "correct the bounds")
    if _number(node, "minimum", float("-inf")) > _number(node, "maximum", float("inf")):
        yield Problem("error", "minimum is over maximum: no number fits", "correct the bounds")
    for keyword in ("enum", "anyOf", "oneOf", "type"):
        if node.get(keyword) == []:
            yield Problem("error", f"{keyword} is empty; the server refuses the schema", "say what is allowed")
    types = node.get("type", [])
    unknown = [str(kind) for kind in (types if isinstance(types, list) else [types]) if kind not in _TYPES]
    if unknown:
        yield Problem("error", f"there is no type {unknown[0]}", f"there are: {', '.join(sorted(_TYPES))}")


def _number(node: Mapping[str, Any], keyword: str, otherwise: float) -> float:
    value = node.get(keyword)
    return value if isinstance(value, int | float) else otherwise


def _object_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    properties = node.get("properties", {})
    undeclared = [str(name) for name in node.get("required", ()) if name not in properties]
    if undeclared:
        yield Problem(
            "error",
            f"requires {', '.join(undeclared)}, which it does not declare: no answer is ever valid",
            "declare it",
        )
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
    elif node["maxItems"] in REFUSED_ITEMS:
        yield Problem("error", f"maxItems {node['maxItems']} is refused by the server", "keep it to 1000")
    elif _number(node, "maxItems", 0) > MAX_ENFORCED_ITEMS:
        yield Problem("warning", f"maxItems over {MAX_ENFORCED_ITEMS} is not enforced", "keep it to 1000")
    if "items" not in node and "prefixItems" not in node:
        yield Problem("warning", "the items may be anything", "give items a schema")


def _string_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    length = node.get("maxLength")
    if "enum" not in node and "const" not in node and "format" not in node and length is None:
        yield Problem("warning", "a text without an end", "give maxLength, at most 1000")
    if length == REFUSED_LENGTH:
        yield Problem("error", f"maxLength {length} is refused by the server", "keep it to 1000")
    elif isinstance(length, int) and length > MAX_ENFORCED_LENGTH:
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
        yield Problem("error", "a pattern that is not anchored is refused by the server", "write ^…$")
    escapes = refused_escapes(pattern)
    if escapes:
        yield Problem(
            "error",
            f"{' '.join(escapes)} in a pattern is refused by the server",
            "write the characters out: [0-9], [ ]",
        )
    if most_repetitions(pattern) > MAX_REPETITIONS:
        yield Problem("error", f"more than {MAX_REPETITIONS} repetitions are refused by the server", "repeat less")
    if _LOOK_AROUND.search(pattern):
        yield Problem("warning", "look-arounds and flags in a pattern are not enforced", "do without them")


def _integer_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    if "enum" in node or "const" in node:
        return
    if not any(keyword in node for keyword in _BOUNDS):
        yield Problem("warning", "a whole number without bounds", "give minimum or maximum")


def _number_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    bounds = [name for name in _BOUNDS if name in node]
    also = f", and {', '.join(bounds)} of a number is not enforced" if bounds else ""
    yield Problem("warning", f"a number can come back as -5E9028{also}", "use a bounded integer (0 to 100)")


_TYPE_RULES: dict[Any, Callable[[Mapping[str, Any]], Iterator[Problem]]] = {
    "object": _object_problems,
    "array": _array_problems,
    "string": _string_problems,
    "integer": _integer_problems,
    "number": _number_problems,
}
