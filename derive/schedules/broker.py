"""django-q2's database broker, made stricter: it runs only system tasks, and uses the database's clock.

django-q2 decides by its machine's clock what is due and when the next run is. A clock that jumps forward and back would
leave rows that are next due in years. So at each heartbeat the rows are compared with the database's clock and
corrected; a task called twice because of that finds that it ran already (``single_flight``). A row written past the
admin that the admin would refuse is switched off.
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

from derive.cron import BadCron, Cron
from derive.errors import QueueError
from derive.models.schedules import SchedulerProcess
from derive.schedules.system_tasks import FUNCS
from derive.sql.clock import database_now

log = logging.getLogger(__name__)

LEAST_SECONDS = 10.0
"""Time between two heartbeats: while stopping, django-q2 reports ten times a second."""
TOLERATED = timedelta(seconds=90)
"""How far a row may differ from the database's clock: django-q2 checks every 30 seconds for rows due each minute."""


class SystemTaskBroker(ORM):  # type: ignore[misc]  # django-q2 carries no types
    """The broker for ``Q_CLUSTER["broker_class"]``."""

    _beaten = float("-inf")

    @override
    def dequeue(self) -> list[tuple[int, Any]] | None:
        """Return the next task if it calls a system task's function; drop and log any other."""
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
        """Report that this cluster is alive; django-q2 calls this in each of its rounds."""
        if time.monotonic() - self._beaten < LEAST_SECONDS:
            return
        self._beaten = time.monotonic()
        try:
            beat(cluster_id=key.rpartition(":")[2])
        except (QueueError, DjangoDatabaseError) as error:
            log.warning("scheduler.heartbeat_failed", extra={"error": type(error).__name__})


def beat(*, cluster_id: str) -> None:
    """Write a heartbeat, and correct the schedules by the database's clock."""
    now = database_now()
    skew = timezone.now() - now
    seen = {"seen_utc": now, "skew_seconds": round(skew.total_seconds(), 3)}
    if not SchedulerProcess.objects.filter(cluster_id=cluster_id[:60]).update(**seen):
        host = socket.gethostname()[:200]
        SchedulerProcess.objects.create(cluster_id=cluster_id[:60], host=host, pid=os.getpid(), **seen)
    _repair(now, skew)


def _repair(now: datetime, skew: timedelta) -> None:
    """Set each schedule's time by the database's clock where django-q2 would miss it."""
    for schedule in Schedule.objects.exclude(repeats=0).filter(next_run__isnull=False):
        if why := _unusable(schedule):
            _switch_off(schedule, why)
            continue
        expected = Cron(schedule.cron).after(now)
        if schedule.next_run > expected + TOLERATED:
            wanted = expected
        elif schedule.next_run < now - TOLERATED and skew < -TOLERATED:
            # Overdue, but this machine's clock is too far behind to see it.
            wanted = timezone.now() - timedelta(seconds=1)
        else:
            continue
        # Only the row that was read: another scheduler may have moved it.
        if Schedule.objects.filter(pk=schedule.pk, next_run=schedule.next_run).update(next_run=wanted):
            log.warning(
                "schedule.repaired",
                extra={"task": schedule.name, "was": schedule.next_run.isoformat(), "now_at": wanted.isoformat()},
            )
    # A task taken while the clock was ahead would not be looked at until then: it was due, so it is due now.
    longest = now + timedelta(seconds=Conf.RETRY) + TOLERATED
    OrmQ.objects.using(Conf.ORM).filter(lock__gt=longest).update(lock=now)


def _unusable(schedule: Schedule) -> str:
    """Return why the admin would not have made a schedule; empty if it is valid.

    django-q2 creates all tasks of a round in one transaction, so one row that it fails on stops all others.
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
