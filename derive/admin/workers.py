"""Workers, as their heartbeats tell of them."""

from datetime import timedelta

from django.contrib import admin
from django.utils import timezone

from derive.admin.columns import column
from derive.admin.reading import ReadingAdmin
from derive.models import Worker

STALE_AFTER = timedelta(seconds=120)
"""A default lease without a heartbeat: whatever the worker held is taken from it by then."""


@admin.register(Worker)
class WorkerAdmin(ReadingAdmin):
    """The workers, last seen first."""

    ordering = ("-last_seen_utc", "worker_id")
    list_display = ("worker_id", "state", "active_runs", "concurrency", "host", "pid", "version", "last_seen_utc")

    @column("state", label={"alive": "success", "stopping": "warning", "gone": "danger"})
    def state(self, row: Worker) -> str:
        """Return whether it lives."""
        return state_of(row)


def state_of(worker: Worker) -> str:
    """Return ``alive``, ``stopping`` or ``gone``: not heard of for ``STALE_AFTER``."""
    if timezone.now() - worker.last_seen_utc > STALE_AFTER:
        return "gone"
    return "stopping" if worker.stopping else "alive"
