"""Single flight: a task has one holder in the whole database, by its clock, however many schedulers run.

A task's row is taken by one statement that finds it free, which succeeds for only one process. It is held for the
task's time limit, without an open transaction; a holder that dies loses it when that has passed. Tasks change data only
through repeatable procedures, so even a holder that was suspended beyond its limit does no harm; it just cannot record
its result.
"""

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from django.db.models import Q

from derive.deadline import Deadline
from derive.errors import HolocronError, places_of
from derive.models.schedules import ScheduleRun, TaskState
from derive.sql.clock import database_now

log = logging.getLogger(__name__)

SLACK_SECONDS = 60
"""How much longer than its limit a task is held: it stops before another holder may start."""
AHEAD_SECONDS = 60
"""Longer than any task can be held: held beyond this, it was taken before the clock was set back."""
MAX_MESSAGE = 2_000


class TaskOutcome(StrEnum):
    """The outcome of a task."""

    DONE = "done"
    IDLE = "idle"
    """There was nothing to do; no row is kept."""
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class TaskResult:
    """A task's outcome and its message."""

    outcome: TaskOutcome
    text: str = ""


@dataclass(frozen=True)
class _Held:
    task: str
    token: str
    run_by: str
    started_utc: datetime
    failures: int


def run_single_flight(
    task: str, act: Callable[[Deadline], TaskResult], *, seconds: float, not_within_seconds: float = 0
) -> TaskResult | None:
    """Run a task unless it is running or started less than ``not_within_seconds`` ago; then return None.

    Failures are recorded and logged, not raised: the admin shows them. Raises QueueError or Django's own errors if the
    database is unavailable, and anything that ends the process (a time-out), after recording it.
    """
    held = _take(task, seconds=seconds, not_within_seconds=not_within_seconds)
    if held is None:
        return None
    try:
        result = act(Deadline(seconds))
    except HolocronError as error:
        result = TaskResult(TaskOutcome.FAILED, str(error))
    except Exception as error:  # noqa: BLE001 (the edge where a task ends: everything is recorded, nothing is hidden)
        # Its message may contain row values.
        result = TaskResult(TaskOutcome.FAILED, f"internal error: {places_of(error)}")
    except SystemExit:
        _record(held, TaskResult(TaskOutcome.FAILED, "exceeded its time limit and was stopped; the next run continues"))
        raise
    _record(held, result)
    return result


def _take(task: str, *, seconds: float, not_within_seconds: float) -> _Held | None:
    before, _made = TaskState.objects.get_or_create(name=task)
    now = database_now()
    token, run_by = uuid4().hex, f"{socket.gethostname()}:{os.getpid()}"[:200]
    longest = now + timedelta(seconds=seconds + SLACK_SECONDS + AHEAD_SECONDS)
    free = Q(held_until_utc__isnull=True) | Q(held_until_utc__lt=now)
    if before.held_until_utc is not None and before.held_until_utc > longest:
        # Taken before the clock was set back; it must be unchanged, as below.
        free |= Q(held_until_utc=before.held_until_utc)
    rested = Q(started_utc__isnull=True) | Q(started_utc__lte=now - timedelta(seconds=not_within_seconds))
    if before.started_utc is not None and before.started_utc > now:
        # From before the database's clock was set back, or written by hand: it blocks nothing. It must be the same as
        # when read: a task started and ended since then would also have started after ``now``.
        rested |= Q(started_utc=before.started_utc)
    taken = TaskState.objects.filter(free, rested, name=task).update(
        token=token, held_by=run_by, held_until_utc=now + timedelta(seconds=seconds + SLACK_SECONDS), started_utc=now
    )
    if not taken:
        return None
    if before.token and before.held_until_utc is not None and not now <= before.held_until_utc <= longest:
        # The holder died, or holds it by a clock that has been set back.
        lost = _Held(task, before.token, before.held_by, before.started_utc or now, before.failures)
        _keep(lost, TaskResult(TaskOutcome.FAILED, "ended without a result: its process died or hung"), now)
    return _Held(task, token, run_by, now, before.failures)


def _record(held: _Held, result: TaskResult) -> None:
    """Record the result and release the task."""
    now = database_now()
    failed = result.outcome is TaskOutcome.FAILED
    if result.outcome is not TaskOutcome.IDLE:
        level = logging.WARNING if failed else logging.INFO
        log.log(
            level,
            "schedule.ran",
            extra={"task": held.task, "outcome": result.outcome, "told": result.text[:MAX_MESSAGE]},
        )
    values: dict[str, Any] = {
        "token": "",
        "held_by": "",
        "held_until_utc": None,
        "ended_utc": now,
        "outcome": result.outcome.value,
        "told": result.text[:MAX_MESSAGE],
        "failures": held.failures + 1 if failed else 0,
    }
    if not failed:
        values["succeeded_utc"] = now
    # Only while we hold it: another process may have taken over.
    TaskState.objects.filter(name=held.task, token=held.token).update(**values)
    if result.outcome is not TaskOutcome.IDLE:
        _keep(held, result, now)


def _keep(held: _Held, result: TaskResult, now: datetime) -> None:
    """Store a row for the run; an equal result is counted in the previous row."""
    text = result.text[:MAX_MESSAGE]
    last = ScheduleRun.objects.filter(task=held.task).order_by("-id").first()
    if (
        last is not None
        and (last.outcome, last.told) == (result.outcome.value, text)
        and result.outcome != TaskOutcome.DONE
    ):
        ScheduleRun.objects.filter(pk=last.pk).update(times=last.times + 1, ended_utc=now, run_by=held.run_by)
        return
    ScheduleRun.objects.create(
        task=held.task,
        run_by=held.run_by,
        started_utc=held.started_utc,
        ended_utc=now,
        outcome=result.outcome.value,
        told=text,
    )
