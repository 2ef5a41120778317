"""Keeps the leases of a worker's runs, and stops runs whose lease was lost.

It has its own thread and connection, so neither a busy event loop nor a slow lake can delay it. Its calls run on a
second thread, which is abandoned with its connection when one hangs. In this order it renews leases, stops cancelled
and lost runs, releases strays and reaps for all workers.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum
from random import Random
from uuid import UUID

from derive.contracts import EndpointFacts, Lease, WorkerFacts
from derive.errors import QueueError, WorkerIdInUse, places_of
from derive.queue.worker import WorkerQueue
from derive.states import LeaseState
from derive.worker.call_thread import CallThread
from derive.worker.options import WorkerOptions

log = logging.getLogger(__name__)

REAP_SECONDS = 1.5
"""Time between two reaps; with jitter below the two seconds that recovery relies on."""
RECONNECT_SECONDS = 0.5
LEASE_CONNECTION = "lease"
"""The second connection to the same database, with short time-outs: a late heartbeat is as bad as none."""
MAX_CALL_SECONDS = 10.0
"""Limit of the whole call: a connection and a heartbeat, each within the settings' limits."""
MIN_CALL_SECONDS = 2.0
STRAY_REASON = "the response to its claim was lost"


def call_seconds(lease_seconds: int) -> float:
    """Return a call's time limit: a third of the lease, so the next one can still renew it."""
    return min(MAX_CALL_SECONDS, max(MIN_CALL_SECONDS, lease_seconds / 3))


class StopReason(StrEnum):
    """Why a run is stopped by the worker."""

    CANCELLED = "cancelled"
    LOST = "lost"
    RELEASED = "released"


