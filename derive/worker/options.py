"""How one worker is to run."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HEARTBEAT_SECONDS = 5.0
"""The longest time between heartbeats: a cancellation is noticed within it, however long the lease."""


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """One worker's parameters; times in seconds.

    ``model`` asks that model instead of the configured one and leaves jobs that want another alone.
    ``model_affinity`` stays with the model that is served, for ``model_quantum_seconds`` while others wait (None: by
    how long models take to load); without it jobs come in strict order, whatever their models.
    ``id_locks_folder`` proves that an earlier worker of this id is gone; None for an id that is never used again.
    ``max_jobs`` ends the worker after so many runs; ``once`` after one, which then decides the exit code.
    ``parent_descriptor`` is the socket to the process that started this one as one of several, ``budget_descriptor``
    the file with the number of jobs that they may claim together.
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
        """A third of the lease, so that two heartbeats may fail before it runs out."""
        return min(self.lease_seconds / 3, HEARTBEAT_SECONDS)


def started_now() -> datetime:
    """Return the time that distinguishes this start of a worker from an earlier one with the same id."""
    return datetime.now(UTC)
