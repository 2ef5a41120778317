"""The compose file as Compose reads it: interpolated from an environment."""

import importlib.resources
import json
import re
from collections.abc import Mapping
from typing import Any

import check_jsonschema
import yaml

from holocron.settings import BASE_DIR

FILE = BASE_DIR / "docker-compose.yml"
EXAMPLE = BASE_DIR / ".env.example"
OURS = ("migrate", "web", "llm-worker", "qcluster")
"""The services that run from the image of this tree."""

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Z_]+)(?:(?P<how>:[-?+])(?P<text>[^}]*))?\})")


def vendored_schema(name: str) -> Any:
    """Return a JSON schema that check-jsonschema carries."""
    file = importlib.resources.files(check_jsonschema) / f"builtin_schemas/vendor/{name}.json"
    return json.loads(file.read_text("utf-8"))


def variables_named() -> set[str]:
    return {found["name"] for found in _VARIABLE.finditer(_without_comments()) if found["name"]}


def example_variables() -> dict[str, str]:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def read_compose_file(environment: Mapping[str, str] | None = None) -> Any:
    """Return the file's contents, as written or with the environment's values in them."""
    contents = yaml.safe_load(FILE.read_text("utf-8"))
    return contents if environment is None else _interpolate(contents, environment)


def _without_comments() -> str:
    lines = FILE.read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _interpolate(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _interpolate(within, environment) for name, within in value.items()}
    if isinstance(value, list):
        return [_interpolate(within, environment) for within in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _stands_for(found, environment), value)
    return value


def _stands_for(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    value = environment.get(found["name"], "")
    if found["how"] == ":+":
        return found["text"] if value else ""
    if found["how"] == ":?" and not value:
        raise KeyError(f"{found['name']}: {found['text']}")
    return value or (found["text"] or "")
