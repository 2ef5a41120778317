"""The schedulers' last heartbeats."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from derive.models.schedules import SchedulerProcess
from derive.sql.clock import database_now
from derive.sql.reading import reading

ALIVE_SECONDS = 100.0
"""Three heartbeats: a scheduler silent for longer is gone."""
AHEAD = timedelta(seconds=5)
"""A heartbeat further in the future was written before the database's clock was set back, and is ignored."""


def heartbeat_age_on(host: str) -> float | None:
    """Return the age in seconds of the last heartbeat from this host, None if there is none; raises QueueError."""

    def look() -> float | None:
        now = database_now()
        newest = newest_heartbeat(SchedulerProcess.objects.filter(host=host[:200]), now)
        return None if newest is None else age_at(newest, now)

    return reading(look)


def newest_heartbeat(schedulers: QuerySet[SchedulerProcess], now: datetime) -> SchedulerProcess | None:
    """Return the scheduler with the latest heartbeat, None if there is none."""
    return schedulers.filter(seen_utc__lte=now + AHEAD).order_by("-seen_utc").first()


def age_at(scheduler: SchedulerProcess, now: datetime) -> float:
    """Return the age of a scheduler's heartbeat in seconds."""
    age: timedelta = now - scheduler.seen_utc
    return max(0.0, age.total_seconds())
