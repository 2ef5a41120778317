"""The stream of ``/v1/chat/completions``: server-sent events, each a JSON object in one line, the last ``[DONE]``."""

from typing import Any

from typing_extensions import override

from derive.errors import ModelCrashed
from derive.model_servers.chat import ChatMetrics
from derive.model_servers.failures import failure_in_stream
from derive.model_servers.stream import AnswerAssembler, counter, text_or_none
from derive.model_servers.wire import dump_json, error_text, parse_received

_FIRST_SAID = ("id", "created", "model", "system_fingerprint", "service_tier")
"""The same in every event of an answer."""
_KNOWN_MEMBERS = frozenset({*_FIRST_SAID, "object", "choices", "usage"})
_KNOWN_CHOICE_MEMBERS = frozenset({"index", "delta", "message", "finish_reason"})
_KNOWN_MESSAGE_MEMBERS = frozenset({"role", "content", "reasoning_content", "reasoning"})
_OTHER_FIELDS = (b":", b"event:", b"id:", b"retry:")
"""Comments, which keep a connection alive, and fields of an event that say nothing here."""


class SseAssembler(AnswerAssembler):
    """Puts the answer of an OpenAI-compatible server together; one that came in one piece as well."""

    def __init__(self, *, max_answer_bytes: int) -> None:
        super().__init__(max_answer_bytes=max_answer_bytes)
        self._head: dict[str, Any] = {}
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None
        self._has_ended = False
        self._unknown: dict[str, Any] = {}
        self._unknown_in_choice: dict[str, Any] = {}
        self._unknown_in_message: dict[str, Any] = {}

    @property
    @override
    def is_done(self) -> bool:
        return self._has_ended or (self._finish_reason is not None and self._usage is not None)

    @property
    @override
    def is_whole(self) -> bool:
        # A server, or a proxy, that ends its stream in good order without [DONE] or numbers has answered.
        return self.is_done or self._finish_reason is not None

    @override
    def _take_line(self, line: bytes) -> None:
        data = _data_of(line)
        if not data:
            return
        if self._has_ended:
            raise ModelCrashed("the model went on after the end of its answer")
        if data == b"[DONE]":
            self._has_ended = True
            return
        record = parse_received(data)
        if not isinstance(record, dict):
            raise ModelCrashed("the model server sent an event that is not a JSON object")
        if record.get("error") or record.get("object") == "error":
            raise failure_in_stream(error_text(record))
        for name in _FIRST_SAID:
            if name in record:
                self._head.setdefault(name, record[name])
        if isinstance(record.get("usage"), dict):
            self._usage = record["usage"]
        self._take_choices(record.get("choices") or [], line_bytes=len(line))
        if not record.keys() <= _KNOWN_MEMBERS:
            self._keep_unknown(record, self._unknown, known=_KNOWN_MEMBERS, line_bytes=len(line))

    def _take_choices(self, choices: Any, *, line_bytes: int) -> None:
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise ModelCrashed("the model server sent choices that are not objects")
        for choice in choices:
            if choice.get("index") not in (0, None):
                raise ModelCrashed("the model server sent more than the one answer that was asked for")
            self._take_message(choice.get("delta") or choice.get("message") or {}, line_bytes=line_bytes)
            reason = text_or_none(choice.get("finish_reason"))
            if reason is not None:
                self._finish_reason = reason
            if not choice.keys() <= _KNOWN_CHOICE_MEMBERS:
                self._keep_unknown(choice, self._unknown_in_choice, known=_KNOWN_CHOICE_MEMBERS, line_bytes=line_bytes)

    def _take_message(self, message: Any, *, line_bytes: int) -> None:
        if not isinstance(message, dict):
            raise ModelCrashed("the model sent a message that is not an object")
        content, thinking = message.get("content"), message.get("reasoning_content") or message.get("reasoning")
        if self._finish_reason is not None and (content or thinking):
            raise ModelCrashed("the model went on after the end of its answer")
        self._take_text(content, thinking)
        if not message.keys() <= _KNOWN_MESSAGE_MEMBERS:
            self._keep_unknown(message, self._unknown_in_message, known=_KNOWN_MESSAGE_MEMBERS, line_bytes=line_bytes)

    @override
    def _done_reason(self) -> str | None:
        return self._finish_reason

    @override
    def _model(self) -> str | None:
        return text_or_none(self._head.get("model"))

    @override
    def _metrics(self) -> ChatMetrics:
        usage = self._usage or {}
        return ChatMetrics(
            total_duration=None,
            load_duration=None,
            prompt_eval_count=counter(usage.get("prompt_tokens")),
            prompt_eval_duration=None,
            eval_count=counter(usage.get("completion_tokens")),
            eval_duration=None,
        )

    @override
    def _response_json(self, content: str, thinking: str) -> bytes:
        if not self.is_whole:
            return b""
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if self._thinking:
            message["reasoning_content"] = thinking
        choice = {"index": 0, "message": message | self._unknown_in_message, "finish_reason": self._finish_reason}
        whole = self._head | {"object": "chat.completion", "choices": [self._unknown_in_choice | choice]}
        if self._usage is not None:
            whole["usage"] = self._usage
        return dump_json(self._unknown | whole)


def _data_of(line: bytes) -> bytes:
    """Return an event's data; nothing for a line that has none."""
    line = line.strip()
    if line.startswith(b"data:"):
        return line[len(b"data:") :].strip()
    if not line or line.startswith(_OTHER_FIELDS):
        return b""
    if line.startswith(b"{"):
        # Not streamed: the whole answer, or an error.
        return line
    raise ModelCrashed("the model server sent a line that is no event")
