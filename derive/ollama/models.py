"""What Ollama tells of its models: the snapshot that a run keeps, and what is loaded right now."""

from dataclasses import dataclass, field
from typing import Any

from derive.ollama.wire import dump_json

DEFAULT_TAG = "latest"
_LEFT_OUT_OF_SHOW = frozenset({"license", "modelfile", "tensors"})
"""Hundreds of kilobytes a run that the digest stands for; the modelfile repeats the rest in no stable order."""


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """A model as it was when it was asked.

    ``digest`` is 64 hex digits, None where the server keeps none (a cloud model). ``show_json`` is what
    ``/api/show`` said, its parameters sorted, without license, modelfile and tensors. ``enforces_format`` is false
    for models that are known to ignore a schema now and then (not GGUF, or in the cloud), None when nobody says.
    """

    model: str
    digest: str | None
    server_version: str | None
    enforces_format: bool | None
    show_json: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The model's name without its tag."""
        return split_model(self.model)[0]

    @property
    def tag(self) -> str:
        """The model's tag; ``latest`` where none was asked for."""
        return split_model(self.model)[1]

    def model_json(self, options_json: str) -> bytes:
        """Return the content of ``model.json``; ``options_json`` is the JSON of the options that were sent."""
        head = dump_json({"model": self.model, "digest": self.digest, "server_version": self.server_version})
        return head[:-1] + b',"options":' + options_json.encode() + b',"show":' + self.show_json + b"}"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in the server's memory: what really answers. Sizes are bytes, ``context_length`` is tokens."""

    model: str
    digest: str | None
    context_length: int | None
    size_vram: int | None


def split_model(model: str) -> tuple[str, str]:
    """Return name and tag; a colon before the last slash belongs to a registry's port."""
    head, slash, last = model.rpartition("/")
    name, colon, tag = last.partition(":")
    return (head + slash + name, tag) if colon and tag else (head + slash + name, DEFAULT_TAG)


def same_model(one: str, other: str) -> bool:
    """Tell whether Ollama takes both names for the same model: no tag means ``latest``, case does not matter."""
    return split_model(one.casefold()) == split_model(other.casefold())


def read_snapshot(model: str, *, show: dict[str, Any], tags: dict[str, Any], version: dict[str, Any]) -> ModelSnapshot:
    """Put the answers of ``/api/show``, ``/api/tags`` and ``/api/version`` together."""
    kept = {name: value for name, value in show.items() if name not in _LEFT_OUT_OF_SHOW}
    parameters = kept.get("parameters")
    if isinstance(parameters, str):
        kept["parameters"] = "\n".join(sorted(parameters.splitlines()))
    entry = _entry(tags, model) or {}
    return ModelSnapshot(
        model=model,
        digest=_digest(entry),
        server_version=_text(version.get("version")),
        enforces_format=_enforces_format(show),
        show_json=dump_json(dict(sorted(kept.items()))),
    )


def read_loaded(model: str, ps: dict[str, Any]) -> LoadedModel | None:
    """Return what ``/api/ps`` tells of the model; None when it is not loaded."""
    entry = _entry(ps, model)
    if entry is None:
        return None
    return LoadedModel(
        model=model,
        digest=_digest(entry),
        context_length=_count(entry.get("context_length")),
        size_vram=_count(entry.get("size_vram")),
    )


def read_names(tags: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the models in an answer of ``/api/tags``, sorted."""
    return tuple(sorted({name for entry in _entries(tags) if (name := _name(entry))}))


def _enforces_format(show: dict[str, Any]) -> bool | None:
    if show.get("remote_host"):
        return False
    details = show.get("details")
    kept_as = _text(details.get("format")) if isinstance(details, dict) else None
    return kept_as.lower() == "gguf" if kept_as else None


def _entries(listing: dict[str, Any]) -> list[dict[str, Any]]:
    models = listing.get("models")
    return [entry for entry in models if isinstance(entry, dict)] if isinstance(models, list) else []


def _entry(listing: dict[str, Any], model: str) -> dict[str, Any] | None:
    return next((entry for entry in _entries(listing) if same_model(_name(entry), model)), None)


def _name(entry: dict[str, Any]) -> str:
    return _text(entry.get("model")) or _text(entry.get("name")) or ""


def _digest(entry: dict[str, Any]) -> str | None:
    digest = (_text(entry.get("digest")) or "").removeprefix("sha256:").lower()
    return digest if len(digest) == 64 and set(digest) <= set("0123456789abcdef") else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
