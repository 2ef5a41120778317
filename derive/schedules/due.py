"""Runs due plans: each once when it is due, however many times were missed."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from derive.cron import BadCron, Cron
from derive.deadline import Deadline
from derive.models.schedules import Planned, TaskState
from derive.schedules.single_flight import TaskOutcome, TaskResult, run_single_flight
from derive.sql.clock import database_now
from derive.sql.reading import reading

log = logging.getLogger(__name__)

MOST_AT_ONCE = 200
PLAN_SECONDS = 240
LONGEST_PAUSE_MINUTES = 60
TOLERATED = timedelta(seconds=90)
"""How far a plan's next time may be after the one computed by the database's clock."""

Plan = TypeVar("Plan", bound=Planned)
Act = Callable[[Plan, datetime, Deadline], TaskResult]
"""Runs a plan for one scheduled time; repeated after a failure or crash, it completes what it started."""


def run_due(model: type[Plan], act: "Act[Plan]", deadline: Deadline) -> TaskResult:
    """Run every enabled plan that is due, longest overdue first; return the number of each outcome."""
    _repair(model)
    counts = {TaskOutcome.DONE: 0, TaskOutcome.SKIPPED: 0, TaskOutcome.FAILED: 0, TaskOutcome.IDLE: 0}
    for name in _due(model):
        if deadline.is_over:
            break
        result = run_plan(model, name, act)
        if result is not None:
            counts[result.outcome] += 1
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    # Each plan has its own row with details.
    return TaskResult(TaskOutcome.IDLE, summary)


def run_plan(model: type[Plan], name: str, act: "Act[Plan]") -> TaskResult | None:
    """Run one plan for the time it is due; None if it is not due, or another process runs it."""

    def once(deadline: Deadline) -> TaskResult:
        # Read while held: the previous holder has moved its time on.
        plan = reading(lambda: model.objects.filter(name=name, enabled=True).first())  # type: ignore[attr-defined]  # abstract to mypy
        now = database_now()
        if plan is None or plan.next_utc is None or plan.next_utc > now:
            return TaskResult(TaskOutcome.IDLE)
        result = act(plan, plan.next_utc, deadline)
        if result.outcome is not TaskOutcome.FAILED:
            # After now, not after the missed time: a day without a scheduler is caught up once.
            later = Cron(plan.cron).after(now)
            model.objects.filter(pk=plan.pk, next_utc=plan.next_utc).update(next_utc=later)  # type: ignore[attr-defined]
        return result

    return run_single_flight(f"{model.KIND}:{name}", once, seconds=PLAN_SECONDS)


def _repair(model: type[Planned]) -> None:
    """Correct plans whose next time was written while the database's clock was ahead."""
    now = database_now()
    waiting = model.objects.filter(enabled=True, next_utc__gt=now + TOLERATED)  # type: ignore[attr-defined]
    for plan in reading(lambda: list(waiting)):
        try:
            expected = Cron(plan.cron).after(now)
        except BadCron:
            # Written past the admin; it fails when it is due, and is reported then.
            continue
        if plan.next_utc > expected + TOLERATED:
            model.objects.filter(pk=plan.pk, next_utc=plan.next_utc).update(next_utc=expected)  # type: ignore[attr-defined]
            log.warning("plan.repaired", extra={"plan": plan.task, "was": plan.next_utc.isoformat()})


def _due(model: type[Planned]) -> list[str]:
    """Return the names of the plans to run now; after failures a plan waits longer each time, up to an hour."""
    now = database_now()

    def query() -> tuple[list[str], dict[str, TaskState]]:
        plans = model.objects.filter(enabled=True, next_utc__lte=now)  # type: ignore[attr-defined]
        names = list(plans.order_by("next_utc", "name").values_list("name", flat=True)[:MOST_AT_ONCE])
        failing = TaskState.objects.filter(name__in=[f"{model.KIND}:{name}" for name in names], failures__gt=0)
        return names, {state.name: state for state in failing}

    names, failing = reading(query)
    return [name for name in names if not _pauses(failing.get(f"{model.KIND}:{name}"), now)]


def _pauses(state: TaskState | None, now: datetime) -> bool:
    if state is None or state.ended_utc is None:
        return False
    minutes = min(2 ** min(state.failures - 1, 10), LONGEST_PAUSE_MINUTES)
    ended: datetime = state.ended_utc
    # An end in the future is not usable.
    return ended <= now < ended + timedelta(minutes=minutes)
