"""Ends batches, makes split jobs ready to be joined and settles subjects, on a thread of its own."""

import logging
import threading
from random import Random

from django.db import connections

from derive.batch_contracts import Swept
from derive.errors import QueueError, places_of
from derive.queue.worker import WorkerQueue
from derive.worker.call_thread import CallThread
from derive.worker.lease import LEASE_CONNECTION

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.2
"""Time between two sweeps; with jitter below the two seconds within which a batch ends after its last job."""
CALL_SECONDS = 30.0


class BatchSweep(threading.Thread):
    """Sweeps repeatedly until stopped; errors are logged and do not affect runs.

    It keeps its connection: sweeps are too close together to connect for each. Of several workers one sweeps at a time,
    the others' calls return at once; while no batch is open and no job in parts, a sweep is two looks at indexes.
    """

    def __init__(self, worker_id: str, *, every_seconds: float = SWEEP_SECONDS) -> None:
        super().__init__(name="batch-sweep", daemon=True)
        self._worker_id = worker_id
        self._every_seconds = every_seconds
        self._ending = threading.Event()
        self._calls = CallThread("batch-sweep-calls", seconds=CALL_SECONDS)
        self._queue = WorkerQueue(LEASE_CONNECTION)
        self._is_failing = False
        self._rng = Random()  # noqa: S311 - spreads calls, guards nothing

    def end(self) -> None:
        """Sweep once more, then end: the last job of a batch may have been this worker's."""
        self._ending.set()

    def run(self) -> None:
        """Sweep until stopped."""
        is_ending = False
        while not is_ending:
            is_ending = self._ending.wait(self._every_seconds * self._rng.uniform(0.8, 1.2))
            self._step()
        self._calls.shutdown()

    def _step(self) -> None:
        try:
            swept = self._calls.call(self._sweep)
            for one in swept:
                self._act_on(one)
            self._is_failing = False
        except QueueError as error:
            self._tell(str(error), logging.WARNING)
        except Exception as error:  # noqa: BLE001 (said below)
            # A thread's boundary, as the lease keeper's: the next sweep does what this one did not.
            self._tell(places_of(error), logging.ERROR)

    def _act_on(self, one: Swept) -> None:
        if one.event is not None:
            log.info("batch.changed", extra={"batch_id": one.batch_id, "event": one.event.value})
            return
        while (
            not self._ending.is_set()
            and not self._calls.call(lambda: self._queue.mark_batch_jobs(one.batch_id)).is_done
        ):
            pass

    def _sweep(self) -> list[Swept]:
        try:
            self._queue.settle_subjects()
            for joined in self._queue.join_due_jobs(actor=self._worker_id):
                log.info("job.joined", extra={"job_id": joined.job_id, "final_status": joined.final_status.value})
            return self._queue.sweep_batches(actor=self._worker_id)
        finally:
            if self._ending.is_set():
                connections[LEASE_CONNECTION].close()

    def _tell(self, why: str, level: int) -> None:
        """Log the first failure of a row: while the database is away every sweep fails."""
        if not self._is_failing:
            log.log(level, "worker.sweep_failed", extra={"worker_id": self._worker_id, "error": why})
        self._is_failing = True
