"""Lints the proof rules an output model declares for its facts; a misspelt rule would silently check nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from derive.interrogations.lint import LintFinding, schema_nodes
from derive.proofs import RULES
from derive.proofs.fields import UNJUDGED
from derive.proofs.units import unit_named


def lint_facts(schema: Any) -> tuple[LintFinding, ...]:
    """Return the faults of the declarations ``proof``, ``unit`` and ``synonyms`` in an output schema."""
    return tuple(
        LintFinding(path=path, level="error", problem=problem, instead=instead)
        for path, node in schema_nodes(schema, "#")
        if isinstance(node, Mapping)
        for problem, instead in _problems(node)
    )


def list_of_facts(schema: Mapping[str, Any]) -> str | None:
    """Return the name of an answer's only member if it is a list of objects that cite evidence."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or len(properties) != 1:
        return None
    ((name, only),) = properties.items()
    items = only.get("items") if isinstance(only, Mapping) and only.get("type") == "array" else None
    if isinstance(items, Mapping) and "$ref" in items:
        items = schema.get("$defs", {}).get(str(items["$ref"]).rpartition("/")[2])
    members = items.get("properties") if isinstance(items, Mapping) else None
    return name if isinstance(members, Mapping) and {"evidence_ids", "quote"} <= members.keys() else None


def _problems(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    rules = (*RULES, UNJUDGED)
    if "proof" in node and node["proof"] not in rules:
        yield f"there is no proof rule {str(node['proof'])[:60]!r}", f"there are: {', '.join(rules)}"
    if "unit" in node and (not isinstance(node["unit"], str) or unit_named(node["unit"]) is None):
        yield f"{str(node['unit'])[:60]!r} is no known unit", "write it as prose does, like m, kg, °C or USD"
    if "synonyms" in node and not _are_synonyms(node["synonyms"]):
        yield "synonyms must map each choice to a list of words", 'write {"single": ["unmarried", "never married"]}'


def _are_synonyms(synonyms: Any) -> bool:
    return isinstance(synonyms, Mapping) and all(
        isinstance(words, list | tuple) and all(isinstance(word, str) for word in words) for words in synonyms.values()
    )
