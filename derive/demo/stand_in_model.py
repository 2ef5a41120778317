"""The stand-in's description of its "model", which is a table of rules: names, digest, license, loaded models."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from derive.demo.answering import BEHAVIOUR
from derive.demo.ollama_wire import BadRequest

NAME = "holocron-demo"
MODEL = f"{NAME}:latest"
VERSION = f"0.1.0-{NAME}"
LIVENESS_TEXT = f"{NAME} is running: a stand-in that answers by rules, neither Ollama nor a model"
LICENSE_TEXT = f"{NAME} is part of Holocron and under its MIT license. {BEHAVIOUR}"
CONTEXT_LENGTH = 131_072
_PARTS = ("answering", "chat", "filling", "patterns", "prompt_reading", "rules", "scalars")
"""The modules that determine an answer. Their source is the model, so its hash is the model's digest."""
_FOREVER = timedelta(days=36_500)
_DURATION = re.compile(r"(-?)((?:\d+(?:\.\d+)?(?:h|m|s|ms|us|ns))+)")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}

Answer = dict[str, Any]


@cache
def digest() -> str:
    """Return the SHA-256 (64 hex digits) of the source that determines the answers."""
    folder = Path(__file__).parent
    return sha256(b"\0".join((folder / f"{part}.py").read_bytes() for part in _PARTS)).hexdigest()


def is_model(name: str) -> bool:
    """Return whether the name is that of the stand-in's model, with or without its tag."""
    return name.casefold() in (NAME, MODEL)


def utc_now() -> str:
    """Return the time as Ollama writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def show_answer() -> Answer:
    """Return the answer of ``/api/show``."""
    return {
        "license": LICENSE_TEXT,
        "modelfile": f"# {LICENSE_TEXT}\nFROM {NAME}\n",
        "parameters": "temperature 0",
        "template": "{{ .Prompt }}",
        "system": BEHAVIOUR,
        "details": _details(),
        "model_info": {
            "general.architecture": NAME,
            "general.basename": NAME,
            "general.description": BEHAVIOUR,
            "general.parameter_count": 0,
            f"{NAME}.context_length": CONTEXT_LENGTH,
        },
        "capabilities": ["completion"],
        "modified_at": _modified_at(),
    }


def tags() -> list[Answer]:
    """Return the answer of ``/api/tags``."""
    return [{**_identity(), "modified_at": _modified_at()}]


class LoadedModels:
    """The content of ``/api/ps``: the model's last context window, and until when it stays loaded."""

    def __init__(self) -> None:
        self._context_length: int | None = None
        self._expires_at = datetime.now(UTC)

    def load(self, *, context_length: int, keep_alive: timedelta) -> None:
        """Record a call; a ``keep_alive`` of zero unloads the model."""
        self._context_length = context_length if keep_alive else None
        self._expires_at = datetime.now(UTC) + keep_alive

    def listed(self) -> list[Answer]:
        """Return the loaded models."""
        if self._context_length is None or self._expires_at <= datetime.now(UTC):
            return []
        loaded = {
            **_identity(),
            "expires_at": self._expires_at.isoformat().replace("+00:00", "Z"),
            "size_vram": 0,
            "context_length": self._context_length,
        }
        return [loaded]


def read_keep_alive(body: Mapping[str, Any]) -> timedelta:
    """Return how long the model stays loaded: a number of seconds or a Go duration; negative means forever.

    Raises BadRequest if it is neither.
    """
    value = body.get("keep_alive")
    if value is None:
        return timedelta(minutes=5)
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        parts = re.findall(r"([\d.]+)([a-z]+)", match[2])
        seconds = sum(float(count) * _UNIT_SECONDS[unit] for count, unit in parts) * (-1 if match[1] else 1)
    else:
        raise BadRequest("keep_alive must be a number of seconds or a duration such as 5m")
    return _FOREVER if seconds < 0 else min(timedelta(seconds=seconds), _FOREVER)


def _identity() -> Answer:
    size = sum((Path(__file__).parent / f"{part}.py").stat().st_size for part in _PARTS)
    return {"name": MODEL, "model": MODEL, "size": size, "digest": digest(), "details": _details()}


def _details() -> Answer:
    return {
        "parent_model": "",
        # Rules have no weights, but any format other than GGUF would mean that schemas are not obeyed.
        "format": "",
        "family": NAME,
        "families": [NAME],
        "parameter_size": "0",
        "quantization_level": "none",
    }


def _modified_at() -> str:
    modified = max((Path(__file__).parent / f"{part}.py").stat().st_mtime for part in _PARTS)
    return datetime.fromtimestamp(modified, UTC).isoformat().replace("+00:00", "Z")
