"""A class name has one meaning in the whole tree."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = {"Command", "Migration"}  # Django finds these by name.
# A package's models are part of its schema, and so of its definition's hash: ``Fact`` keeps its name there.
OF_PACKAGES = ROOT / "derive" / "interrogations" / "sw_entity_facts_v1"


def test_no_public_class_name_has_two_meanings() -> None:
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
