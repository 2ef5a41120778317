"""A task runs alone, on the database's clock, and leaves a word on how it went."""

import logging
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest

from derive.deadline import Deadline
from derive.errors import QueueError
from derive.models import ScheduleRun, TaskState
from derive.schedules import single_flight
from derive.schedules.single_flight import TaskOutcome, TaskResult, run_single_flight
from derive.sql.clock import database_now
from tests.contract.scenes import THREAD_SECONDS, at_once

pytestmark = pytest.mark.usefixtures("empty_queue")


def done(_deadline: Deadline) -> TaskResult:
    return TaskResult(TaskOutcome.DONE, "did it")


def idle(_deadline: Deadline) -> TaskResult:
    return TaskResult(TaskOutcome.IDLE)


def failing(_deadline: Deadline) -> TaskResult:
    raise QueueError("the table is gone")


def age(task: str, **span: float) -> None:
    """Let time pass for a task."""
    state = TaskState.objects.get(name=task)
    for column in ("held_until_utc", "started_utc", "ended_utc"):
        if getattr(state, column) is not None:
            setattr(state, column, getattr(state, column) - timedelta(**span))
    state.save()


class Killed(BaseException):
    """What no task catches: as if the process were gone."""


def dying(_deadline: Deadline) -> TaskResult:
    raise Killed


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Clock:
    """The database's clock, as tests set it: seconds after noon."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(single_flight, "database_now", clock.now)
    return clock


def test_of_two_at_the_same_moment_one_runs() -> None:
    running, may_end = threading.Event(), threading.Event()

    def slow(_deadline: Deadline) -> TaskResult:
        running.set()
        assert may_end.wait(THREAD_SECONDS)
        return TaskResult(TaskOutcome.DONE, "did it")

    def other() -> TaskResult | None:
        assert running.wait(THREAD_SECONDS)
        try:
            return run_single_flight("t", done, seconds=60)
        finally:
            may_end.set()

    first, second = at_once(lambda: run_single_flight("t", slow, seconds=60), other)
    assert (first, second) == (TaskResult(TaskOutcome.DONE, "did it"), None)
    assert ScheduleRun.objects.count() == 1


def test_of_many_that_race_for_a_task_nobody_ran_before_one_runs() -> None:
    runs = at_once(*[lambda: run_single_flight("t", done, seconds=60, not_within_seconds=60)] * 8)
    assert sum(told is not None for told in runs) == 1


def test_who_was_overtaken_after_a_look_at_the_clock_does_not_run_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken() -> datetime:
        monkeypatch.undo()
        now = database_now()
        assert run_single_flight("t", done, seconds=60, not_within_seconds=60) is not None
        return now

    monkeypatch.setattr(single_flight, "database_now", overtaken)
    assert run_single_flight("t", done, seconds=60, not_within_seconds=60) is None


def test_different_tasks_do_not_wait_for_each_other() -> None:
    def nested(deadline: Deadline) -> TaskResult:
        assert run_single_flight("other", done, seconds=60) is not None
        return done(deadline)

    assert run_single_flight("t", nested, seconds=60) is not None


def test_a_task_that_ran_just_now_is_not_run_again() -> None:
    assert run_single_flight("t", idle, seconds=60, not_within_seconds=20) is not None
    assert run_single_flight("t", idle, seconds=60, not_within_seconds=20) is None
    age("t", seconds=21)
    assert run_single_flight("t", idle, seconds=60, not_within_seconds=20) is not None


def test_what_failed_is_recorded_counted_and_cleared_by_success() -> None:
    for _time in range(3):
        assert run_single_flight("t", failing, seconds=60) == TaskResult(TaskOutcome.FAILED, "the table is gone")
    state = TaskState.objects.get(name="t")
    assert (state.outcome, state.told, state.failures, state.succeeded_utc) == ("failed", "the table is gone", 3, None)
    # Said three times, it is one row.
    assert list(ScheduleRun.objects.values_list("outcome", "told", "times")) == [("failed", "the table is gone", 3)]
    run_single_flight("t", done, seconds=60)
    state.refresh_from_db()
    assert (state.outcome, state.failures, state.succeeded_utc) == ("done", 0, state.ended_utc)


def test_a_fault_of_our_own_is_reported_by_its_place_not_by_its_message() -> None:
    def broken(_deadline: Deadline) -> TaskResult:
        raise RuntimeError("the secret passage")

    told = run_single_flight("t", broken, seconds=60)
    assert told is not None
    assert "RuntimeError" in told.text
    assert "secret" not in told.text


def test_what_had_nothing_to_do_leaves_no_row_but_is_known_to_have_run() -> None:
    run_single_flight("t", idle, seconds=60)
    assert not ScheduleRun.objects.exists()
    assert TaskState.objects.get(name="t").ended_utc is not None


def test_who_died_with_a_task_loses_it_when_its_time_has_passed_and_that_is_reported() -> None:
    with pytest.raises(Killed):
        run_single_flight("t", dying, seconds=60)
    assert run_single_flight("t", done, seconds=60) is None
    age("t", seconds=200)
    assert run_single_flight("t", done, seconds=60) is not None
    assert list(ScheduleRun.objects.order_by("id").values_list("outcome", flat=True)) == ["failed", "done"]
    assert "without a result" in ScheduleRun.objects.earliest("id").told


def test_who_comes_back_too_late_writes_nothing_over_its_successor() -> None:
    def asleep(_deadline: Deadline) -> TaskResult:
        age("t", seconds=200)
        assert run_single_flight("t", lambda _: TaskResult(TaskOutcome.DONE, "the successor"), seconds=60) is not None
        return TaskResult(TaskOutcome.DONE, "late")

    run_single_flight("t", asleep, seconds=60)
    assert TaskState.objects.get(name="t").told == "the successor"


def test_a_start_in_the_future_stops_nothing() -> None:
    run_single_flight("t", done, seconds=60)
    TaskState.objects.filter(name="t").update(started_utc=database_now() + timedelta(days=900))
    assert run_single_flight("t", done, seconds=60, not_within_seconds=60) is not None


def test_a_task_held_by_a_clock_that_was_put_back_is_free() -> None:
    with pytest.raises(Killed):
        run_single_flight("t", dying, seconds=60)
    age("t", days=-900)
    assert run_single_flight("t", done, seconds=60, not_within_seconds=60) is not None
    assert "without a result" in ScheduleRun.objects.earliest("id").told
    assert TaskState.objects.get(name="t").outcome == "done"


def test_a_time_out_that_ends_the_process_is_recorded_first() -> None:
    def stopped(_deadline: Deadline) -> TaskResult:
        raise SystemExit("Task exceeded maximum timeout value")

    with pytest.raises(SystemExit):
        run_single_flight("t", stopped, seconds=60)
    assert TaskState.objects.get(name="t").outcome == "failed"
    assert run_single_flight("t", done, seconds=60) is not None


def test_who_died_holds_a_task_for_its_bound_and_a_minute(clock: Clock) -> None:
    with pytest.raises(Killed):
        run_single_flight("t", dying, seconds=30)
    died = TaskState.objects.get(name="t")
    assert (died.started_utc, died.held_until_utc) == (NOON, NOON + timedelta(seconds=90))
    clock.seconds = 90
    assert run_single_flight("t", done, seconds=30) is None
    clock.seconds = 90.001
    assert run_single_flight("t", done, seconds=30) is not None
    lost = ScheduleRun.objects.earliest("id")
    assert (lost.outcome, lost.run_by, lost.started_utc, lost.ended_utc) == (
        "failed",
        died.held_by,
        NOON,
        NOON + timedelta(seconds=90.001),
    )


def test_only_a_task_held_for_longer_than_any_can_be_is_taken_for_one_of_a_clock_put_back(clock: Clock) -> None:
    with pytest.raises(Killed):
        run_single_flight("t", dying, seconds=30)
    # Held until 90: another holder's clock may be a minute ahead of what the longest hold explains.
    clock.seconds = -60
    assert run_single_flight("t", done, seconds=30) is None
    clock.seconds = -60.001
    assert run_single_flight("t", done, seconds=30) is not None
    assert "without a result" in ScheduleRun.objects.earliest("id").told


def test_a_task_may_begin_again_at_the_moment_it_ended(clock: Clock) -> None:
    assert run_single_flight("t", done, seconds=30) is not None
    assert run_single_flight("t", done, seconds=30) is not None
    assert ScheduleRun.objects.count() == 2


def test_a_task_rests_from_the_moment_it_began(clock: Clock) -> None:
    assert run_single_flight("t", done, seconds=30, not_within_seconds=20) is not None
    for clock.seconds in (0, 19.999):
        assert run_single_flight("t", done, seconds=30, not_within_seconds=20) is None
    clock.seconds = 20
    assert run_single_flight("t", done, seconds=30, not_within_seconds=20) is not None


def test_long_texts_and_host_names_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 300)
    run_single_flight("t", lambda _: TaskResult(TaskOutcome.DONE, "x" * 3000), seconds=60)
    state, ran = TaskState.objects.get(name="t"), ScheduleRun.objects.get()
    assert state.told == ran.told == "x" * 2000
    assert ran.run_by == "h" * 200


def test_what_did_something_or_failed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for act in (done, idle, failing):
            run_single_flight("t", act, seconds=60)
    assert [(record.levelname, record.getMessage(), vars(record)["told"]) for record in caplog.records] == [
        ("INFO", "schedule.ran", "did it"),
        ("WARNING", "schedule.ran", "the table is gone"),
    ]
