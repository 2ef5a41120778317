"""Reads an interrogation written without Python: ``schema.json``, and optionally ``interrogation.toml``."""

import tomllib
from importlib.resources.abc import Traversable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from typing_extensions import override

from derive.contracts import Bounds
from derive.errors import ConfigurationError
from derive.evidence.references import problems_in_words
from derive.interrogations.answer_schema import AnswerSchema
from derive.strict_types import Frozen, parse_json

SCHEMA = "schema.json"
SETTINGS = "interrogation.toml"
MAX_BYTES = 256 * 1024
"""Limit of either file; a schema goes with every prompt."""
MAX_DEPTH = 50
_INPUT_FAULTS = 5


class PlainSettings(Frozen):
    """The content of ``interrogation.toml``: what ``output.py`` declares in capitals, and the schema of the input."""

    version: str = "1.0.0"
    many: tuple[str, ...] = ()
    on_bad_fact: str | None = None
    long_evidence: str | None = None
    on_failed_part: str | None = None
    bounds: Bounds = Bounds()
    input: dict[str, Any] | None = None

    def declarations(self) -> dict[str, Any]:
        """Return what was given, by the names that ``output.py`` uses."""
        given = {name: getattr(self, name) for name in self.model_fields_set if getattr(self, name) is not None}
        return {name.upper(): value for name, value in given.items() if name != "input"} | {"VERSION": self.version}


def read_schema(folder: Traversable) -> dict[str, Any]:
    """Return the answer's JSON schema; raise ConfigurationError that names the file."""
    file = folder / SCHEMA
    try:
        schema = parse_json(_read(file))
    except ValueError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{file} is no JSON schema: it must be an object")
    _refuse_depth(schema, file)
    try:
        AnswerSchema(schema)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file} is {error}") from None
    return schema


def read_settings(folder: Traversable) -> PlainSettings:
    """Return the settings, the defaults if there is no file; raise ConfigurationError that names the file."""
    file = folder / SETTINGS
    if not file.is_file():
        return PlainSettings()
    try:
        settings = PlainSettings.model_validate(tomllib.loads(_read(file)))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{file}: {problems_in_words(error)}") from None
    return settings


def input_model_of(schema: dict[str, Any], folder: Traversable) -> type[BaseModel]:
    """Return a model that accepts what a JSON schema of an object accepts, and whose own JSON schema it is.

    Raises ConfigurationError that names the file.
    """
    file = folder / SETTINGS
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict):
        raise ConfigurationError(f'{file}: input must be the schema of an object: type = "object", and properties')
    _refuse_depth(schema, file)
    try:
        compiled = AnswerSchema(schema)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: input is {error}") from None
    for name, member in properties.items():
        if not isinstance(member, dict) or not isinstance(member.get("items", {}), dict):
            raise ConfigurationError(f"{file}: input.properties.{name}: say of which type it, or each item, is")

    class Input(BaseModel):
        # Which members there may be is for the schema to say.
        model_config = ConfigDict(extra="allow")

        @model_validator(mode="before")
        @classmethod
        def _obey_the_schema(cls, value: Any) -> Any:
            faults = compiled.find_faults(value)
            if faults:
                raise ValueError("; ".join(f"{fault.path} {fault.problem}" for fault in faults[:_INPUT_FAULTS]))
            return value

        @override
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return schema

    return Input


def _read(file: Traversable) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigurationError(f"{file} is larger than {MAX_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error


def _refuse_depth(schema: Any, file: Traversable) -> None:
    waiting = [(schema, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ConfigurationError(f"{file}: a schema is nested more than {MAX_DEPTH} levels deep")
        members = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        waiting.extend((member, depth + 1) for member in members)
