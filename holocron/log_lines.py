"""Log format with one line per event: ``time level logger event key=value …``, or a JSON object.

An event is logged as ``logger.info("job.claimed", extra={"job_id": …, "attempt": 2})``: the message is the event's
name, and ``extra`` contains its keys. Logged values can neither forge a line nor move a terminal's cursor, because
control characters, line and paragraph separators and bidi marks are escaped.
"""

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from typing import Any

# Attributes that every record has; all others come from `extra`.
_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Django adds these objects to its records; the message already says what matters about them.
_FOREIGN_ATTRIBUTES = frozenset({"request", "server_time", "stack_info", "params", "sql", "duration", "alias"})
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_NEEDS_QUOTES = re.compile(r'[\s"=\\]|^$')


def neutralise(text: str) -> str:
    """Return the text with every character escaped that could forge a line or change a terminal's state."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _keys(record: logging.LogRecord) -> dict[str, Any]:
    keys = {
        name: value
        for name, value in vars(record).items()
        if name not in _OWN_ATTRIBUTES and name not in _FOREIGN_ATTRIBUTES
    }
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        keys["exception"] = type(error).__name__
        keys["traceback"] = "".join(traceback.format_exception(error))
    return keys


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    text = neutralise(str(value))
    if _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '\\"') + '"'
    return text


class TextLine(logging.Formatter):
    """Formats a record as one line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its line ending."""
        head = f"{_time(record)} {record.levelname} {record.name} {neutralise(record.getMessage())}"
        return " ".join([head, *(f"{name}={_shown(value)}" for name, value in _keys(record).items())])


class JsonLine(logging.Formatter):
    """Formats a record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its line ending; it is pure ASCII."""
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **_keys(record),
        }
        return json.dumps(line, default=str, ensure_ascii=True)
