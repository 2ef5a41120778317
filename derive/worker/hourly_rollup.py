"""Rolls up events into hours on its own thread; runs never block on it."""

import logging
import threading
from random import Random

from django.db import connections

from derive.contracts import RolledUp
from derive.errors import QueueError, places_of
from derive.queue.worker import WorkerQueue
from derive.worker.call_thread import CallThread
from derive.worker.lease import LEASE_CONNECTION

log = logging.getLogger(__name__)

ROLL_UP_SECONDS = 15.0
"""Time between two roll-ups: completed hours are final this soon, and the current hour is this fresh."""
BEHIND_SECONDS = 1.0
CALL_SECONDS = 30.0
MAX_EVENTS = 20_000
"""Events per step: some tenths of a second, far below the connection's short time-out."""


class HourlyRollup(threading.Thread):
    """Rolls up repeatedly until stopped; errors are logged and do not affect runs."""

    def __init__(self, worker_id: str, *, every_seconds: float = ROLL_UP_SECONDS) -> None:
        super().__init__(name="hour-counter", daemon=True)
        self._worker_id = worker_id
        self._every_seconds = every_seconds
        self._ending = threading.Event()
        self._calls = CallThread("hour-counter-calls", seconds=CALL_SECONDS)
        self._rng = Random()  # noqa: S311 - spreads calls, guards nothing

    def end(self) -> None:
        """Start no more roll-ups."""
        self._ending.set()

    def run(self) -> None:
        """Roll up until stopped."""
        pause_seconds = self._every_seconds
        while not self._ending.wait(pause_seconds * self._rng.uniform(0.7, 1.3)):
            is_behind = self._step()
            pause_seconds = min(BEHIND_SECONDS, self._every_seconds) if is_behind else self._every_seconds
        self._calls.shutdown()

    def _step(self) -> bool:
        """Take one step; return whether another is due."""
        try:
            answer = self._calls.call(_roll_up)
        except QueueError as error:
            log.warning("worker.roll_up_failed", extra={"worker_id": self._worker_id, "error": str(error)})
            return False
        except Exception as error:  # noqa: BLE001 (said below)
            # A thread's boundary, as the lease keeper's: the next roll-up counts what this one did not.
            log.error("worker.roll_up_failed", extra={"worker_id": self._worker_id, "error": places_of(error)})
            return False
        return answer is not None and answer.events > 0 and not answer.is_caught_up


def _roll_up() -> RolledUp | None:
    try:
        return WorkerQueue(LEASE_CONNECTION).roll_up_hours(max_events=MAX_EVENTS, max_steps=1)
    finally:
        # The next one is seconds away: do not keep a connection open for it.
        connections[LEASE_CONNECTION].close()
