"""A definition's rules for the facts of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derive.proofs import FieldProof, path_in_schema, read_field_proofs
from derive.proofs.fields import Path

MANY = "many"
"""The member of the output schema that lists the keys which may have several values."""

_VALUE = {"value": FieldProof()}
_NOTHING: Mapping[str, FieldProof] = {}
_KEY_MEMBERS = ("fact_key", "key")
_KEY_MEMBERS_BESIDE_A_VALUE = ("name", "attribute", "property", "field")


@dataclass(frozen=True)
class FactRules:
    """How members of cited objects are judged, by schema path, and which keys may have several values."""

    proofs: Mapping[Path, Mapping[str, FieldProof]]
    many: frozenset[str] = frozenset()

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any]) -> "FactRules":
        """Read the rules from an answer's JSON schema, which is what a run stores."""
        many = schema.get(MANY)
        keys = many if isinstance(many, list) else []
        return cls(read_field_proofs(schema), frozenset(key for key in keys if isinstance(key, str)))

    def judged_members(self, fact: Mapping[str, Any], path: tuple[int | str, ...]) -> Mapping[str, FieldProof]:
        """Return the members of a cited object that state its value, each with its declaration.

        Returns only ``value`` if the schema does not describe an object at this path.
        """
        declared = self.proofs.get(path_in_schema(path))
        if declared is None:
            return _VALUE if "value" in fact else _NOTHING
        if len(declared) > 1 and not fact.keys() >= declared.keys():
            return {name: proof for name, proof in declared.items() if name in fact}
        return declared if fact.keys() >= declared.keys() else _NOTHING


def key_of_fact(fact: Mapping[str, Any], members: Mapping[str, FieldProof]) -> str | None:
    """Return the key of a cited object, or else the name of the only member that states its value.

    The key is the text of ``fact_key`` or ``key`` or, if there is a ``value``, of ``name``, ``attribute``,
    ``property`` or ``field``.
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
