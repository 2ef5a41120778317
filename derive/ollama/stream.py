"""The stream of ``/api/chat``: one JSON object a line."""

from typing import Any, ClassVar

from typing_extensions import override

from derive.errors import ModelCrashed
from derive.model_servers.chat import ChatMetrics
from derive.model_servers.failures import failure_in_stream
from derive.model_servers.stream import AnswerAssembler, counter, text_or_none
from derive.model_servers.wire import dump_json, error_text, parse_received

_KNOWN_LINE_MEMBERS = frozenset({"model", "created_at", "message", "done"})
_KNOWN_MESSAGE_MEMBERS = frozenset({"role", "content", "thinking"})


class NdjsonAssembler(AnswerAssembler):
    """Puts Ollama's answer together."""

    why_unfinished: ClassVar[str] = ", as Ollama ends one that says the same token more than thirty times in a row"

    def __init__(self, *, max_answer_bytes: int) -> None:
        super().__init__(max_answer_bytes=max_answer_bytes)
        self._final: dict[str, Any] | None = None
        self._unknown: dict[str, Any] = {}
        self._unknown_in_message: dict[str, Any] = {}

    @property
    @override
    def is_done(self) -> bool:
        """Whether the line that ends the answer has come."""
        return self._final is not None

    @override
    def _take_line(self, line: bytes) -> None:
        record = _parse_line(line)
        if record is None:
            return
        if self._final is not None:
            raise ModelCrashed("the model went on after the end of its answer")
        if record.get("error"):
            raise failure_in_stream(error_text(record))
        message = record.get("message")
        if message is not None:
            self._take_message(message, line_bytes=len(line))
        if record.get("done") is True:
            self._final = record
        elif not record.keys() <= _KNOWN_LINE_MEMBERS:
            self._keep_unknown(record, self._unknown, known=_KNOWN_LINE_MEMBERS, line_bytes=len(line))

    def _take_message(self, message: Any, *, line_bytes: int) -> None:
        if not isinstance(message, dict):
            raise ModelCrashed("the model sent a message that is not an object")
        self._take_text(message.get("content"), message.get("thinking"))
        if not message.keys() <= _KNOWN_MESSAGE_MEMBERS:
            self._keep_unknown(message, self._unknown_in_message, known=_KNOWN_MESSAGE_MEMBERS, line_bytes=line_bytes)

    @override
    def _done_reason(self) -> str | None:
        return text_or_none((self._final or {}).get("done_reason"))

    @override
    def _model(self) -> str | None:
        model = (self._final or {}).get("model")
        return model if isinstance(model, str) else None

    @override
    def _metrics(self) -> ChatMetrics:
        final = self._final or {}
        return ChatMetrics(**{name: counter(final.get(name)) or 0 for name in ChatMetrics.__dataclass_fields__})

    @override
    def _response_json(self, content: str, thinking: str) -> bytes:
        if self._final is None:
            return b""
        last = self._final.get("message")
        message = {"role": "assistant"} | (last or {}) | {"content": content}
        if self._thinking:
            message["thinking"] = thinking
        whole = self._final | {"message": message | self._unknown_in_message}
        for name, value in self._unknown.items():
            last_value = whole.get(name)
            if isinstance(value, list) and isinstance(last_value, list):
                whole[name] = value + last_value
            else:
                whole.setdefault(name, value)
        return dump_json(whole)


def _parse_line(line: bytes) -> dict[str, Any] | None:
    if line.isspace():
        return None
    record = parse_received(line)
    if not isinstance(record, dict):
        raise ModelCrashed("Ollama sent a line that is not a JSON object")
    return record