class LeaseKeeper(threading.Thread):
    """Renews leases until stopped.

    ``stop_run(run_id, reason)``, ``give_up(error)``, ``on_reaped(runs)`` and ``on_change()``, which reports that
    ``why_away`` changed, are called on this thread and must return at once; so are
    ``why_not_claiming()`` and ``endpoints()``.
    """

    def __init__(
        self,
        options: WorkerOptions,
        *,
        stop_run: Callable[[UUID, StopReason], None],
        give_up: Callable[[QueueError], None],
        on_reaped: Callable[[int], None] = lambda _: None,
        on_change: Callable[[], None] = lambda: None,
        why_not_claiming: Callable[[], str | None] = lambda: None,
        endpoints: Callable[[], tuple[EndpointFacts, ...] | None] = lambda: None,
    ) -> None:
        super().__init__(name="lease-keeper", daemon=True)
        self._options = options
        self._stop_run = stop_run
        self._give_up = give_up
        self._on_reaped = on_reaped
        self._on_change = on_change
        self._why_not_claiming = why_not_claiming
        self._endpoints = endpoints
        self._queue = WorkerQueue(LEASE_CONNECTION)
        self._calls = CallThread("lease-calls", seconds=call_seconds(options.lease_seconds))
        self._lock = threading.Lock()
        self._held: set[UUID] = set()
        self._left: frozenset[UUID] = frozenset()
        self._claims_begun = 0
        self._claims_ended = 0
        self._stopping = False
        self._wake = threading.Event()
        self._ending = False
        self._next_reap = 0.0
        self.has_beaten = False
        """Whether the first heartbeat is over, successful or not."""
        self._told: str | None = None
        """Why nothing is claimed, as of the last heartbeat."""
        self.why_away: str | None = None
        """Why the last heartbeat or reap did not reach the database; None if it did."""
        self._rng = Random()  # noqa: S311 - spreads calls, guards nothing

    # Called from the event loop.

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Mark a claim as in progress: its runs are unknown here, and not strays, until its answer arrives."""
        with self._lock:
            self._claims_begun += 1
        try:
            yield
        finally:
            with self._lock:
                self._claims_ended += 1

    def leave(self, run_ids: Collection[UUID]) -> None:
        """Never release these runs: they belong to a killed predecessor, and their leases must expire."""
        self._left = frozenset(run_ids)

    def hold(self, run_ids: list[UUID]) -> None:
        """Renew these runs' leases from now on; to be called before ``claiming`` ends."""
        with self._lock:
            self._held.update(run_ids)

    @property
    def has_database(self) -> bool:
        """Whether the last heartbeat or reap reached the database. If not, nothing may be claimed."""
        return self.why_away is None

    def let_go(self, run_id: UUID) -> None:
        """Stop renewing this run's lease."""
        with self._lock:
            self._held.discard(run_id)

    def report_claiming(self) -> None:
        """Send a heartbeat at once if ``why_not_claiming`` has changed."""
        if self.has_database and self._not_claiming_why() != self._told:
            self._wake.set()

    def announce_stop(self) -> None:
        """Announce that this worker is stopping."""
        self._stopping = True
        self._wake.set()

    def end(self) -> None:
        """End the thread after a final heartbeat; join it to wait for that."""
        self._ending = True
        self._stopping = True
        self._wake.set()

    # On the keeper's thread.

    def run(self) -> None:
        """Send heartbeats and reap until ended."""
        next_beat = 0.0
        is_woken = False
        while not self._ending:
            if is_woken or time.monotonic() >= next_beat:
                answered = self._beat()
                next_beat = time.monotonic() + (self._options.heartbeat_seconds if answered else RECONNECT_SECONDS)
            if self.has_database and time.monotonic() >= self._next_reap:
                self._reap()
            next_step = min(next_beat, self._next_reap) if self.has_database else next_beat
            is_woken = self._wake.wait(max(0.0, next_step - time.monotonic()))
            # Before ``_ending`` is checked again: the waker sets it first.
            self._wake.clear()
        self._beat()
        self._calls.shutdown()

    def _beat(self) -> bool:
        """Renew all held leases; return whether the database answered."""
        with self._lock:
            held = set(self._held)
            begun_before, quiet_before = self._claims_begun, self._claims_begun == self._claims_ended
        try:
            leases = self._calls.call(
                lambda: self._queue.heartbeat(
                    self._options.worker_id, sorted(held), lease_seconds=self._options.lease_seconds, facts=self.facts()
                )
            )
        except WorkerIdInUse as error:
            self._give_up(error)
            return True
        except QueueError as error:
            self._went_away(str(error))
            return False
        except Exception as error:  # noqa: BLE001 (said below)
            # A thread's boundary: a lease keeper that dies silently would cost every run its lease.
            self._went_away(places_of(error))
            return False
        self._came_back()
        with self._lock:
            claims_were_quiet = quiet_before and begun_before == self._claims_begun
        for lease in leases:
            self._act_on(lease, claims_were_quiet=claims_were_quiet)
        return True

    def _act_on(self, lease: Lease, *, claims_were_quiet: bool) -> None:
        if lease.state is LeaseState.CANCEL_REQUESTED:
            self._stop_run(lease.run_id, StopReason.CANCELLED)
        elif lease.state is LeaseState.LOST:
            self._stop_run(lease.run_id, StopReason.LOST)
        elif lease.state is LeaseState.STRAY and claims_were_quiet and lease.run_id not in self._left:
            log.warning("run.stray", extra=self._keys(run_id=lease.run_id))
            try:
                self._calls.call(lambda: self._queue.release(lease.run_id, reason=STRAY_REASON))
            except QueueError as error:
                # The next heartbeat finds it again.
                log.warning("run.stray_kept", extra=self._keys(run_id=lease.run_id, error=str(error)))

    def _reap(self) -> None:
        self._next_reap = time.monotonic() + REAP_SECONDS * self._rng.uniform(0.8, 1.2)
        try:
            all_reaped = self._calls.call(lambda: self._queue.reap(actor=self._options.worker_id))
            self._on_reaped(len(all_reaped))
            for reaped in all_reaped:
                log.warning(
                    "run.lease_expired",
                    extra={"job_id": reaped.job_id, "run_id": reaped.run_id, "final_status": reaped.final_status.value},
                )
        except QueueError as error:
            self._went_away(str(error))
            self._wake.set()
        except Exception as error:  # noqa: BLE001 (said below)
            # As in _beat: the thread survives its errors.
            log.error("worker.reap_failed", extra=self._keys(error=places_of(error)))

    def _went_away(self, why: str) -> None:
        if self.why_away is None:
            log.warning("worker.database_away", extra=self._keys(error=why))
        self.why_away = why
        self._report_change()

    def _came_back(self) -> None:
        if self.why_away is not None:
            # The other workers were cut off as well: give them one heartbeat's time.
            self._next_reap = time.monotonic() + self._options.heartbeat_seconds
            log.info("worker.database_back", extra=self._keys())
            self.why_away = None
            self._report_change()
        elif not self.has_beaten:
            self._report_change()

    def _report_change(self) -> None:
        self.has_beaten = True
        self._on_change()

    def _keys(self, **keys: object) -> dict[str, object]:
        return {"worker_id": self._options.worker_id, **keys}

    def _not_claiming_why(self) -> str | None:
        """Return the reason without characters that a database may refuse, since it may quote a server."""
        why = self._why_not_claiming()
        return why and "".join(char if char.isprintable() else " " for char in why)

    def facts(self) -> WorkerFacts:
        """Return what the worker reports about itself."""
        options = self._options
        self._told = self._not_claiming_why()
        return WorkerFacts(
            host=options.host,
            pid=options.pid,
            version=options.version,
            started_utc=options.started_utc,
            concurrency=options.concurrency,
            stopping=self._stopping,
            not_claiming_why=self._told,
            endpoints=self._endpoints(),
        )
