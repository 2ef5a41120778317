"""Fills any JSON schema that a model server's grammar supports, with values that identify themselves as fillers.

If the schema asks for cited facts (objects with ``evidence_ids`` and ``quote``), the caller's facts are used as far as
they match; everything else gets the simplest valid value.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from derive.demo.scalars import (
    FILLER_TEXT,
    Schema,
    UnfillableSchema,
    fill_number,
    fill_string,
    number_fits,
    string_fits,
)

CitedFact = dict[str, Any]

_DEEP = 6
"""From this depth on, optional members are left out, so that a recursive schema ends before it grows wide."""
_TOO_DEEP = 60
_MAX_VALUES = 20_000
_IMPLIED_TYPES = {
    "properties": "object",
    "required": "object",
    "minProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "minimum": "number",
    "maximum": "number",
}
"""The type of a schema without ``type``, by its other keywords; a string if there are none."""


class Filler:
    """Fills one schema.

    ``facts`` fill arrays of cited facts by their members' names; ``citation`` fills a required cited object for which
    there is no fact.
    """

    def __init__(self, schema: Any, *, facts: Sequence[CitedFact] = (), citation: CitedFact | None = None) -> None:
        self._root = schema
        self._facts = facts
        self._citation = next(iter(facts), citation or {})
        self._values = 0

    def fill(self) -> Any:
        """Return a value that the schema allows; raise UnfillableSchema if none is found."""
        return self._fill(self._root, depth=0)

    def _fill(self, schema: Any, *, depth: int) -> Any:
        self._values += 1
        if depth > _TOO_DEEP or self._values > _MAX_VALUES:
            raise UnfillableSchema("the schema never ends")
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return _first(schema["enum"], "enum")
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._fill_branch(schema, keyword, depth=depth)
        return self._fill_type(schema, depth=depth)

    def _fill_type(self, schema: Schema, *, depth: int) -> Any:
        kind = schema.get("type") or next((kind for word, kind in _IMPLIED_TYPES.items() if word in schema), "string")
        if isinstance(kind, list):
            kind = _first(kind, "type")
        by_type: dict[str, Callable[[], Any]] = {
            "object": lambda: self._fill_object(schema, depth=depth),
            "array": lambda: self._fill_array(schema, depth=depth),
            "string": lambda: fill_string(schema),
            "integer": lambda: fill_number(schema, whole=True),
            "number": lambda: fill_number(schema, whole=False),
            "boolean": lambda: False,
            "null": lambda: None,
        }
        if kind not in by_type:
            raise UnfillableSchema(f"unknown type {kind!r}")
        return by_type[kind]()

    def _resolve(self, schema: Any) -> Schema:
        """Resolve ``$ref`` and merge ``allOf``, so that only the schema's own keywords remain."""
        for _ in range(_TOO_DEEP):
            if not isinstance(schema, dict):
                raise UnfillableSchema(f"a schema must be an object, not {schema!r}")
            if "$ref" in schema:
                schema = {**self._target(schema["$ref"]), **_without(schema, "$ref")}
            elif "allOf" in schema:
                schema = _merged(_without(schema, "allOf"), *map(self._resolve, schema["allOf"]))
            else:
                return schema
        raise UnfillableSchema("references go round in a circle")

    def _target(self, reference: Any) -> Schema:
        target: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise UnfillableSchema(f"only local references are understood, not {reference!r}")
        for part in reference[1:].split("/")[1:]:
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise UnfillableSchema(f"unresolved reference {reference!r}")
        return target

    def _fill_branch(self, schema: Schema, keyword: str, *, depth: int) -> Any:
        """Use the first branch that can be filled; at great depth, prefer null to branches that go deeper."""
        outside = _without(schema, keyword)
        branches = [_merged(outside, self._resolve(branch)) for branch in schema[keyword]]
        if depth >= _DEEP:
            branches.sort(key=lambda branch: (branch.get("type") != "null", branch.get("type") in ("object", "array")))
        refused = UnfillableSchema(f"{keyword} has no branch")
        for branch in branches:
            try:
                return self._fill(branch, depth=depth + 1)
            except UnfillableSchema as error:
                refused = error
        raise refused

    def _fill_object(self, schema: Schema, *, depth: int, known: CitedFact | None = None) -> dict[str, Any]:
        properties: Schema = schema.get("properties", {})
        required: list[str] = schema.get("required", [])
        if known is None:
            known = self._citation if _is_cited(schema) else {}
        filled: dict[str, Any] = {}
        for name, member in properties.items():
            if name in known and self.fits(member, known[name]):
                filled[name] = known[name]
            elif name in required:
                filled[name] = self._fill(member, depth=depth + 1)
            elif depth < _DEEP:
                filled.update(self._fill_optional(name, member, depth=depth + 1))
        undeclared = [name for name in required if name not in filled]
        undeclared += [
            f"{FILLER_TEXT}-{n}" for n in range(schema.get("minProperties", 0) - len(filled) - len(undeclared))
        ]
        for name in undeclared:
            filled[name] = self._fill_anything(schema.get("additionalProperties", True), depth=depth + 1)
        return filled

    def _fill_optional(self, name: str, member: Any, *, depth: int) -> dict[str, Any]:
        try:
            return {name: self._fill(member, depth=depth)}
        except UnfillableSchema:
            return {}

    def _fill_anything(self, schema: Any, *, depth: int) -> Any:
        return FILLER_TEXT if schema is True or schema == {} else self._fill(schema, depth=depth)

    def _fill_array(self, schema: Schema, *, depth: int) -> list[Any]:
        least: int = schema.get("minItems", 0)
        most: float = schema.get("maxItems", math.inf)
        items = schema.get("items", True)
        filled = [self._fill(item, depth=depth + 1) for item in schema.get("prefixItems", [])[: least or None]]
        if isinstance(items, dict) and _is_cited(self._resolve(items)):
            filled += self._cited_array(self._resolve(items), most=most - len(filled), depth=depth)
        while len(filled) < least:
            item = self._fill_anything(items, depth=depth + 1)
            filled.append(self._another(items, item, filled) if schema.get("uniqueItems") else item)
        return filled

    def _cited_array(self, items: Schema, *, most: float, depth: int) -> list[Any]:
        """Return an object for each fact whose known members all match their schemas."""
        found: list[Any] = []
        properties = items["properties"]
        for fact in self._facts:
            if len(found) >= most:
                break
            if all(self.fits(properties[name], value) for name, value in fact.items() if name in properties):
                found.append(self._fill_object(items, depth=depth + 1, known=fact))
        if not found and most >= 1 and self._citation and _asks_for_other_facts(properties):
            # No rule finds such facts, so one object shows what an answer looks like.
            found.append(self._fill_object(items, depth=depth + 1))
        return found

    def _another(self, items: Any, item: Any, taken: list[Any]) -> Any:
        """Return an item that is not yet in an array of unique items."""
        schema = self._resolve(items) if isinstance(items, dict) else {}
        tries: list[Any] = [item, *schema.get("enum", ())]
        if isinstance(item, bool):
            tries.append(True)
        elif isinstance(item, int | float):
            step = schema.get("multipleOf", 1)
            tries += [item + sign * step * n for n in range(1, len(taken) + 1) for sign in (1, -1)]
        elif isinstance(item, str):
            most = schema.get("maxLength", 1000)
            tries += [f"{item[: most - len(tail)]}{tail}" for tail in (f"-{n}" for n in range(1, len(taken) + 1))]
        for other in tries:
            if other not in taken and self.fits(schema, other):
                return other
        raise UnfillableSchema("found no further item for an array of unique ones")

    def fits(self, schema: Any, value: Any) -> bool:
        """Return whether the schema allows a known string, number or list of strings."""
        schema = self._resolve(schema)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return any(self.fits(_merged(_without(schema, keyword), branch), value) for branch in schema[keyword])
        if "const" in schema or "enum" in schema:
            return value in schema.get("enum", [schema.get("const")])
        kind = schema.get("type")
        if isinstance(kind, list):
            return any(self.fits({**schema, "type": one}, value) for one in kind)
        if isinstance(value, str):
            return kind in (None, "string") and string_fits(schema, value)
        if isinstance(value, list):
            within = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf)
            return (
                kind in (None, "array") and within and all(self.fits(schema.get("items", {}), item) for item in value)
            )
        return kind in (None, "integer", "number") and number_fits(schema, value)


def _asks_for_other_facts(properties: Schema) -> bool:
    """Whether the schema itself names the kinds of its cited facts, or has one kind without a name."""
    key = properties.get("fact_key")
    return not isinstance(key, dict) or "enum" in key or "const" in key


def _is_cited(schema: Schema) -> bool:
    return {"evidence_ids", "quote"} <= set(schema.get("properties", {}))


def _first(values: list[Any], keyword: str) -> Any:
    if not values:
        raise UnfillableSchema(f"{keyword} is empty")
    return values[0]


def _without(schema: Schema, keyword: str) -> Schema:
    return {name: value for name, value in schema.items() if name != keyword}


def _merged(*schemas: Schema) -> Schema:
    """Merge schemas that all apply: unite properties and required; of any other keyword, the last one wins."""
    merged: Schema = {}
    for schema in schemas:
        properties = {**merged.get("properties", {}), **schema.get("properties", {})}
        required = list(dict.fromkeys([*merged.get("required", []), *schema.get("required", [])]))
        merged = {**merged, **schema}
        merged.update({"properties": properties} if properties else {}, **({"required": required} if required else {}))
    return merged
