"""Single flight: a task has one holder in the whole database, on its clock, however many schedulers run.

A task's row is taken by one statement that finds it free, which the database does for one of many. It is held for the
task's bound in time, no transaction is open meanwhile, and whoever died with it loses it when that has passed. What a
task changes goes through procedures that may be said again, so that even a holder that was asleep for longer than its
bound does no harm; it only writes nothing about itself any more.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from django.db.models import Q

from derive.errors import HolocronError, places_of
from derive.models.schedules import ScheduleRun, TaskState
from derive.sql.clock import database_now

log = logging.getLogger(__name__)

SLACK_SECONDS = 60
"""How much longer than its bound a task is held: it stops before another holder may start."""
AHEAD_SECONDS = 60
"""Past the longest that a task can be held: held until then, it was taken by a clock that was put back since."""
MAX_MESSAGE = 2_000


class TaskOutcome(StrEnum):
    """How a task went."""

    DONE = "done"
    IDLE = "idle"
    """There was nothing to do: no row is kept."""
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class TaskResult:
    """How a task went, and what it says about it."""

    outcome: TaskOutcome
    text: str = ""


class Deadline:
    """A bound in time that a task looks at between its batches."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether the task has to stop."""
        return time.monotonic() >= self._until


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

    A failure is recorded and logged, not raised: the admin shows it. Raises QueueError or Django's own when the
    database cannot be asked, and whatever ends the process (a time-out), which is recorded first.
    """
    held = _take(task, seconds=seconds, not_within_seconds=not_within_seconds)
    if held is None:
        return None
    try:
        result = act(Deadline(seconds))
    except HolocronError as error:
        result = TaskResult(TaskOutcome.FAILED, str(error))
    except Exception as error:  # noqa: BLE001 (the edge where a task ends: everything is recorded, nothing is hidden)
        # Its message may hold a row's values.
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
        # By a clock that was put back; the same still, as below.
        free |= Q(held_until_utc=before.held_until_utc)
    rested = Q(started_utc__isnull=True) | Q(started_utc__lte=now - timedelta(seconds=not_within_seconds))
    if before.started_utc is not None and before.started_utc > now:
        # Of a database that was put back, or of a row somebody wrote: it stops nothing. It was read before the clock
        # was, and must be the same still: one that began since, and has ended, began after ``now`` as well.
        rested |= Q(started_utc=before.started_utc)
    taken = TaskState.objects.filter(free, rested, name=task).update(
        token=token, held_by=run_by, held_until_utc=now + timedelta(seconds=seconds + SLACK_SECONDS), started_utc=now
    )
    if not taken:
        return None
    if before.token and before.held_until_utc is not None and not now <= before.held_until_utc <= longest:
        # Whoever had it never came back, or has it by a clock that nobody goes by any more.
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
    # Only while it is ours: another process may have taken it over.
    TaskState.objects.filter(name=held.task, token=held.token).update(**values)
    if result.outcome is not TaskOutcome.IDLE:
        _keep(held, result, now)


def _keep(held: _Held, result: TaskResult, now: datetime) -> None:
    """Keep a row of it; an equal result is counted in the row before it."""
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
