"""A class name has one meaning in the whole tree."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Django finds these by their name; a table's row bears the name of the thing it is a row of.
SHARED = {"Command", "Migration", "Interrogation", "Worker", "Fact"}
# Interrogation packages name what they ask for; ``Fact`` stands in the schema of a registered definition.
OF_PACKAGES = ROOT / "derive" / "interrogations" / "sw_entity_facts_v1"


def test_no_public_class_name_stands_for_two_things() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for folder in ("derive", "holocron"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.is_relative_to(OF_PACKAGES):
                continue
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(str(path.relative_to(ROOT)))
    twice = {name: found for name, found in places.items() if len(found) > 1 and name not in SHARED}
    assert twice == {}
