"""What a call does after each kind of SQL Server's errors, at the one place where it is sent."""

import random
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from django.db import utils
from mssql_python import exceptions as mssql

from derive.errors import BadContent, DatabaseUnavailable, QueueError
from derive.sql import calls, procedures
from derive.sql.calls import Row
from derive.sql.procedures import PROCEDURES, Procedure
from derive.sql.reading import reading

ANSWER: list[Row] = [(True, "SUCCEEDED", None)]


def raised(kind: type[mssql.Error], words: str, text: str) -> Exception:
    """Return Django's error around the driver's, which tells no number."""
    error = utils.DatabaseError(f"Driver Error: {words}; DDBC Error: [Microsoft][SQL Server]{text}")
    error.__cause__ = kind(driver_error=words, ddbc_error=f"[Microsoft][ODBC Driver 18][SQL Server]{text}")
    return error


VICTIM = raised(mssql.OperationalError, "Serialization failure", "Transaction (Process ID 53) was deadlocked on lock")
LOCK_TIMEOUT = raised(mssql.OperationalError, "Timeout expired", "Lock request time out period exceeded.")
LINK = raised(mssql.OperationalError, "Communication link failure", "TCP Provider: Error code 0x68")
BROKEN = raised(mssql.DatabaseError, "An error occurred with SQLSTATE code: IMC06", "The connection is broken and …")
FAILOVER = raised(mssql.ProgrammingError, "Syntax error", "Database 'd' on server 's' is not currently available.")
BUSY = raised(mssql.ProgrammingError, "Syntax error", "The service is currently busy. Retry after 10 seconds.")
CHECK = raised(mssql.IntegrityError, "Integrity constraint violation", "The INSERT statement conflicted with …")

CONTENDED = (VICTIM, LOCK_TIMEOUT)
LOST = (LINK, BROKEN, FAILOVER, BUSY)


class Line:
    """The way to a server that raises what it is given, in turn, before it answers."""

    sends_by: ClassVar[tuple[str, ...]] = ("_send",)

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent = 0
        self.dropped = 0
        monkeypatch.setattr(calls, "_make_ready", lambda *_: None)
        monkeypatch.setattr(calls, "drop_connection", self._drop)
        for name in self.sends_by:
            monkeypatch.setattr(calls, name, self._send)
        self.pauses: list[float] = []
        monkeypatch.setattr(time, "sleep", self.pauses.append)

    def _drop(self, *_: Any) -> None:
        self.dropped += 1

    def _send(self, *_: Any) -> Sequence[Row]:
        self.sent += 1
        if self.errors:
            raise self.errors.pop(0)
        return ANSWER


class Wire(Line):
    """The same below the place where a driver's stray errors are caught."""

    sends_by = ("_send_postgresql", "_send_sqlserver")


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
@pytest.mark.parametrize("error", CONTENDED, ids=["1205", "1222"])
def test_whatever_was_rolled_back_is_retried(
    monkeypatch: pytest.MonkeyPatch, error: Exception, procedure: Procedure
) -> None:
    line = Line(monkeypatch, error, error)
    assert calls.call("default", procedure, {}) == ANSWER
    assert (line.sent, line.dropped) == (3, 0)


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
@pytest.mark.parametrize("error", LOST, ids=["08S01", "IMC06", "40613", "40501"])
def test_after_a_lost_connection_only_what_may_be_repeated_is_retried(
    monkeypatch: pytest.MonkeyPatch, error: Exception, procedure: Procedure
) -> None:
    line = Line(monkeypatch, error)
    if procedure.is_repeatable:
        assert calls.call("default", procedure, {}) == ANSWER
    else:
        with pytest.raises(DatabaseUnavailable):
            calls.call("default", procedure, {})
    assert (line.sent, line.dropped) == (2 if procedure.is_repeatable else 1, 1)


def test_a_claim_is_not_repeated_and_an_enqueue_a_completion_and_a_heartbeat_are() -> None:
    repeatable = {procedure.name for procedure in PROCEDURES if procedure.is_repeatable}
    assert procedures.CLAIM_NEXT_JOB.name not in repeatable
    assert {"usp_enqueue_job", "usp_enqueue_jobs", "usp_complete_job", "usp_release_job", "usp_heartbeat"} <= repeatable


def test_the_repeats_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, times in ((VICTIM, calls.MAX_CONTENDED_TRIES), (LINK, calls.MAX_LOST_TRIES)):
        line = Line(monkeypatch, *[error] * 50)
        with pytest.raises(DatabaseUnavailable):
            calls.call("default", procedures.COMPLETE_JOB, {})
        assert line.sent == times


@pytest.mark.parametrize("chance", [1.0, 0.25])
def test_what_was_contended_is_retried_after_pauses_that_double_and_are_spread(
    monkeypatch: pytest.MonkeyPatch, chance: float
) -> None:
    line = Line(monkeypatch, *[VICTIM] * 50)
    monkeypatch.setattr(random, "random", lambda: chance)
    with pytest.raises(DatabaseUnavailable):
        calls.call("default", procedures.COMPLETE_JOB, {})
    with pytest.raises(DatabaseUnavailable):
        reading(line._send)
    assert line.pauses == pytest.approx([seconds * chance for seconds in (0.04, 0.08, 0.16, 0.32, 0.64)] * 2)


def test_an_error_about_the_call_itself_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, CHECK)
    with pytest.raises(QueueError):
        calls.call("default", procedures.COMPLETE_JOB, {})
    assert (line.sent, line.dropped) == (1, 0)


@pytest.mark.parametrize("stray", [RuntimeError, ValueError, IndexError, MemoryError, SystemError, OSError])
def test_whatever_a_driver_raises_past_its_own_errors_is_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch, stray: type[Exception]
) -> None:
    """mssql_python raised a bare RuntimeError on a connection that looked usable afterwards."""
    wire = Wire(monkeypatch, stray("the driver's own"))
    assert calls.call("default", procedures.COMPLETE_JOB, {}) == ANSWER
    assert (wire.sent, wire.dropped) == (2, 1)
    wire = Wire(monkeypatch, stray("the driver's own"))
    with pytest.raises(DatabaseUnavailable):
        calls.call("default", procedures.CLAIM_NEXT_JOB, {"worker_id": "one"})
    assert (wire.sent, wire.dropped) == (1, 1)


def test_text_that_cannot_be_encoded_is_bad_content_and_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch, UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"))
    with pytest.raises(BadContent):
        calls.call("default", procedures.COMPLETE_JOB, {})
    assert (wire.sent, wire.dropped) == (1, 0)


def test_a_read_during_which_the_driver_breaks_is_a_lost_connection() -> None:
    def query() -> None:
        raise RuntimeError("the driver's own")

    with pytest.raises(DatabaseUnavailable):
        reading(query)


def test_a_read_that_was_a_deadlocks_victim_is_retried_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, VICTIM, VICTIM)
    assert reading(line._send) == ANSWER
    line = Line(monkeypatch, *[VICTIM] * 50)
    with pytest.raises(DatabaseUnavailable, match="locks"):
        reading(line._send)
    assert line.sent == calls.MAX_CONTENDED_TRIES


def test_a_read_that_is_wrong_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, CHECK)
    with pytest.raises(QueueError):
        reading(line._send)
    assert line.sent == 1
