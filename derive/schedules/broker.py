"""django-q2's broker on the database, a little stricter: it calls system tasks only, and knows the time.

django-q2 decides by the clock of the machine it runs on what is due, and writes down by it when the next time is. A
clock that jumps forward and back would leave rows that are next due in years. So with each heartbeat, a round of its
guard, the rows are held against the database's clock and put right; what is then called twice finds that it ran
already (``single_flight``). A row that was written past the admin and that it would refuse is switched off.
"""

import logging
import os
import socket
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import Error as DjangoDatabaseError
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.signing import BadSignature, SignedPackage
from typing_extensions import override

from derive.errors import QueueError
from derive.models.schedules import SchedulerProcess
from derive.schedules.cron import BadCron, Cron
from derive.schedules.system_tasks import FUNCS
from derive.sql.clock import database_now

log = logging.getLogger(__name__)

LEAST_SECONDS = 10.0
"""Between two heartbeats: while it stops, django-q2 tells of itself ten times a second."""
TOLERATED = timedelta(seconds=90)
"""How far a row may be from where the database's clock puts it: django-q2 looks every 30 seconds, once a minute due."""


class SystemTaskBroker(ORM):  # type: ignore[misc]  # django-q2 carries no types
    """The broker of ``Q_CLUSTER["broker_class"]``."""

    _beaten = float("-inf")

    @override
    def dequeue(self) -> list[tuple[int, Any]] | None:
        """Return the next task, if it calls a system task's function; drop any other with a line in the log."""
        return [(pk, payload) for pk, payload in super().dequeue() or () if self._may_run(pk, payload)]

    def _may_run(self, pk: int, payload: Any) -> bool:
        try:
            func = SignedPackage.loads(payload)["func"]
        except (TypeError, KeyError, BadSignature):
            log.error("schedule.refused", extra={"queued": pk, "why": "not signed with this SECRET_KEY"})
        else:
            if func in FUNCS:
                return True
            log.error("schedule.refused", extra={"queued": pk, "func": str(func)[:200], "why": "not a system task"})
        self.fail(pk)
        return False

    @override
    def set_stat(self, key: str, value: Any, timeout: int) -> None:
        """Tell that this cluster lives; django-q2 calls this in each of its rounds."""
        if time.monotonic() - self._beaten < LEAST_SECONDS:
            return
        self._beaten = time.monotonic()
        try:
            beat(cluster_id=key.rpartition(":")[2])
        except (QueueError, DjangoDatabaseError) as error:
            log.warning("scheduler.heartbeat_failed", extra={"error": type(error).__name__})


def beat(*, cluster_id: str) -> None:
    """Write a heartbeat, and hold the schedules against the database's clock."""
    now = database_now()
    skew = timezone.now() - now
    seen = {"seen_utc": now, "skew_seconds": round(skew.total_seconds(), 3)}
    if not SchedulerProcess.objects.filter(cluster_id=cluster_id[:60]).update(**seen):
        host = socket.gethostname()[:200]
        SchedulerProcess.objects.create(cluster_id=cluster_id[:60], host=host, pid=os.getpid(), **seen)
    _repair(now, skew)


def _repair(now: datetime, skew: timedelta) -> None:
    """Give each schedule the time that the database's clock says, where django-q2 would miss it."""
    for schedule in Schedule.objects.exclude(repeats=0).filter(next_run__isnull=False):
        if why := _unusable(schedule):
            _switch_off(schedule, why)
            continue
        expected = Cron(schedule.cron).after(now)
        if schedule.next_run > expected + TOLERATED:
            wanted = expected
        elif schedule.next_run < now - TOLERATED and skew < -TOLERATED:
            # Due for long, and this machine's clock is too far behind to see it.
            wanted = timezone.now() - timedelta(seconds=1)
        else:
            continue
        # Only the row that was read: another scheduler may just have moved it.
        if Schedule.objects.filter(pk=schedule.pk, next_run=schedule.next_run).update(next_run=wanted):
            log.warning(
                "schedule.repaired",
                extra={"task": schedule.name, "was": schedule.next_run.isoformat(), "now_at": wanted.isoformat()},
            )
    # A task taken by a clock ahead of the time would not be looked at again before it: it was due, so it is now.
    longest = now + timedelta(seconds=Conf.RETRY) + TOLERATED
    OrmQ.objects.using(Conf.ORM).filter(lock__gt=longest).update(lock=now)


def _unusable(schedule: Schedule) -> str:
    """Return why a schedule cannot be one that the admin made; empty when it is fine.

    django-q2 makes all tasks of a round in one transaction, so that one row it stumbles over stops every other.
    """
    if schedule.func not in FUNCS:
        return "names no system task"
    if schedule.args or schedule.kwargs or schedule.hook:
        return "gives arguments or a hook, which no system task takes"
    if schedule.schedule_type != Schedule.CRON:
        return "is no cron"
    try:
        Cron.read(schedule.cron or "")
    except BadCron as error:
        return str(error)
    return ""


def _switch_off(schedule: Schedule, why: str) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(repeats=0)
    fields = {"schedule": str(schedule.name)[:100], "func": schedule.func[:200], "why": why}
    log.error("schedule.switched_off", extra=fields)
