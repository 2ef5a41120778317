"""A form generated from an input contract: one field per member of its JSON schema.

Validation is left to the contract: no field is required, and text that is not a number stays text, so that the contract
reports the error. Evidence has its own part of the page; members too complex for a simple field are typed as JSON.
"""

from collections.abc import Mapping
from typing import Any, Literal

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from pydantic import BaseModel
from typing_extensions import override

from derive.strict_types import parse_json

Kind = Literal["text", "choice", "integer", "number", "yes_no", "lines", "json"]
PREFIX = "input."
EVIDENCE_MEMBER = "extra_params"
_WRITTEN = {"lines": "one per line", "json": "as JSON", "integer": "a whole number", "number": "a number"}


class Member(forms.Field):
    """One member of an input; None if nothing was typed."""

    def __init__(self, member: Mapping[str, Any], shape: Mapping[str, Any], *, is_required: bool) -> None:
        self.kind, choices = _kind(shape)
        self.is_required, self.is_long = is_required, self.kind in {"lines", "json"}
        described = str(member.get("description") or shape.get("description") or "")
        default = member.get("default", shape.get("default"))
        super().__init__(
            required=False,
            widget=self._widget(choices, shape.get("maxLength")),
            help_text="; ".join(part for part in (described, _WRITTEN.get(self.kind, "")) if part),
            initial=default if isinstance(default, str | int | float) else None,
        )

    def _widget(self, choices: tuple[str, ...], max_length: int | None) -> forms.Widget:
        if self.kind == "yes_no":
            return forms.CheckboxInput()
        if self.is_long:
            return forms.Textarea(attrs={"rows": 2, "dir": "ltr"})
        attributes: dict[str, Any] = {"required": self.is_required}
        if self.kind == "choice":
            return forms.Select(attributes, [("", "choose …"), *((one, one) for one in choices)])
        if self.kind == "text":
            return forms.TextInput(attributes | ({"maxlength": max_length} if max_length else {}))
        return forms.TextInput(attributes | {"inputmode": "decimal"})

    @override
    def to_python(self, value: Any) -> Any:
        """Parse the input as the member's type; raise ValidationError."""
        if self.kind == "yes_no":
            return bool(value)
        typed = str(value or "").replace("\r\n", "\n")
        if not typed.strip():
            return None
        match self.kind:
            case "lines":
                return [line.strip() for line in typed.split("\n") if line.strip()]
            case "json":
                try:
                    return parse_json(typed)
                except ValueError as error:
                    raise ValidationError(f"is not JSON: {error}") from error
            case "integer" | "number":
                return _number(typed.strip())
            case _:
                return typed


class InputForm(forms.Form):
    """The members of one input."""

    @override
    def add_prefix(self, field_name: str) -> str:
        return f"{PREFIX}{field_name}"

    def read(self) -> tuple[dict[str, Any], list[str]]:
        """Return the typed input and its parse errors."""
        problems = [f"{name}: {why}" for name, reasons in self.errors.items() for why in reasons]
        return {name: value for name, value in self.cleaned_data.items() if value is not None}, problems


def takes_evidence(model: type[BaseModel]) -> bool:
    """Whether the input carries its own evidence (``extra_params.evidence``), as the envelope does."""
    return "evidence" in _members_of_extra_params(model.model_json_schema())


def input_form(model: type[BaseModel], typed: QueryDict, *, is_whole: bool) -> InputForm:
    """Return the form of an input. Without complete data, fields show their defaults and nothing is parsed."""
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    fields = {
        name: Member(member, _resolved(member, schema), is_required=name in required)
        for name, member in schema.get("properties", {}).items()
        if name != EVIDENCE_MEMBER or _members_of_extra_params(schema) != {"evidence"}
    }
    form: type[InputForm] = type("InputForm", (InputForm,), fields)
    if is_whole:
        return form(typed, auto_id=False)
    kept = {name: typed[f"{PREFIX}{name}"] for name in form.base_fields if f"{PREFIX}{name}" in typed}
    return form(initial=kept, auto_id=False)


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


def _resolved(member: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve a local reference, and a nullable schema to its other branch."""
    if reference := member.get("$ref"):
        found: Mapping[str, Any] = schema.get("$defs", {}).get(str(reference).rpartition("/")[2], {})
        return found
    others = [one for one in member.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(others[0], schema) if len(others) == 1 else member


def _members_of_extra_params(schema: Mapping[str, Any]) -> set[str]:
    member = schema.get("properties", {}).get(EVIDENCE_MEMBER, {})
    return set(_resolved(member, schema).get("properties", {}))
