"""A streamed answer put together again: bytes in pieces of any size in, one answer out; a protocol reads its lines."""

import re
from abc import ABC, abstractmethod
from contextlib import suppress
from time import monotonic
from typing import Any

from derive.errors import AnswerTooLarge, ModelCrashed, RunError, TruncatedOutput
from derive.model_servers.chat import ChatAnswer, ChatMetrics
from derive.model_servers.wire import quotable

MAX_LINE_BYTES = 2 * 1024 * 1024
"""A line is one token, or a whole short answer; parsing multiplies its size in memory by up to twenty."""

MAX_UNKNOWN_BYTES = 1024 * 1024
"""How many bytes of lines with members unknown to us are kept for ``response.json``: every one is in the stream."""

_MAX_COUNTER = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


class AnswerAssembler(ABC):
    """Puts a streamed answer together, piece by piece, in memory that ``max_answer_bytes`` bounds."""

    def __init__(self, *, max_answer_bytes: int) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._max_line_bytes = min(MAX_LINE_BYTES, max_answer_bytes)
        self._pending = bytearray()
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._started = monotonic()
        self._first_token: float | None = None
        self._unknown_bytes = 0
        self.byte_count = 0

    @property
    @abstractmethod
    def is_done(self) -> bool:
        """Whether all that matters has come, however the connection ends."""

    @property
    def is_whole(self) -> bool:
        """Whether the answer is whole, now that the connection has ended in good order."""
        return self.is_done

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; raise AnswerTooLarge past the bound, ModelCrashed at a line no server should send."""
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
        if not self.is_whole:
            raise ModelCrashed("the model's answer ended before it was done")
        reason = self._done_reason()
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
        return ChatAnswer(
            content=_joined(self._content),
            thinking=_joined(self._thinking),
            done_reason=self._done_reason(),
            model=self._model(),
            metrics=self._metrics(),
            response_json=self._response_json(_joined(self._content), _joined(self._thinking)),
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
        self._take_line(line)

    def _take_text(self, content: object, thinking: object) -> None:
        """Add what a message says: text, or None for nothing."""
        content, thinking = content or "", thinking or ""
        if not isinstance(content, str) or not isinstance(thinking, str):
            raise ModelCrashed("the model sent a message that is not text")
        if self._first_token is None and (content or thinking):
            self._first_token = monotonic()
        if content:
            self._content.append(content)
        if thinking:
            self._thinking.append(thinking)

    def _keep_unknown(
        self, source: dict[str, Any], kept: dict[str, Any], *, known: frozenset[str], line_bytes: int
    ) -> None:
        """Keep members unknown to us, lists of several lines as one."""
        self._unknown_bytes += line_bytes
        if self._unknown_bytes > MAX_UNKNOWN_BYTES:
            return
        for name, value in source.items():
            if name in known:
                continue
            earlier = kept.get(name)
            kept[name] = earlier + value if isinstance(earlier, list) and isinstance(value, list) else value

    @abstractmethod
    def _take_line(self, line: bytes) -> None:
        """Take one line, not empty and not too long."""

    @abstractmethod
    def _done_reason(self) -> str | None:
        """Return why the model stopped; None when it did not say."""

    @abstractmethod
    def _model(self) -> str | None:
        """Return the model that says it answered."""

    @abstractmethod
    def _metrics(self) -> ChatMetrics:
        """Return the numbers that came."""

    @abstractmethod
    def _response_json(self, content: str, thinking: str) -> bytes:
        """Return the whole answer as the server gives it without streaming; empty while it is not whole."""


def text_or_none(value: object) -> str | None:
    """Return a text that says something."""
    return value if isinstance(value, str) and value else None


def counter(value: object) -> int | None:
    """Return a count that SQL can hold; None for anything else."""
    return value if type(value) is int and 0 <= value <= _MAX_COUNTER else None


def _joined(pieces: list[str]) -> str:
    """Return the pieces as one text. The halves of a surrogate pair that came in two lines become one character."""
    text = "".join(pieces)
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
