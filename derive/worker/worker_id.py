"""Starting under an earlier worker's id: at once if that worker is proven dead, otherwise when its lease expires.

The proof is a file on this machine, named after the id and locked by its process: the system releases the lock however
the process ends. A process that gets the lock, and finds in the file the start time recorded in the database, is the
successor.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from derive.contracts import Lease, WorkerFacts
from derive.errors import QueueError, WorkerIdInUse
from derive.models import Worker
from derive.queue.worker import WorkerQueue
from derive.sql.reading import reading
from derive.states import LeaseState
from derive.worker.circuit_breaker import pause
from derive.worker.options import WorkerOptions

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Time between two attempts to start under an id whose last holder may be dead."""
MARGIN_SECONDS = 5.0

InQueueThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class WorkerIdLock:
    """The lock of a worker id on this machine, held while the file is locked."""

    def __init__(self, file: BinaryIO | None, *, is_taken: bool) -> None:
        self._file = file
        self.is_taken = is_taken
        """Whether another live process on this machine holds it."""

    def predecessor(self) -> datetime | None:
        """Return when the last, dead holder started; None if unknown."""
        if self._file is None:
            return None
        self._file.seek(0)
        with suppress(ValueError):
            return datetime.fromisoformat(self._file.read(100).decode("ascii", "replace"))
        return None

    def hold(self, started_utc: datetime) -> None:
        """Record this start for a successor."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(started_utc.isoformat().encode())
            self._file.flush()


@contextmanager
def lock_worker_id(worker_id: str, folder: Path | None) -> Iterator[WorkerIdLock]:
    """Hold the lock of a worker id during the block; without a writable folder nothing is proven."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        folder = None
    if folder is None:
        yield WorkerIdLock(None, is_taken=False)
        return
    name = hashlib.sha256(worker_id.encode()).hexdigest()[:32]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / name).open("a+b")
    except OSError as error:
        log.warning("worker.id_not_locked", extra={"worker_id": worker_id, "error": str(error)})
        yield WorkerIdLock(None, is_taken=False)
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield WorkerIdLock(None, is_taken=True)
        else:
            yield WorkerIdLock(file, is_taken=False)


async def register_start(
    options: WorkerOptions,
    facts: WorkerFacts,
    id_lock: WorkerIdLock,
    *,
    queue: WorkerQueue,
    in_queue_thread: InQueueThread,
    stopping: asyncio.Event,
) -> frozenset[UUID]:
    """Register this start; return the runs of a killed predecessor, whose leases must expire.

    They are not released like strays: a release is not counted as an attempt, so a job that kills its worker would do
    so forever. Waits for the lease of a silent holder. Raises WorkerIdInUse if one is alive.
    """

    def beat(facts: WorkerFacts) -> list[Lease]:
        return queue.heartbeat(options.worker_id, [], lease_seconds=options.lease_seconds, facts=facts)

    predecessor = id_lock.predecessor()
    begun, seen = time.monotonic(), None
    left: frozenset[UUID] = frozenset()
    while True:
        try:
            await in_queue_thread(lambda: beat(facts))
            id_lock.hold(options.started_utc)
            return left
        except WorkerIdInUse:
            if id_lock.is_taken:
                raise
            if predecessor is not None:
                gone = facts.model_copy(update={"started_utc": predecessor, "stopping": True})
                predecessor = None
                with suppress(WorkerIdInUse):
                    leases: list[Lease] = await in_queue_thread(lambda: beat(gone))  # noqa: B023 (awaited here)
                    left = frozenset(lease.run_id for lease in leases if lease.state is LeaseState.STRAY)
                    log.warning("worker.took_over", extra={"worker_id": options.worker_id, "runs_left": len(left)})
                    continue
            last_seen = await in_queue_thread(lambda: _last_seen(options.worker_id))
            lives = seen is not None and last_seen is not None and last_seen > seen
            if lives or time.monotonic() - begun > options.lease_seconds + MARGIN_SECONDS:
                raise
            if seen is None:
                seen = last_seen
            if time.monotonic() - begun < RETRY_SECONDS:
                log.warning(
                    "worker.id_in_use", extra={"worker_id": options.worker_id, "waits_seconds": options.lease_seconds}
                )
            if await pause(RETRY_SECONDS, unless=stopping):
                raise


def _last_seen(worker_id: str) -> datetime | None:
    """Return the holder's last heartbeat; None if this login may not read it."""
    try:
        seen = reading(
            lambda: Worker.objects.filter(worker_id=worker_id).values_list("last_seen_utc", flat=True).first()
        )
    except QueueError:
        return None
    return seen if isinstance(seen, datetime) else None
