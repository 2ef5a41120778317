"""The worker's loop: claims as many jobs as its slots allow, and stops gracefully.

Two threads use the database: the queue's, for the loop's calls, and the lease keeper's; now and then a third rolls up
statistics. Each is replaced when a call hangs.
"""

import asyncio
import logging
import time
from concurrent.futures import Executor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from random import Random
from uuid import UUID

from derive.contracts import Claim, ModelServer
from derive.errors import ErrorKind, QueueError
from derive.queue.worker import WorkerQueue
from derive.states import JobStatus
from derive.worker import spans
from derive.worker.attempt import Tools
from derive.worker.budget import budget_of
from derive.worker.circuit_breaker import CircuitBreaker, pause
from derive.worker.hourly_rollup import HourlyRollup
from derive.worker.lease import LeaseKeeper, StopReason
from derive.worker.metrics import WorkerMetrics
from derive.worker.options import WorkerOptions
from derive.worker.parent import ParentLink
from derive.worker.refusals import Refusals
from derive.worker.runs import Runs
from derive.worker.signals import handling_signals
from derive.worker.slots import Slots, Stage
from derive.worker.worker_id import WorkerIdLock, lock_worker_id, register_start

log = logging.getLogger(__name__)

FIRST_POLL_SECONDS = 0.02
AWAY_SECONDS = 1.0
SHUTDOWN_SECONDS = 3.0
"""Time beyond the grace time to complete runs with an answer and release the others."""


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """What a worker did. ``refusal``: why nothing could be claimed at the end, if so."""

    runs: int
    last_status: JobStatus | None
    refusal: str | None


