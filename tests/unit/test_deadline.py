"""When a scheduled task has to stop."""

from types import SimpleNamespace

import pytest

from derive.schedules import single_flight
from derive.schedules.single_flight import Deadline


def test_a_task_has_to_stop_when_its_seconds_have_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(single_flight, "time", SimpleNamespace(monotonic=lambda: now))
    deadline = Deadline(30)
    assert deadline.is_over is False
    now = 1029.5
    assert deadline.is_over is False
    now = 1030.0
    assert deadline.is_over is True
