"""A form made from an input contract: a field for each member of its JSON schema, and what was typed as the input.

Evidence has a place of its own in the form; a member too deep for a simple field is written as JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.http import QueryDict
from pydantic import BaseModel

from derive.strict_types import parse_json

Kind = Literal["text", "choice", "integer", "number", "yes_no", "lines", "json"]
PREFIX = "input."
EVIDENCE_MEMBER = "extra_params"


@dataclass(frozen=True)
class InputField:
    """One member of an input; ``typed`` is what stands in its field."""

    name: str
    kind: Kind
    required: bool
    help: str
    choices: tuple[str, ...] = ()
    max_length: int | None = None
    typed: str = ""

    @property
    def html_name(self) -> str:
        """Its name in the form."""
        return f"{PREFIX}{self.name}"


def takes_evidence(model: type[BaseModel]) -> bool:
    """Whether the input itself carries evidence (``extra_params.evidence``), as the envelope does."""
    schema = model.model_json_schema()
    return "evidence" in _members_of_extra_params(schema)


def input_fields(model: type[BaseModel], form: Mapping[str, str]) -> list[InputField]:
    """Return the fields of an input model, filled with what was typed."""
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    fields = []
    for name, member in schema.get("properties", {}).items():
        if name == EVIDENCE_MEMBER and _members_of_extra_params(schema) == {"evidence"}:
            continue
        shape = _resolved(member, schema)
        kind, choices = _kind(shape)
        fields.append(
            InputField(
                name=name,
                kind=kind,
                required=name in required,
                help=_help(member, shape, kind),
                choices=choices,
                max_length=shape.get("maxLength") if kind == "text" else None,
                typed=str(form.get(f"{PREFIX}{name}", _default(shape, member, kind))),
            )
        )
    return fields


def read_input(fields: list[InputField], form: QueryDict) -> tuple[dict[str, Any], list[str]]:
    """Return the input that was typed, and what in it could not be understood; its contract is judged later."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in fields:
        if field.kind == "yes_no":
            values[field.name] = form.get(field.html_name) == "yes"
            continue
        typed = form.get(field.html_name, "").replace("\r\n", "\n")
        if not typed.strip():
            continue
        try:
            values[field.name] = _read(field, typed)
        except ValueError as error:
            problems.append(f"{field.name}: is not JSON: {error}")
    return values, problems


def _read(field: InputField, typed: str) -> Any:
    match field.kind:
        case "lines":
            return [line.strip() for line in typed.split("\n") if line.strip()]
        case "json":
            return parse_json(typed)
        case "integer" | "number":
            # What is no number stays text, so that the contract says what it wants instead.
            return _number(typed.strip())
        case _:
            return typed


def _number(text: str) -> Any:
    try:
        value = parse_json(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text


def _kind(shape: Mapping[str, Any]) -> tuple[Kind, tuple[str, ...]]:
    values = shape.get("enum", [shape["const"]] if "const" in shape else None)
    if values and all(isinstance(value, str) for value in values):
        return "choice", tuple(values)
    kinds: dict[str, Kind] = {"string": "text", "integer": "integer", "number": "number", "boolean": "yes_no"}
    if shape.get("type") == "array" and shape.get("items", {}).get("type") == "string":
        return "lines", ()
    return kinds.get(str(shape.get("type")), "json"), ()


def _help(member: Mapping[str, Any], shape: Mapping[str, Any], kind: Kind) -> str:
    description = str(member.get("description") or shape.get("description") or "")
    form = {"lines": "one a line", "json": "as JSON", "integer": "a whole number", "number": "a number"}.get(kind, "")
    return "; ".join(part for part in (description, form) if part)


def _default(shape: Mapping[str, Any], member: Mapping[str, Any], kind: Kind) -> str:
    value = member.get("default", shape.get("default"))
    if kind == "yes_no":
        return "yes" if value is True else ""
    return str(value) if isinstance(value, str | int | float) else ""


def _resolved(member: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a local reference, and what may be null to what it is otherwise."""
    if reference := member.get("$ref"):
        found: Mapping[str, Any] = schema.get("$defs", {}).get(str(reference).rpartition("/")[2], {})
        return found
    others = [one for one in member.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(others[0], schema) if len(others) == 1 else member


def _members_of_extra_params(schema: Mapping[str, Any]) -> set[str]:
    member = schema.get("properties", {}).get(EVIDENCE_MEMBER, {})
    return set(_resolved(member, schema).get("properties", {}))
