"""The stream of ``/api/chat`` put together again: NDJSON in pieces of any size in, one answer out."""

import re
from contextlib import suppress
from time import monotonic
from typing import Any

from derive.errors import AnswerTooLarge, ModelCrashed, RunError, TruncatedOutput
from derive.ollama.chat import ChatAnswer, ChatMetrics
from derive.ollama.failures import failure_in_stream
from derive.ollama.wire import dump_json, error_text, parse_received, quotable

MAX_LINE_BYTES = 2 * 1024 * 1024
"""A line is one token, or a whole short answer; parsing multiplies its size in memory by up to twenty."""

_MAX_UNKNOWN_BYTES = 1024 * 1024
"""How many bytes of lines with members unknown to us are kept for ``response.json``: every one is in the stream."""

_MAX_COUNTER = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")
_KNOWN_LINE_MEMBERS = frozenset({"model", "created_at", "message", "done"})
_KNOWN_MESSAGE_MEMBERS = frozenset({"role", "content", "thinking"})


class AnswerAssembler:
    """Puts a stream of NDJSON together, piece by piece, in memory that ``max_answer_bytes`` bounds."""

    def __init__(self, *, max_answer_bytes: int) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._max_line_bytes = min(MAX_LINE_BYTES, max_answer_bytes)
        self._pending = bytearray()
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._final: dict[str, Any] | None = None
        self._unknown: dict[str, Any] = {}
        self._unknown_in_message: dict[str, Any] = {}
        self._unknown_bytes = 0
        self._started = monotonic()
        self._first_token: float | None = None
        self.byte_count = 0

    @property
    def is_done(self) -> bool:
        """Whether the line that ends the answer has come."""
        return self._final is not None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; raise AnswerTooLarge past the bound, ModelCrashed at a line Ollama would not send."""
        self.byte_count += len(chunk)
        if self.byte_count > self._max_answer_bytes:
            raise AnswerTooLarge(f"the model's answer passed {self._max_answer_bytes} bytes")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._pending:
            lines[0] = bytes(self._pending) + lines[0]
            self._pending.clear()
        for line in lines:
            if line:
                self._take(line)
        if rest:
            self._pending += rest
            if len(self._pending) > self._max_line_bytes:
                raise AnswerTooLarge(f"one line of the model's answer passed {self._max_line_bytes} bytes")

    def finish(self, *, ended_cleanly: bool = True) -> ChatAnswer:
        """Return the whole answer, now that no more bytes come.

        Raises ModelCrashed when it is not whole, TruncatedOutput when the model ran out of room.
        """
        self._take_pending()
        if self._final is None:
            raise ModelCrashed("the model's answer ended before it was done")
        reason = _done_reason(self._final)
        if reason == "length":
            raise TruncatedOutput("the model ran out of tokens before its answer was complete")
        if reason != "stop":
            shown = "no reason" if reason is None else f"the reason '{quotable(reason)}'"
            raise ModelCrashed(f"the model's answer ended with {shown} instead of 'stop'")
        return self.so_far(ended_cleanly=ended_cleanly)

    def so_far(self, *, ended_cleanly: bool = False) -> ChatAnswer:
        """Return what has come until now, now that no more bytes come.

        A last line without its end counts when it is one: who reads the bytes again takes it so.
        """
        with suppress(RunError):
            self._take_pending()
        final = self._final or {}
        model = final.get("model")
        return ChatAnswer(
            content=_joined(self._content),
            thinking=_joined(self._thinking),
            done_reason=_done_reason(final),
            model=model if isinstance(model, str) else None,
            metrics=_metrics(final),
            response_json=self._response_json(),
            byte_count=self.byte_count,
            time_to_first_token_ms=None if self._first_token is None else _ms(self._first_token - self._started),
            total_ms=_ms(monotonic() - self._started),
            ended_cleanly=ended_cleanly,
        )

    def _take_pending(self) -> None:
        if self._pending:
            line = bytes(self._pending)
            self._pending.clear()
            self._take(line)

    def _take(self, line: bytes) -> None:
        if len(line) > self._max_line_bytes:
            raise AnswerTooLarge(f"one line of the model's answer passed {self._max_line_bytes} bytes")
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
        content = message.get("content") or ""
        thinking = message.get("thinking") or ""
        if not isinstance(content, str) or not isinstance(thinking, str):
            raise ModelCrashed("the model sent a message that is not text")
        if self._first_token is None and (content or thinking):
            self._first_token = monotonic()
        if content:
            self._content.append(content)
        if thinking:
            self._thinking.append(thinking)
        if not message.keys() <= _KNOWN_MESSAGE_MEMBERS:
            self._keep_unknown(message, self._unknown_in_message, known=_KNOWN_MESSAGE_MEMBERS, line_bytes=line_bytes)

    def _keep_unknown(
        self, source: dict[str, Any], kept: dict[str, Any], *, known: frozenset[str], line_bytes: int
    ) -> None:
        self._unknown_bytes += line_bytes
        if self._unknown_bytes > _MAX_UNKNOWN_BYTES:
            return
        for name, value in source.items():
            if name in known:
                continue
            earlier = kept.get(name)
            kept[name] = earlier + value if isinstance(earlier, list) and isinstance(value, list) else value

    def _response_json(self) -> bytes:
        if self._final is None:
            return b""
        last = self._final.get("message")
        message = {"role": "assistant"} | (last or {}) | {"content": _joined(self._content)}
        if self._thinking:
            message["thinking"] = _joined(self._thinking)
        whole = self._final | {"message": message | self._unknown_in_message}
        for name, value in self._unknown.items():
            last_value = whole.get(name)
            if isinstance(value, list) and isinstance(last_value, list):
                whole[name] = value + last_value
            else:
                whole.setdefault(name, value)
        return dump_json(whole)


def _joined(pieces: list[str]) -> str:
    """Return the pieces as one text. The halves of a surrogate pair that came in two lines become one character."""
    text = "".join(pieces)
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _parse_line(line: bytes) -> dict[str, Any] | None:
    if line.isspace():
        return None
    record = parse_received(line)
    if not isinstance(record, dict):
        raise ModelCrashed("Ollama sent a line that is not a JSON object")
    return record


def _done_reason(final: dict[str, Any]) -> str | None:
    reason = final.get("done_reason")
    return reason if isinstance(reason, str) and reason else None


def _metrics(final: dict[str, Any]) -> ChatMetrics:
    return ChatMetrics(**{name: _counter(final.get(name)) for name in ChatMetrics.__dataclass_fields__})


def _counter(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= _MAX_COUNTER else 0


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