class Worker:
    """Processes jobs until stopped; one instance per process."""

    def __init__(self, options: WorkerOptions, tools: Tools, *, queue_thread: Executor) -> None:
        self._options = options
        self._queue = WorkerQueue()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._slots = Slots(options.concurrency)
        self._turns = tools.turns
        self._in_strict_order = ModelServer(default=tools.sources.ollama.model)
        self._circuit_breaker = CircuitBreaker(
            {
                ErrorKind.MODEL_UNAVAILABLE: tools.client.probe,
                ErrorKind.MODEL_OVERLOADED: tools.client.probe,
                ErrorKind.LAKE_UNAVAILABLE: tools.probe_lake,
            },
            worker_id=options.worker_id,
        )
        self._refusals = Refusals((one.definition for one in tools.sources.registry.all()), queue=self._queue)
        self._counter = HourlyRollup(options.worker_id)
        self._metrics = WorkerMetrics(self._slots)
        self._keeper = LeaseKeeper(
            options,
            stop_run=self._on_stop_run,
            give_up=self._on_id_conflict,
            on_reaped=self._metrics.reaped,
            on_change=self._on_change,
            why_not_claiming=self._why_waiting,
        )
        self._metrics.watch_circuit_breaker(lambda: self._why_not() is None)
        self._metrics.watch_database(lambda: self._keeper.has_database)
        self._runs = Runs(
            tools,
            queue=self._queue,
            queue_thread=queue_thread,
            slots=self._slots,
            circuit_breaker=self._circuit_breaker,
            refusals=self._refusals,
            keeper=self._keeper,
            metrics=self._metrics,
        )
        self._metrics.watch_outcomes(lambda: self._runs.outcomes_waiting)
        self._parent = ParentLink(options.parent_descriptor)
        self._budget = budget_of(options)
        self._claimed = 0
        self._claim_call: asyncio.Future[list[Claim]] | None = None
        self._refusal: str | None = None
        self._id_conflict: QueueError | None = None
        self._rng = Random()  # noqa: S311 - spreads polls, guards nothing

    async def run(self) -> WorkerReport:
        """Work until stopped or, with ``once`` or ``max_jobs``, until that many are done.

        Raises WorkerIdInUse if another live worker uses this id, and ConfigurationError if the metrics port is
        unavailable.
        """
        self._loop = asyncio.get_running_loop()
        id_locked = lock_worker_id(self._options.worker_id, self._options.id_locks_folder)
        parent = self._parent.kept(numbers=self._metrics.as_text, on_gone=self.stop)
        with self._signal_handlers(), self._numbers_served(), parent, id_locked as id_lock:
            # Raises if the id is in use; returns the runs that a killed worker of this id left, for the lease keeper.
            self._keeper.leave(await self._register_start(id_lock))
            self._keeper.start()
            log.info("worker.started", extra=self._keys(concurrency=self._options.concurrency))
            self._parent.report_started()
            self._counter.start()
            try:
                await self._circuit_breaker.check_all(self._stopping)
                await self._claim_until_stopped()
                await self._drain()
            finally:
                # Also after a bug: released jobs need not wait for their lease to expire.
                await self._end_runs()
                self._counter.end()
                self._keeper.end()
                await asyncio.to_thread(self._keeper.join, SHUTDOWN_SECONDS)
                await asyncio.to_thread(self._counter.join, SHUTDOWN_SECONDS)
                log.info("worker.stopped", extra=self._keys(runs=self._claimed))
        if self._id_conflict is not None:
            raise self._id_conflict
        return WorkerReport(
            runs=self._claimed,
            last_status=self._runs.last_status,
            refusal=self._refusal,
        )

    def _numbers_served(self) -> AbstractContextManager[None]:
        return self._metrics.served(self._options.metrics_port, host=self._options.metrics_host)

    async def _register_start(self, id_lock: WorkerIdLock) -> frozenset[UUID]:
        return await register_start(
            self._options,
            self._keeper.facts(),
            id_lock,
            queue=self._queue,
            in_queue_thread=self._runs.in_queue_thread,
            stopping=self._stopping,
        )

    def stop(self) -> None:
        """Stop claiming and shut down gracefully; a second call stops waiting for the model."""
        if self._stopping.is_set():
            self._hurrying.set()
        else:
            log.info("worker.stopping", extra=self._keys(active_runs=len(self._runs)))
            self._loop.call_later(SHUTDOWN_SECONDS, self._give_up_claim)
        self._stopping.set()
        self._slots.nudge()
        self._keeper.announce_stop()

    def _give_up_claim(self) -> None:
        """Stop waiting for a claim that hangs."""
        if self._claim_call is not None:
            self._claim_call.cancel()

    async def _claim_until_stopped(self) -> None:
        poll_seconds = FIRST_POLL_SECONDS
        while not self._stopping.is_set() and self._budget.left > 0:
            refusal = self._why_not()
            self._keeper.report_claiming()
            if refusal is not None:
                if self._options.once and (self._keeper.has_beaten or not self._circuit_breaker.is_open):
                    self._refusal = refusal
                    return
                await self._wait_to_claim()
                continue
            room = self._slots.room()
            if room == 0:
                await self._slots.wait_for_change()
                continue
            begun_ns = time.time_ns()
            claims = await self._claim(room)
            link = spans.trace_claim(claims, begun_ns=begun_ns)
            for claim in claims:
                self._runs.start(claim, claim_link=link)
            if claims:
                poll_seconds = FIRST_POLL_SECONDS
            elif self._options.once:
                return
            else:
                await pause(poll_seconds * self._rng.uniform(0.7, 1.3), unless=self._stopping)
                poll_seconds = min(poll_seconds * 2, self._options.poll_seconds)

    def _why_not(self) -> str | None:
        """Return why nothing may be claimed now: model, outcomes or leases; None if it may."""
        waiting = self._why_waiting()
        if waiting is not None:
            return waiting
        if not self._keeper.has_beaten:
            return "the lease keeper has not reached the database yet"
        if self._keeper.why_away is not None:
            return f"no lease could be kept: {self._keeper.why_away}"
        return None

    def _why_waiting(self) -> str | None:
        """Return what claiming waits for, other than the database. Callable from any thread."""
        if not self._circuit_breaker.is_open:
            return self._circuit_breaker.why
        return self._runs.why_outcomes_wait

    async def _wait_to_claim(self) -> None:
        if self._circuit_breaker.is_open:
            await self._slots.wait_for_change()
        else:
            await self._circuit_breaker.wait_and_probe(self._stopping)

    async def _claim(self, room: int) -> list[Claim]:
        """Claim as many jobs as the slots and the budget allow."""
        granted, claims = self._budget.take(room), []
        try:
            claims = await self._claim_some(granted) if granted else []
        finally:
            self._budget.give_back(granted - len(claims))
        return claims

    async def _claim_some(self, max_jobs: int) -> list[Claim]:
        options = self._options
        server = self._in_strict_order if self._turns is None else self._turns.server()
        try:
            with self._keeper.claiming():
                self._claim_call = asyncio.ensure_future(
                    self._runs.in_queue_thread(
                        lambda: self._queue.claim(
                            options.worker_id,
                            lease_seconds=options.lease_seconds,
                            max_jobs=max_jobs,
                            model=options.model,
                            except_interrogations=self._refusals.keys(),
                            server=server if options.model is None else None,
                        )
                    )
                )
                claims = await self._claim_call
                self._keeper.hold([claim.run_id for claim in claims])
        except asyncio.CancelledError:
            if self._claim_call is not None and self._claim_call.cancelled() and self._stopping.is_set():
                # Jobs it may still claim come back when their lease expires.
                return []
            raise
        except QueueError as error:
            # Unavailable, being migrated, or missing a permission: running jobs must not suffer from any of these.
            log.warning("worker.claim_failed", extra=self._keys(error=str(error)))
            self._refusal = str(error)
            await pause(AWAY_SECONDS * self._rng.uniform(0.3, 1), unless=self._stopping)
            return []
        self._refusal = None
        self._claimed += len(claims)
        if self._turns is not None:
            self._turns.note_claims(claims)
        self._metrics.claimed(len(claims))
        return claims

    async def _drain(self) -> None:
        """Wait for runs to end: all of them, or after a stop only those that finish within the grace time."""
        while len(self._runs) and not self._stopping.is_set():
            await self._slots.wait_for_change()
        if not len(self._runs):
            return
        self._runs.stop_all(StopReason.RELEASED, only=Stage.WAITING)
        grace = asyncio.create_task(self._runs.wait_until_done(self._options.grace_seconds))
        hurry = asyncio.create_task(self._hurrying.wait())
        await asyncio.wait({grace, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        grace.cancel()

    async def _end_runs(self) -> None:
        self._runs.stop_all(StopReason.RELEASED)
        if not await self._runs.wait_until_done(SHUTDOWN_SECONDS):
            log.warning("worker.left_runs", extra=self._keys(active_runs=len(self._runs)))

    # Called from the lease keeper's thread.

    def _on_stop_run(self, run_id: UUID, reason: StopReason) -> None:
        # The thread may outlive the loop by one heartbeat, when nothing is left to stop.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._runs.stop, run_id, reason)

    def _on_id_conflict(self, error: QueueError) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._yield_to, error)

    def _on_change(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._slots.nudge)

    def _yield_to(self, conflict: QueueError) -> None:
        """Another worker uses our id: all our leases are or will be lost."""
        if self._id_conflict is None:
            self._id_conflict = conflict
            self._runs.stop_all(StopReason.LOST)
            self.stop()

    def _signal_handlers(self) -> AbstractContextManager[None]:
        return handling_signals(self._loop, self.stop)

    def _keys(self, **keys: object) -> dict[str, object]:
        return {"worker_id": self._options.worker_id, **keys}
