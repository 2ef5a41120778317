"""Assembles a streamed answer from chunks of any size; each protocol parses its own lines."""

import re
from abc import ABC, abstractmethod
from contextlib import suppress
from time import monotonic
from typing import Any, ClassVar

from derive.errors import AnswerTooLarge, ModelCrashed, RunError, TruncatedOutput
from derive.model_servers.chat import ChatAnswer, ChatMetrics
from derive.model_servers.wire import quotable

MAX_LINE_BYTES = 2 * 1024 * 1024
"""Limit of a line, which is one token or a whole short answer; parsing takes up to twenty times its size in memory."""

MAX_UNKNOWN_BYTES = 1024 * 1024
"""Limit of lines with unknown members that are kept for ``response.json``; the stored stream contains all of them."""

_MAX_COUNTER = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


class AnswerAssembler(ABC):
    """Assembles a streamed answer chunk by chunk, in memory limited by ``max_answer_bytes``."""

    why_unfinished: ClassVar[str] = ""
    """What is known of servers that end a stream in good order in the midst of an answer."""

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
        """Whether the answer is complete, however the connection ends."""

    @property
    def is_whole(self) -> bool:
        """Whether the answer is complete, given that the connection ended cleanly."""
        return self.is_done

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; raise AnswerTooLarge beyond the limit, ModelCrashed for an invalid line."""
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
        """Return the complete answer after the last byte.

        Raises ModelCrashed if it is incomplete, TruncatedOutput if the model ran out of tokens.
        """
        self._take_pending()
        if not self.is_whole:
            raise ModelCrashed(f"the model's answer ended before it was done{self.why_unfinished}")
        reason = self._done_reason()
        if reason == "length":
            raise TruncatedOutput("the model ran out of tokens before its answer was complete")
        if reason != "stop":
            shown = "no reason" if reason is None else f"the reason '{quotable(reason)}'"
            raise ModelCrashed(f"the model's answer ended with {shown} instead of 'stop'")
        return self.so_far(ended_cleanly=ended_cleanly)

    def so_far(self, *, ended_cleanly: bool = False) -> ChatAnswer:
        """Return the part of the answer that arrived, after the last byte.

        A valid last line without a line ending counts, as it does when the stored bytes are read again.
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
        """Add a message's text; None adds nothing."""
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
        """Keep unknown members, joining the lists of several lines."""
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
        """Process one line, which is neither empty nor too long."""

    @abstractmethod
    def _done_reason(self) -> str | None:
        """Return why the model stopped; None if it did not say."""

    @abstractmethod
    def _model(self) -> str | None:
        """Return the name of the model according to the answer."""

    @abstractmethod
    def _metrics(self) -> ChatMetrics:
        """Return the metrics that arrived."""

    @abstractmethod
    def _response_json(self, content: str, thinking: str) -> bytes:
        """Return the complete answer as the server returns it without streaming; empty while incomplete."""


def text_or_none(value: object) -> str | None:
    """Return the value if it is a text that is not empty; else None."""
    return value if isinstance(value, str) and value else None


def counter(value: object) -> int | None:
    """Return the value if it is a count that SQL can store; else None."""
    return value if type(value) is int and 0 <= value <= _MAX_COUNTER else None


def _joined(pieces: list[str]) -> str:
    """Return the pieces as one text; surrogate pairs split across two lines become one character."""
    text = "".join(pieces)
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
