"""The options of one worker."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HEARTBEAT_SECONDS = 5.0
"""The longest time between heartbeats: cancellations are noticed within it, however long the lease."""


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """One worker's options; times in seconds.

    ``model`` replaces the configured model, and skips jobs that name another. ``model_affinity`` stays with the current
    model, for ``model_quantum_seconds`` while others wait (None: by measured load times); without it jobs come in
    strict order, whatever their models. ``id_locks_folder`` holds the lock that proves an earlier worker of this id is
    dead; None for an id that is never reused. ``max_jobs`` ends the worker after this many runs; ``once`` after one,
    which decides the exit code. ``parent_descriptor`` is the socket to the parent of several processes,
    ``budget_descriptor`` the file with the number of jobs they may claim together.
    """

    worker_id: str
    host: str
    pid: int
    version: str
    concurrency: int = 1
    lease_seconds: int = 120
    poll_seconds: float = 1.0
    grace_seconds: float = 30.0
    max_jobs: int | None = None
    once: bool = False
    model: str | None = None
    model_affinity: bool = True
    model_quantum_seconds: float | None = None
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    started_utc: datetime
    id_locks_folder: Path | None = None
    parent_descriptor: int | None = None
    budget_descriptor: int | None = None

    @property
    def heartbeat_seconds(self) -> float:
        """A third of the lease, so that two heartbeats may fail before it expires."""
        return min(self.lease_seconds / 3, HEARTBEAT_SECONDS)


def started_now() -> datetime:
    """Return the start time that distinguishes this worker from an earlier one with the same id."""
    return datetime.now(UTC)
