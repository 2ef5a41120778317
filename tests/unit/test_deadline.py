"""When long work has to stop."""

from types import SimpleNamespace

import pytest

from derive import deadline as module
from derive.deadline import Deadline


def test_a_task_has_to_stop_when_its_seconds_have_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    deadline = Deadline(30)
    assert deadline.is_over is False
    now = 1029.5
    assert deadline.is_over is False
    now = 1030.0
    assert deadline.is_over is True
