"""When schedulers were last heard of."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from derive.models.schedules import SchedulerProcess
from derive.sql.clock import database_now
from derive.sql.reading import reading

ALIVE_SECONDS = 100.0
"""Three heartbeats: a scheduler that was not heard of for longer is gone."""
AHEAD = timedelta(seconds=5)
"""A heartbeat further in the future was written by a database's clock that was put back since: it tells nothing."""


def heartbeat_age_on(host: str) -> float | None:
    """Return how many seconds ago a scheduler of this host was last heard of, None when none is known; QueueError."""

    def look() -> float | None:
        now = database_now()
        newest = newest_heartbeat(SchedulerProcess.objects.filter(host=host[:200]), now)
        return None if newest is None else age_at(newest, now)

    return reading(look)


def newest_heartbeat(schedulers: QuerySet[SchedulerProcess], now: datetime) -> SchedulerProcess | None:
    """Return the scheduler that was heard of last, None when none was."""
    return schedulers.filter(seen_utc__lte=now + AHEAD).order_by("-seen_utc").first()


def age_at(scheduler: SchedulerProcess, now: datetime) -> float:
    """Return how many seconds before now the scheduler was heard of."""
    age: timedelta = now - scheduler.seen_utc
    return max(0.0, age.total_seconds())
