"""The scheduler's health, for the dashboard, the metrics and the automation page."""

from dataclasses import dataclass, replace
from datetime import datetime

from django_q.models import Schedule

from derive.models.schedules import (
    EscalationPolicy,
    Planned,
    RecurringInterrogation,
    RetentionPolicy,
    RetryPolicy,
    SchedulerProcess,
    TaskState,
)
from derive.schedules.heartbeats import ALIVE_SECONDS, age_at, newest_heartbeat
from derive.schedules.system_tasks import SYSTEM_TASKS
from derive.sql.clock import database_now
from derive.sql.reading import reading

OVERDUE_SECONDS = 180.0
"""django-q2 checks every 30 seconds, and a task may have to wait for another to end."""
SKEW_SECONDS = 60.0
PLANS: tuple[type[Planned], ...] = (RetryPolicy, EscalationPolicy, RecurringInterrogation, RetentionPolicy)


@dataclass(frozen=True)
class SchedulerHealth:
    """The scheduler's health.

    ``heartbeat_age_seconds`` is None if no scheduler ever ran; ``lag_seconds`` is how overdue the most overdue schedule
    is (0: none is due); ``problems`` say what is wrong and what to do, empty if nothing is.
    """

    heartbeat_age_seconds: float | None
    lag_seconds: float
    waits_longest: str
    failing: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def is_alive(self) -> bool:
        """Whether a scheduler sent a recent heartbeat."""
        return self.heartbeat_age_seconds is not None and self.heartbeat_age_seconds <= ALIVE_SECONDS


def scheduler_health() -> SchedulerHealth:
    """Read heartbeats, due times and last outcomes in seven short queries; raise QueueError."""
    return reading(_look)


def failing_tasks(*, at_least: int) -> list[TaskState]:
    """Return the tasks that failed so many times in a row, by name; raise QueueError."""
    return reading(lambda: _failing(_plans(), at_least=at_least))


def title_of(task: str) -> str:
    """Return a task's display name; a plan's is its kind and name."""
    return SYSTEM_TASKS[task].title if task in SYSTEM_TASKS else task


def _failing(plans: list[tuple[str, datetime | None]], *, at_least: int) -> list[TaskState]:
    tasks = {*SYSTEM_TASKS, *(name for name, _ in plans)}
    return [task for task in TaskState.objects.filter(failures__gte=at_least).order_by("name") if task.name in tasks]


def _look() -> SchedulerHealth:
    now = database_now()
    newest = newest_heartbeat(SchedulerProcess.objects.all(), now)
    age = None if newest is None else age_at(newest, now)
    plans = _plans()
    due = _due(plans)
    waits_longest, due_utc = min(due, key=lambda one: one[1], default=("", now))
    lag = max(0.0, (now - due_utc).total_seconds())
    failing = tuple(task.name for task in _failing(plans, at_least=1))
    health = SchedulerHealth(age, lag, waits_longest if lag else "", failing, ())
    skew = newest.skew_seconds if newest is not None else 0.0
    return replace(health, problems=tuple(_problems(health, skew)))


def _plans() -> list[tuple[str, datetime | None]]:
    """Return the enabled plans, each with its next time."""
    found: list[tuple[str, datetime | None]] = []
    for model in PLANS:
        plans = model.objects.filter(enabled=True).values_list("name", "next_utc")  # type: ignore[attr-defined]  # abstract to mypy
        found += [(f"{model.KIND}:{name}", moment) for name, moment in plans]
    return found


def _due(plans: list[tuple[str, datetime | None]]) -> list[tuple[str, datetime]]:
    """Return everything with a next time, the broker's schedules first."""
    schedules = Schedule.objects.exclude(repeats=0).filter(next_run__isnull=False)
    names = {task.func: task.name for task in SYSTEM_TASKS.values()}
    times = [(names.get(func, func), moment) for func, moment in schedules.values_list("func", "next_run")]
    return times + [(name, moment) for name, moment in plans if moment is not None]


def _problems(health: SchedulerHealth, skew_seconds: float) -> list[str]:
    problems = []
    if not health.is_alive:
        since = "has ever run" if health.heartbeat_age_seconds is None else "is running"
        problems.append(f"no scheduler {since}: start manage.py qcluster")
    # A failed one is still due, and its failure says more.
    if health.lag_seconds > OVERDUE_SECONDS and health.waits_longest not in health.failing:
        problems.append(f"{title_of(health.waits_longest)} is overdue by {_minutes(health.lag_seconds)}")
    if health.is_alive and abs(skew_seconds) > SKEW_SECONDS:
        problems.append(
            f"the scheduler's clock is off by {skew_seconds:+.0f} s from the database's: correct its machine's clock"
        )
    problems += [f"{title_of(name)} failed in its last run" for name in health.failing]
    return problems


def _minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
