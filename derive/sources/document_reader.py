"""Reads documents by libraries, in a child process with limits of memory and time and without secrets."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from derive.errors import SourceError
from derive.evidence.references import MAX_TEXT_CHARACTERS
from derive.sources import document_child
from derive.sources.document_child import tool_of

DOCUMENT_ENDINGS = frozenset(document_child.READERS)
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
SECONDS_PER_DOCUMENT = 30.0
_MAX_ANSWER_BYTES = MAX_TEXT_CHARACTERS * 12 + 10_000
"""JSON writes a character beyond the first plane in twelve bytes."""
_DOCUMENTS_PER_CHILD = 500
"""After so many the child is replaced, so that no leak of a library grows."""


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """A document's text, and what extracted it."""

    text: str
    tool: str
    version: str


def check_installed(ending: str) -> None:
    """Raise SourceError if the package that reads files of this ending is not installed."""
    if tool_of(ending) is None:
        raise SourceError(
            f"files of .{ending} need the package {document_child.READERS[ending][0]}: "
            "pip install 'holocron[documents]'"
        )


class DocumentReader:
    """Starts the child when the first document is read; use it as a context manager, in one thread."""

    def __init__(self, *, seconds: float = SECONDS_PER_DOCUMENT) -> None:
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._read_by_child = 0

    def read(self, ending: str, data: bytes) -> ExtractedText:
        """Return the text of a document; raise SourceError with the reason if there is none to be had."""
        check_installed(ending)
        child = self._running_child()
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            child.kill()

        timer = threading.Timer(self._seconds, give_up)
        timer.start()
        try:
            answer = _ask(child, ending, data)
        finally:
            timer.cancel()
        if answer is None:
            self.close()
            late = f"it took longer than {self._seconds:g} s to read"
            raise SourceError(late if is_late.is_set() else "it made its reader fail: it is damaged, or too large")
        if "reason" in answer:
            raise SourceError(str(answer["reason"]))
        return ExtractedText(str(answer["text"]), str(answer["tool"]), str(answer["version"]))

    def close(self) -> None:
        """End the child; may be repeated."""
        child, self._child, self._read_by_child = self._child, None, 0
        if child is not None:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                _close(cast("IO[bytes]", stream))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _running_child(self) -> "subprocess.Popen[bytes]":
        if self._read_by_child >= _DOCUMENTS_PER_CHILD:
            self.close()
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-B", str(Path(document_child.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Windows needs it to start a process.
                env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
                start_new_session=True,
            )
        self._read_by_child += 1
        return self._child


def _ask(child: "subprocess.Popen[bytes]", ending: str, data: bytes) -> dict[str, Any] | None:
    """Return the child's answer; None if it has ended or says what it should not."""
    request = {"ending": ending, "byte_count": len(data), "max_characters": MAX_TEXT_CHARACTERS}
    asked, said = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)
    try:
        asked.write(json.dumps(request).encode() + b"\n" + data)
        asked.flush()
        answer = json.loads(said.readline(_MAX_ANSWER_BYTES))
    except (OSError, ValueError):
        return None
    is_one = isinstance(answer, dict) and all(isinstance(value, str) for value in answer.values())
    return answer if is_one and ("reason" in answer or {"text", "tool", "version"} <= answer.keys()) else None


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except OSError:
        return
