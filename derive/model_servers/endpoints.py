"""A file of model servers, in TOML.

For example::

    [[endpoint]]
    name = "gpu-1"                      # its name in errors, pages and logs
    url = "http://10.0.0.7:11434"       # without user and password
    protocol = "ollama"                 # or "openai": vLLM, SGLang, llama.cpp's server, LM Studio, LiteLLM
    slots = 4                           # concurrent answers
    models = ["qwen2.5:14b"]            # optional: it gets only jobs of these models
    api_key_env = "GPU_1_KEY"           # optional: the variable whose value is sent as `Authorization: Bearer`
    ca_file = "gpu-1.pem"               # optional: authorities to trust instead of all others; relative to this file
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError

from derive.errors import ConfigurationError
from derive.model_servers.models import same_model
from derive.model_servers.settings import ModelSettings, Protocol
from derive.strict_types import Frozen, Key200

DEFAULT_NAME = "default"
MOST_SLOTS = 1000
_MAX_URL_CHARACTERS = 400
"""The size of ``run.ollama_base_url``."""
_MOST_PROBLEMS = 5
_CREDENTIALS_IN_URL = "drop user and password from the url, and name a variable with the key by api_key_env"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """One model server and its slots. It gets only jobs of ``models``; if empty, of all models it has.

    ``server.model`` answers jobs that name no model: ``OLLAMA_MODEL``, or the first of ``models`` if it is not listed.
    """

    name: str
    slots: int
    models: tuple[str, ...]
    server: ModelSettings

    def serves(self, model: str) -> bool:
        """Whether the file allows jobs of this model on the endpoint."""
        return not self.models or any(same_model(model, one) for one in self.models)


def only_endpoint(server: ModelSettings, *, slots: int) -> EndpointSettings:
    """Return the server of ``OLLAMA_BASE_URL`` as an endpoint."""
    return EndpointSettings(name=DEFAULT_NAME, slots=slots, models=(), server=server)


def read_endpoints(
    file: Path, *, environment: Mapping[str, str], defaults: ModelSettings
) -> tuple[EndpointSettings, ...]:
    """Return the endpoints of a file; missing keys are taken from ``defaults``.

    Raises ConfigurationError with one line that says what to do and contains no secret.
    """
    here = f"HOLOCRON_ENDPOINTS: {file}"
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        found = _EndpointFile.model_validate(tables).endpoint
    except OSError as error:
        raise ConfigurationError(f"{here} cannot be read ({error.strerror}): name a file that can") from error
    except ValidationError as error:
        raise ConfigurationError(f"{here}: {_in_words(error)}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{here} is not UTF-8: save it so") from None
    except tomllib.TOMLDecodeError as error:
        # Its message quotes at most one character of the file.
        raise ConfigurationError(f"{here} is not TOML: {error}") from None
    twice = [name for name, count in Counter(one.name for one in found).items() if count > 1]
    if twice:
        raise ConfigurationError(f"{here}: two endpoints are named '{twice[0]}': give each a name of its own")
    return tuple(_endpoint(one, here, file.parent, environment=environment, defaults=defaults) for one in found)


def _endpoint(
    table: "_EndpointTable", here: str, folder: Path, *, environment: Mapping[str, str], defaults: ModelSettings
) -> EndpointSettings:
    of_one = f"{here}: endpoint '{table.name}'"
    key = None
    if table.api_key_env is not None:
        # The name is not shown, because it may be the key itself, put in the wrong place.
        key = environment.get(table.api_key_env, "").strip()
        if not key:
            raise ConfigurationError(f"{of_one}: the variable that api_key_env names is not set: set it to the key")
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ConfigurationError(f"{of_one}: the key must be of ASCII characters, without blanks")
    ca_file = None
    if table.ca_file is not None:
        path = folder / Path(table.ca_file).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"{of_one}: ca_file {path} is not there: name a PEM file, relative to this one")
        ca_file = str(path)
    models = table.models
    has_default = not models or any(same_model(defaults.model, one) for one in models)
    server = defaults.model_copy(
        update={
            "endpoint": table.name,
            "protocol": table.protocol,
            "base_url": table.url.rstrip("/"),
            "authorization": SecretStr(f"Bearer {key}") if key else None,
            "ca_file": ca_file,
            "model": defaults.model if has_default else models[0],
        }
    )
    return EndpointSettings(name=table.name, slots=table.slots, models=models, server=server)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # reading the property validates the port
    except ValueError:
        raise ValueError("write an address such as http://10.0.0.7:8000") from None
    if "@" in parts.netloc:
        raise ValueError(_CREDENTIALS_IN_URL)
    is_plain = text.isprintable() and not re.search(r"\s", text) and not (parts.query or parts.fragment)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain or len(text) > _MAX_URL_CHARACTERS:
        raise ValueError(
            "write an address such as http://10.0.0.7:8000, without query or fragment, at most "
            f"{_MAX_URL_CHARACTERS} characters"
        )
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", text):
        raise ValueError("write at most 60 letters, digits, dots, underscores and hyphens")
    return text


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", text):
        raise ValueError("write the name of an environment variable that holds the key, not the key")
    return text


class _EndpointTable(Frozen):
    name: Annotated[str, AfterValidator(_name)]
    url: Annotated[str, AfterValidator(_url)]
    protocol: Protocol = Protocol.OLLAMA
    slots: int = Field(default=1, ge=1, le=MOST_SLOTS, strict=True)
    models: tuple[Key200, ...] = Field(default=(), max_length=1000)
    api_key_env: Annotated[str, AfterValidator(_variable)] | None = None
    ca_file: str | None = Field(default=None, min_length=1, max_length=1000)


class _EndpointFile(Frozen):
    endpoint: tuple[_EndpointTable, ...] = Field(min_length=1, max_length=100)


_ADVICE = {
    "extra_forbidden": f"is not known: write {', '.join(_EndpointTable.model_fields)}",
    "missing": "is missing: write it",
    "too_short": "is empty: write one",
    "enum": f"write {' or '.join(protocol.value for protocol in Protocol)}",
}


def _in_words(error: ValidationError) -> str:
    """Return the faults and their places, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    # An endpoint's fault leaves the list empty, which need not be reported as well.
    found = [problem for problem in found if problem["type"] != "too_short"] or found
    said = []
    for problem in found[:_MOST_PROBLEMS]:
        parts = [f"{part + 1}" if isinstance(part, int) else str(part)[:60] for part in problem["loc"]]
        place = " ".join(parts[:2]) + "".join(f", {part}" for part in parts[2:])
        shown = "".join(character for character in place if character.isprintable())
        said.append(f"{shown}: {_ADVICE.get(problem['type'], problem['msg'].removeprefix('Value error, '))}")
    return "; ".join(said)
