"""The queue's numbers for Prometheus, out of a snapshot that is some seconds old and tells its age."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from derive.sql.depths import (
    DEPTH_CAP,
    RUNS_CAP,
    Depth,
    RunsEnded,
    read_depths,
    read_runs_ended,
    read_workers_alive,
)
from derive.states import JobStatus

KEPT_SECONDS = 10.0
"""How long a snapshot is shown: however often it is asked, SQL is read so often."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All numbers of one moment; ``read_at`` is the clock's, in seconds."""

    read_at: float
    depths: tuple[Depth, ...]
    runs: tuple[RunsEnded, ...]
    workers_alive: int


class QueueNumbers(Collector):
    """Reads a snapshot when the last one is too old; while one thread reads, others show the old one."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return Prometheus's text format. Raises QueueError when the database cannot be read."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Describe nothing beforehand: registering must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the snapshot's metrics."""
        snapshot = self._fresh()
        yield GaugeMetricFamily(
            "holocron_snapshot_age_seconds",
            "Age of the numbers read from the database.",
            value=max(0.0, self._clock() - snapshot.read_at),
        )
        yield GaugeMetricFamily(
            "holocron_workers_alive", "Workers whose heartbeat is recent.", value=snapshot.workers_alive
        )
        yield from _depths(snapshot)
        yield from _runs(snapshot)

    def _fresh(self) -> Snapshot:
        known = self._snapshot
        if known is not None and self._clock() - known.read_at < KEPT_SECONDS:
            return known
        # Whoever has nothing to show waits; whoever has something shows it, old as it is.
        if not self._lock.acquire(blocking=known is None):
            assert known is not None  # noqa: S101 (a blocking acquire never fails)
            return known
        try:
            if self._snapshot is not known and self._snapshot is not None:
                return self._snapshot
            self._snapshot = _read(self._clock())
            return self._snapshot
        finally:
            self._lock.release()


def _read(now: float) -> Snapshot:
    return Snapshot(
        read_at=now,
        depths=tuple(depth for status in JobStatus for depth in read_depths(status)),
        runs=tuple(read_runs_ended()),
        workers_alive=read_workers_alive(),
    )


def _depths(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ["status", "interrogation"]
    jobs = GaugeMetricFamily(
        "holocron_jobs", f"Jobs by state; of one state the {DEPTH_CAP} earliest queued are counted.", labels=labels
    )
    oldest = GaugeMetricFamily(
        "holocron_oldest_job_seconds", "Seconds since the oldest counted job was queued.", labels=labels
    )
    for depth in snapshot.depths:
        jobs.add_metric([depth.status.value, depth.interrogation_key], depth.jobs)
        oldest.add_metric([depth.status.value, depth.interrogation_key], depth.oldest_seconds)
    capped = GaugeMetricFamily(
        "holocron_jobs_capped", f"1 where a state has {DEPTH_CAP} jobs or more, and more may be.", labels=["status"]
    )
    for status in JobStatus:
        counted = sum(depth.jobs for depth in snapshot.depths if depth.status is status)
        capped.add_metric([status.value], float(counted >= DEPTH_CAP))
    yield from (jobs, oldest, capped)


def _runs(snapshot: Snapshot) -> Iterator[Metric]:
    ended = GaugeMetricFamily(
        "holocron_runs_last_hour",
        f"Runs that ended in the last hour, the latest {RUNS_CAP} at most; error_kind is empty where there is none.",
        labels=["status", "error_kind"],
    )
    for group in snapshot.runs:
        ended.add_metric([group.status, group.error_kind], group.runs)
    yield ended
