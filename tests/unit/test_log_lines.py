"""An event is one line, whatever its keys hold."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.log_lines import JsonLine, TextLine


def record(message: str = "job.claimed", **keys: Any) -> logging.LogRecord:
    made = logging.LogRecord("derive.worker", logging.INFO, __file__, 1, message, None, None)
    made.__dict__.update(keys)
    return made


def test_a_text_line_is_event_and_keys() -> None:
    line = TextLine().format(record(job_id="a1", attempt=2, why='it "broke" twice', nothing=""))
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == r'INFO derive.worker job.claimed job_id=a1 attempt=2 why="it \"broke\" twice" nothing=""'


def test_a_json_line_is_an_object_with_the_keys() -> None:
    line = json.loads(JsonLine().format(record(job_id="a1", attempt=2)))
    assert line.pop("time")
    assert line == {"level": "INFO", "logger": "derive.worker", "event": "job.claimed", "job_id": "a1", "attempt": 2}


@pytest.mark.parametrize("formatter", [TextLine(), JsonLine()])
@given(message=st.text(), value=st.text())
def test_nothing_logged_can_begin_a_line_or_steer_a_terminal(
    formatter: logging.Formatter, message: str, value: str
) -> None:
    line = formatter.format(record(message, value=value))
    assert len(line.splitlines()) == 1
    assert not any(ord(mark) < 32 or 127 <= ord(mark) < 160 for mark in line)
    line.encode("utf-8")


@pytest.mark.parametrize("formatter", [TextLine(), JsonLine()])
def test_an_exception_stays_on_the_events_line(formatter: logging.Formatter) -> None:
    made = record("worker.failed")
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    line = formatter.format(made)
    assert len(line.splitlines()) == 1
    assert "ValueError" in line
