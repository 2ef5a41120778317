"""A model on a server: the snapshot that a run stores, and the models currently loaded."""

from dataclasses import dataclass, field

from derive.model_servers.wire import dump_json

DEFAULT_TAG = "latest"
Think = bool | str
"""The value of ``think`` in a request to Ollama: whether the model thinks, or how much."""


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """The state of a model when it was asked.

    ``digest`` is 64 hex digits, or None if the server has none (a cloud model). ``show_json`` is the answer of
    ``/api/show`` with sorted parameters, without license, modelfile and tensors. ``think`` is the value a request with
    a schema needs for the schema to apply to the answer. ``unfit`` says why the model cannot be used; None if it can.
    """

    model: str
    digest: str | None
    server_version: str | None
    think: Think
    unfit: str | None
    show_json: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The model's name without its tag."""
        return split_model(self.model)[0]

    @property
    def tag(self) -> str:
        """The model's tag; ``latest`` if none was given."""
        return split_model(self.model)[1]

    def model_json(self, options_json: str) -> bytes:
        """Return the content of ``model.json``; ``options_json`` is the JSON of the options that were sent."""
        head = dump_json({"model": self.model, "digest": self.digest, "server_version": self.server_version})
        return head[:-1] + b',"options":' + options_json.encode() + b',"show":' + self.show_json + b"}"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in the server's memory, as it answers. Sizes are bytes, ``context_length`` is tokens."""

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
    """Return whether both names mean the same model to Ollama: no tag means ``latest``, and case is ignored."""
    return split_model(one.casefold()) == split_model(other.casefold())
