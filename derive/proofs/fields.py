"""Reads which rule, unit and choices an output model declares for the members of its cited objects.

For example ``height: Annotated[str, Field(json_schema_extra={"proof": "number", "unit": "m"})]``. They are read from
the JSON schema, because that is what a run stores.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from derive.proofs.judgement import Context

ANY_PLACE = "*"
"""Represents every position in a list in a path."""
UNJUDGED = "none"
"""The ``proof`` of a member that is not judged."""

_REFERENCE = "#/$defs/"
_MOST_SCHEMAS = 2_000
_ABOUT_THE_FACT = frozenset({"quote", "evidence_ids", "confidence", "fact_key", "key"})
_DECLARATIONS = frozenset({"proof", "unit", "synonyms"})

Path = tuple[str, ...]


class FieldProof(NamedTuple):
    """A member's declaration: a rule's name (empty: chosen by the value's form), a unit, and choices with synonyms."""

    proof: str = ""
    unit: str = ""
    choices: Mapping[str, tuple[str, ...]] = {}

    def context(self, *, key: str = "", entity: str = "") -> Context:
        """Return the context in which a value of this member is judged."""
        return Context(key=key, unit=self.unit, choices=self.choices, entity=entity, proof=self.proof)


def read_field_proofs(schema: Mapping[str, Any]) -> dict[Path, dict[str, FieldProof]]:
    """Return the members to judge, with their declarations, for each kind of cited object in an answer's JSON schema.

    The key is the object's path, with "*" for a position in a list: ``("facts", "*")``. A cited object has the members
    ``evidence_ids`` and ``quote``. ``value`` is judged, and each member that declares ``proof``, ``unit`` or
    ``synonyms``, unless its ``proof`` is "none"; if there are none of these, the only other member is judged. An enum
    defines the choices; ``synonyms`` maps each of them to a list.
    """
    definitions = schema.get("$defs")
    walk = _Walk(definitions if isinstance(definitions, Mapping) else {})
    found: dict[Path, dict[str, FieldProof]] = {}
    for path, properties in walk.cited_objects(schema, (), ()):
        members = found.setdefault(path, {})
        others = {name: walk.resolved(member) for name, member in properties.items() if name not in _ABOUT_THE_FACT}
        declared = [name for name in others if name == "value" or not _DECLARATIONS.isdisjoint(others[name])]
        for name in declared or (others if len(others) == 1 else ()):
            members[name] = _field_proof(others[name])
        for name in [name for name, proof in members.items() if proof.proof == UNJUDGED]:
            del members[name]
    return found


@lru_cache(maxsize=2_048)
def path_in_schema(path: tuple[int | str, ...]) -> Path:
    """Return the path under which ``read_field_proofs`` lists an object at this path of an answer."""
    return tuple(ANY_PLACE if isinstance(part, int) else part for part in path)


def _field_proof(member: Mapping[str, Any]) -> FieldProof:
    proof, unit, synonyms = member.get("proof"), member.get("unit"), member.get("synonyms")
    choices: dict[str, tuple[str, ...]] = {}
    for choice in _enum_of(member):
        if isinstance(choice, str):
            choices[choice] = ()
    if isinstance(synonyms, Mapping):
        for choice, words in synonyms.items():
            if isinstance(words, list | tuple):
                choices[str(choice)] = tuple(word for word in words if isinstance(word, str))
    return FieldProof(
        proof=proof if isinstance(proof, str) else "", unit=unit if isinstance(unit, str) else "", choices=choices
    )


def _enum_of(member: Mapping[str, Any]) -> list[Any]:
    if isinstance(member.get("enum"), list):
        return list(member["enum"])
    return [member["const"]] if "const" in member else []


class _Walk:
    """One pass over a schema, which may refer to its own definitions and be recursive."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._left = _MOST_SCHEMAS

    def resolved(self, schema: Any) -> dict[str, Any]:
        """Return a member's schema with its reference and a nullable ``anyOf`` resolved."""
        merged: dict[str, Any] = {}
        for _ in range(8):
            if not isinstance(schema, Mapping):
                return merged
            merged = {**schema, **merged}
            merged.pop("$ref", None)
            others = merged.pop("anyOf", None)
            if isinstance(others, list):
                others = [one for one in others if isinstance(one, Mapping) and one.get("type") != "null"]
                schema = others[0] if len(others) == 1 else None
            else:
                schema = self._target(schema)
        return merged

    def _target(self, schema: Mapping[str, Any]) -> Any:
        name = _definition_named(schema)
        return None if name is None else self._definitions.get(name)

    def cited_objects(self, schema: Any, path: Path, inside: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Yield the path and properties of each cited object; ``inside`` names the enclosing definitions."""
        self._left -= 1
        if self._left < 0 or not isinstance(schema, Mapping):
            return
        name = _definition_named(schema)
        if name is not None and name not in inside:
            yield from self.cited_objects(self._definitions.get(name), path, (*inside, name))
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            if "quote" in properties and "evidence_ids" in properties:
                yield path, properties
            for member_name, member in properties.items():
                yield from self.cited_objects(member, (*path, str(member_name)), inside)
        yield from self.cited_objects(schema.get("items"), (*path, ANY_PLACE), inside)
        for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
            for other in schema[word] if isinstance(schema.get(word), list) else ():
                yield from self.cited_objects(other, (*path, ANY_PLACE) if word == "prefixItems" else path, inside)


def _definition_named(schema: Mapping[str, Any]) -> str | None:
    reference = schema.get("$ref")
    return (
        reference.removeprefix(_REFERENCE) if isinstance(reference, str) and reference.startswith(_REFERENCE) else None
    )
