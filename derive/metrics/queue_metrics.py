"""The queue's metrics, from a snapshot some seconds old that reports its age.

Gauges describe the time of the snapshot. Counters and histograms are totals since the queue began: every web process
returns the same, and none decreases between scrapes at least ``KEPT_SECONDS`` apart.
"""

import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from derive.metrics import families
from derive.metrics.snapshot import Snapshot, SnapshotReader

KEPT_SECONDS = 5.0
"""How long a snapshot is reused: SQL is read at most this often."""


class QueueMetrics(Collector):
    """Reads a snapshot if the last one is too old; while one thread reads, others use the old one."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reader = SnapshotReader()
        self._snapshot: Snapshot | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return Prometheus's text format. Raises QueueError if the database cannot be read."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the snapshot's metrics."""
        snapshot = self._fresh()
        age_seconds = max(0.0, self._clock() - snapshot.read_at)
        yield from families.moment(snapshot, age_seconds=age_seconds)
        yield from families.depths(snapshot)
        yield from families.totals(snapshot)
        yield from families.times(snapshot)
        yield from families.models(snapshot)

    def _fresh(self) -> Snapshot:
        known = self._snapshot
        if known is not None and self._clock() - known.read_at < KEPT_SECONDS:
            return known
        # Wait only if there is no snapshot yet; otherwise show the old one.
        if not self._lock.acquire(blocking=known is None):
            assert known is not None  # noqa: S101 (a blocking acquire never fails)
            return known
        try:
            if self._snapshot is not known and self._snapshot is not None:
                return self._snapshot
            self._snapshot = self._reader.read(self._clock())
            return self._snapshot
        finally:
            self._lock.release()
