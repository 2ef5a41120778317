"""Where a request of each protocol says what it asks: model, options, schema, and what every request must say."""

import json
from typing import Any, ClassVar

from typing_extensions import override

from derive.model_servers.models import split_model
from derive.verify.contents import member


class RequestShape:
    """A request in Ollama's protocol."""

    _fixed: ClassVar[dict[str, Any]] = {"stream": True, "truncate": False, "shift": False}
    """What every request says, so that no default of the server decides."""
    _think = ("false", "true", '"low"')
    """What ``think`` says, by the model."""

    def model(self, request: Any) -> tuple[str, str | None] | None:
        """Return name and tag of the model."""
        model = member(request, "model")
        return split_model(model) if isinstance(model, str) else None

    def options(self, request: Any) -> Any:
        """Return the options that were sent."""
        return member(request, "options")

    def sent_of(self, options: Any) -> Any:
        """Return those of a run's options that the protocol has a word for."""
        return options

    def schema(self, request: Any) -> Any:
        """Return the schema that the answer must obey."""
        return member(request, "format")

    def wrong_in(self, request: Any) -> list[str]:
        """Say what a request lacks that every one says."""
        wrong = []
        if any(member(request, name) is not value for name, value in self._fixed.items()):
            wrong.append(f"it does not say {json.dumps(self._fixed)}")
        if json.dumps(member(request, "think")) not in self._think:
            wrong.append(f"its think is not one of {', '.join(self._think)}")
        return wrong


class OpenAIRequestShape(RequestShape):
    """A request in the OpenAI-compatible protocol. It has no word for the context window, and models have no tag."""

    _named: ClassVar[dict[str, str]] = {"max_tokens": "num_predict", "seed": "seed", "temperature": "temperature"}

    @override
    def model(self, request: Any) -> tuple[str, str | None] | None:
        model = member(request, "model")
        return (model, None) if isinstance(model, str) else None

    @override
    def options(self, request: Any) -> Any:
        return {ours: member(request, theirs) for theirs, ours in self._named.items()}

    @override
    def sent_of(self, options: Any) -> Any:
        return {ours: member(options, ours) for ours in self._named.values()}

    @override
    def schema(self, request: Any) -> Any:
        return member(member(member(request, "response_format"), "json_schema"), "schema")

    @override
    def wrong_in(self, request: Any) -> list[str]:
        is_strict = member(member(member(request, "response_format"), "json_schema"), "strict") is True
        is_streamed = member(request, "stream") is True and member(request, "stream_options") == {"include_usage": True}
        return [] if is_strict and is_streamed else ["it does not ask for a stream with numbers, by a strict schema"]


_OLLAMA, _OPENAI = RequestShape(), OpenAIRequestShape()


def shape_of(request: Any) -> RequestShape:
    """Return the shape of a request, by what it says."""
    return _OPENAI if member(request, "response_format") is not None else _OLLAMA
