"""What is known of a model on a server: the snapshot that a run keeps, and what is loaded right now."""

from dataclasses import dataclass, field

from derive.model_servers.wire import dump_json

DEFAULT_TAG = "latest"
Think = bool | str
"""What ``think`` of a request to Ollama may say: whether the model is to think, or how much."""


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """A model as it was when it was asked.

    ``digest`` is 64 hex digits, None where the server keeps none (a cloud model). ``show_json`` is what
    ``/api/show`` said, its parameters sorted, without license, modelfile and tensors. ``think`` is what a request
    with a schema must say for the schema to reach the answer. ``unfit`` says why the model cannot be used, None when it
    can.
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
