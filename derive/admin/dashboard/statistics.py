"""The dashboard's numbers, read by one thread at a time and shared by all viewers for some seconds."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from django.utils import timezone

from derive.admin.dashboard.kept_current import KeptCurrent, read_kept_current
from derive.model_status import read_notices
from derive.models import Alert, Job, Worker
from derive.models.alerts import AlertState
from derive.sql.queue_status import COUNT_CAP, QueueStatus, estimate_ready, read_queue_status
from derive.sql.statistics import Bucket, FailureGroup, HourOfModel, read_buckets, read_failures, read_hours
from derive.states import JobStatus

KEPT_SECONDS = 4.0
CAPPED_KEPT_SECONDS = 60.0
"""A state whose count is capped is unlikely to fall below the cap soon."""
HISTORY_KEPT_SECONDS = 1_800.0
"""At most an hour, so that the hour that was current is still among those read each time."""
CATCHING_UP_KEPT_SECONDS = 15.0
FAILURES_KEPT_SECONDS = 15.0
DERIVATIONS_KEPT_SECONDS = 15.0
RECENT = timedelta(hours=1)
"""Past hours that are read each time, because late events are still added to them."""
OLDEST_LOOKED_AT = 200
"""How many of the earliest-queued ready jobs are searched for the one that waited longest."""
MAX_WORKERS = 200
MAX_RUNNING = 300
MAX_ALERTS = 5

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class DashboardSnapshot:
    """Everything on the dashboard except health. ``since`` is the first hour of the history."""

    read_at: datetime
    since: datetime
    queue: QueueStatus
    ready_about: int | None
    oldest: Any
    hours: tuple[HourOfModel, ...]
    buckets: tuple[Bucket, ...]
    failures: tuple[FailureGroup, ...]
    workers: tuple[Any, ...]
    running: tuple[Any, ...]
    notices: tuple[str, ...]
    """Why jobs wait: their model is paused, or nobody has it."""
    kept_current: KeptCurrent
    alerts: tuple[Any, ...] = ()
    """The newest that fire."""


class _CachedValue(Generic[Value]):
    """A cached value with its expiry time."""

    def __init__(self) -> None:
        self._value: Value | None = None
        self._until = float("-inf")

    def is_good(self, now: float) -> bool:
        """Whether the value is still fresh."""
        return self._value is not None and now < self._until

    def get(self, now: float, kept_seconds: float, read: Callable[[], Value]) -> Value:
        """Return the cached value, reading it again if it is too old."""
        if self._value is None or now >= self._until:
            self._value = read()
            self._until = now + kept_seconds
        return self._value


class SharedStatistics:
    """Reads snapshots of the last ``days``. While one thread reads, others get the last snapshot."""

    def __init__(self, days: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._days = days
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot: DashboardSnapshot | None = None
        self._until = float("-inf")
        self._history: _CachedValue[tuple[list[HourOfModel], list[Bucket]]] = _CachedValue()
        self._failures: _CachedValue[list[FailureGroup]] = _CachedValue()
        self._kept_current: _CachedValue[KeptCurrent] = _CachedValue()
        self._capped_until: dict[JobStatus, float] = {}

    def snapshot(self) -> DashboardSnapshot:
        """Return the numbers, at most KEPT_SECONDS old unless another thread is reading. Raises QueueError."""
        known = self._snapshot
        if known is not None and self._clock() < self._until:
            return known
        if not self._lock.acquire(blocking=known is None):
            assert known is not None  # noqa: S101 (a blocking acquire never fails)
            return known
        try:
            if self._snapshot is None or self._clock() >= self._until:
                self._snapshot = self._read()
                self._until = self._clock() + KEPT_SECONDS
            return self._snapshot
        finally:
            self._lock.release()

    def _read(self) -> DashboardSnapshot:
        now = timezone.now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        # Twice the span, because trends compare it with the span before. For a week that would be too much to read.
        since = hour - timedelta(hours=24 * self._days - 1)
        queue = self._queue_status(now)
        hours, buckets = self._hours(since if self._days > 1 else since - timedelta(days=1), hour, queue)
        is_capped = queue.jobs[JobStatus.NEW] > COUNT_CAP
        return DashboardSnapshot(
            read_at=now,
            since=since,
            queue=queue,
            ready_about=estimate_ready() if is_capped else None,
            oldest=_oldest_ready() if queue.jobs[JobStatus.NEW] else None,
            hours=hours,
            buckets=buckets,
            failures=tuple(self._failures.get(self._clock(), FAILURES_KEPT_SECONDS, lambda: read_failures(since))),
            workers=tuple(Worker.objects.order_by("-last_seen_utc", "worker_id")[:MAX_WORKERS]),
            running=_running() if queue.jobs[JobStatus.RUNNING] else (),
            notices=tuple(read_notices(now)) if queue.jobs[JobStatus.NEW] else (),
            alerts=tuple(Alert.objects.filter(state=AlertState.FIRING).order_by("-id")[:MAX_ALERTS]),
            kept_current=self._kept_current.get(self._clock(), DERIVATIONS_KEPT_SECONDS, read_kept_current),
        )

    def _queue_status(self, now: datetime) -> QueueStatus:
        """Count the jobs of each state, except states recently known to be capped."""
        clock = self._clock()
        asked = [state for state in JobStatus if self._capped_until.get(state, clock) <= clock]
        queue = read_queue_status(asked, now=now)
        for state in asked:
            if queue.jobs[state] > COUNT_CAP:
                self._capped_until[state] = clock + CAPPED_KEPT_SECONDS
            else:
                self._capped_until.pop(state, None)
        jobs = {state: queue.jobs.get(state, COUNT_CAP + 1) for state in JobStatus}
        return QueueStatus(jobs, queue.ended_per_second, queue.counted_through_utc)

    def _hours(
        self, since: datetime, hour: datetime, queue: QueueStatus
    ) -> tuple[tuple[HourOfModel, ...], tuple[Bucket, ...]]:
        """Return the history, reading only its last hours again: earlier ones hardly change."""
        recent = hour - RECENT
        through = queue.counted_through_utc
        is_catching_up = through is None or through < recent
        kept = CATCHING_UP_KEPT_SECONDS if is_catching_up else HISTORY_KEPT_SECONDS
        clock = self._clock()
        is_known = self._history.is_good(clock)
        hours, buckets = self._history.get(clock, kept, lambda: (read_hours(since), read_buckets(since)))
        if not is_known:
            return tuple(hours), tuple(buckets)
        return (
            (*(one for one in hours if since <= one.hour_utc < recent), *read_hours(recent)),
            (*(one for one in buckets if since <= one.hour_utc < recent), *read_buckets(recent)),
        )


def _oldest_ready() -> Any:
    """Return the job that has been ready longest, among those queued first."""
    # Select job numbers first, which ix_job_status serves alone. Asked for whole rows, PostgreSQL scans the table from
    # the start when the ready jobs are the newest (1.3 s instead of a few milliseconds with a million jobs).
    ready = Job.objects.filter(status=JobStatus.NEW).order_by("job_seq").values("job_seq")[:OLDEST_LOOKED_AT]
    first = Job.objects.filter(job_seq__in=ready).order_by("available_utc", "job_seq")
    return first.only("job_id", "available_utc", "entity_id", "interrogation_key").first()


def _running() -> tuple[Any, ...]:
    running = Job.objects.filter(status=JobStatus.RUNNING).order_by("-job_seq")
    # Plain rows instead of models: each reading has hundreds, of which few are shown.
    return tuple(running.values_list("job_id", "locked_by", "locked_utc", "entity_id", named=True)[:MAX_RUNNING])


def by_hour(buckets: tuple[Bucket, ...], measure: str) -> dict[datetime, dict[int, int]]:
    """Group one measure's buckets into a histogram per hour."""
    found: dict[datetime, dict[int, int]] = defaultdict(dict)
    for bucket in buckets:
        if bucket.measure == measure:
            found[bucket.hour_utc][bucket.up_to_ms] = bucket.amount
    return found
