"""What a definition says about the facts of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derive.proofs import FieldProof, path_in_schema, read_field_proofs
from derive.proofs.fields import Path

MANY = "many"
"""The output schema's own member that lists the keys which may have several values."""

_VALUE = {"value": FieldProof()}
_NOTHING: Mapping[str, FieldProof] = {}
_KEY_MEMBERS = ("fact_key", "key")
_KEY_MEMBERS_BESIDE_A_VALUE = ("name", "attribute", "property", "field")


@dataclass(frozen=True)
class FactRules:
    """How the members of cited objects are judged, by their path in the schema, and which keys have several values."""

    proofs: Mapping[Path, Mapping[str, FieldProof]]
    many: frozenset[str] = frozenset()

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any]) -> "FactRules":
        """Read the rules from an answer's JSON schema, which is what a run keeps."""
        many = schema.get(MANY)
        keys = many if isinstance(many, list) else []
        return cls(read_field_proofs(schema), frozenset(key for key in keys if isinstance(key, str)))

    def judged_members(self, fact: Mapping[str, Any], path: tuple[int | str, ...]) -> Mapping[str, FieldProof]:
        """Return the members of a cited object that say its value, each with what it declares.

        ``value`` alone where the schema does not tell of objects in this place.
        """
        declared = self.proofs.get(path_in_schema(path))
        if declared is None:
            return _VALUE if "value" in fact else _NOTHING
        if len(declared) > 1 and not fact.keys() >= declared.keys():
            return {name: proof for name, proof in declared.items() if name in fact}
        return declared if fact.keys() >= declared.keys() else _NOTHING


def key_of_fact(fact: Mapping[str, Any], members: Mapping[str, FieldProof]) -> str | None:
    """Return what a cited object names as its key, or else the name of the one member that says its value.

    A key is the text of ``fact_key`` or ``key``; beside a ``value`` also of ``name``, ``attribute``, ``property`` or
    ``field``.
    """
    for name in _KEY_MEMBERS:
        if isinstance(fact.get(name), str):
            return str(fact[name]).strip() or None
    if "value" not in members:
        return next(iter(members)) if len(members) == 1 else None
    for name in _KEY_MEMBERS_BESIDE_A_VALUE:
        if name not in members and isinstance(fact.get(name), str):
            return str(fact[name]).strip() or None
    return None
