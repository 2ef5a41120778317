"""What Ollama tells of its models, read: a snapshot, what is loaded, the names there are."""

import re
from typing import Any

from derive.model_servers.models import LoadedModel, ModelSnapshot, Think, same_model
from derive.model_servers.wire import dump_json, quotable

_LEFT_OUT_OF_SHOW = frozenset({"license", "modelfile", "tensors"})
"""Hundreds of kilobytes a run that the digest stands for; the modelfile repeats the rest in no stable order."""

_HARMONY_FAMILIES = frozenset({"gptoss", "gpt-oss"})
_HARMONY_TAGS = ("<|start|>", "<|end|>")
_THINK_OF_PARSER: dict[str, Think] = {"harmony": "low", "olmo3-think": True, "qwen3-vl-thinking": True}
"""Parsers of Ollama's that expect thoughts whatever ``think`` says: told false, the server applies the schema from the
first token, takes the answer for thoughts or for a header, and sends empty content (measured, Ollama 0.33)."""

_PARSER_LINE = re.compile(r"^PARSER[ \t]+(\S+)", re.MULTILINE)


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
        think=think_for(show),
        unfit=why_unfit(show),
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


def think_for(show: dict[str, Any]) -> Think:
    """Return the ``think`` that leads the model of this ``/api/show`` to an answer that obeys a schema.

    The server's own test for harmony (gpt-oss): the family and the tags in the template, or the parser by name.
    """
    parser = _PARSER_LINE.search(_text(show.get("modelfile")) or "")
    if parser is not None:
        return _THINK_OF_PARSER.get(parser[1], False)
    template = _text(show.get("template")) or ""
    is_harmony = _details(show, "family") in _HARMONY_FAMILIES and all(tag in template for tag in _HARMONY_TAGS)
    return _THINK_OF_PARSER["harmony"] if is_harmony else False


def why_unfit(show: dict[str, Any]) -> str | None:
    """Say why the model of this ``/api/show`` cannot answer by a schema; None when it can, or nobody says."""
    host = _text(show.get("remote_host"))
    if host:
        return f"it runs at {quotable(host)}, where nothing makes it obey a schema"
    kept_as = _details(show, "format")
    if kept_as and kept_as.lower() != "gguf":
        return f"its weights are kept as {quotable(kept_as)}, for which Ollama enforces no schema"
    capabilities = show.get("capabilities")
    if isinstance(capabilities, list) and capabilities and "completion" not in capabilities:
        return f"it does not chat (capabilities: {quotable(', '.join(map(str, capabilities)))})"
    return None


def _details(show: dict[str, Any], name: str) -> str | None:
    details = show.get("details")
    return _text(details.get(name)) if isinstance(details, dict) else None


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
