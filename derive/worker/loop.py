"""The worker's loop: claims as many jobs as its slots allow, and stops gracefully.

Three threads use the database: the queue's, for the loop's calls, the lease keeper's, and one that sweeps batches; now
and then a fourth rolls up statistics. Each is replaced when a call hangs.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from derive.errors import QueueError
from derive.model_servers.endpoints import EndpointSettings
from derive.queue.worker import WorkerQueue
from derive.states import JobStatus
from derive.worker import spans
from derive.worker.attempt import Tools
from derive.worker.batch_sweep import BatchSweep
from derive.worker.circuit_breaker import pause
from derive.worker.claim_gate import ClaimGate
from derive.worker.claiming import Claiming
from derive.worker.endpoint import WorkerEndpoint
from derive.worker.hourly_rollup import HourlyRollup
from derive.worker.lease import LeaseKeeper, StopReason
from derive.worker.metrics import WorkerMetrics
from derive.worker.options import WorkerOptions
from derive.worker.parent import ParentLink
from derive.worker.refusals import Refusals
from derive.worker.runs import Runs
from derive.worker.signals import handling_signals
from derive.worker.slots import Stage
from derive.worker.worker_id import WorkerIdLock, lock_worker_id, register_start

log = logging.getLogger(__name__)

FIRST_POLL_SECONDS = 0.02
SHUTDOWN_SECONDS = 3.0
"""Time beyond the grace time to complete runs with an answer and release the others."""


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """What a worker did. ``refusal``: why nothing could be claimed at the end, if so."""

    runs: int
    last_status: JobStatus | None
    refusal: str | None


class WorkerLoop:
    """Processes jobs until stopped; one instance per process."""

    def __init__(
        self, options: WorkerOptions, endpoints: Sequence[tuple[EndpointSettings, Tools]], *, queue_thread: Executor
    ) -> None:
        self._options = options
        self._queue = WorkerQueue()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        _, any_tools = endpoints[0]
        self._lake_probe = any_tools.probe_lake
        self._lake_lock = asyncio.Lock()
        self._endpoints = [
            WorkerEndpoint(settings, tools, probe_lake=self._probe_lake, is_only=len(endpoints) == 1)
            for settings, tools in endpoints
        ]
        self._refusals = Refusals(any_tools.sources.interrogations, queue=self._queue)
        self._counter = HourlyRollup(options.worker_id)
        self._sweep = BatchSweep(options.worker_id)
        self._metrics = WorkerMetrics(*(endpoint.slots for endpoint in self._endpoints))
        self._keeper = LeaseKeeper(
            options,
            stop_run=self._on_stop_run,
            give_up=self._on_id_conflict,
            on_reaped=self._metrics.reaped,
            on_change=self._on_change,
            why_not_claiming=lambda: self._gate.why_waiting,
            endpoints=lambda: tuple(endpoint.facts() for endpoint in self._endpoints),
        )
        self._metrics.watch_database(lambda: self._keeper.has_database)
        self._runs = Runs(
            self._endpoints,
            worker_id=options.worker_id,
            queue=self._queue,
            queue_thread=queue_thread,
            refusals=self._refusals,
            keeper=self._keeper,
            metrics=self._metrics,
        )
        self._gate = ClaimGate(self._endpoints, keeper=self._keeper, runs=self._runs)
        self._metrics.watch_circuit_breaker(lambda: self._gate.is_open)
        self._metrics.watch_outcomes(lambda: self._runs.outcomes_waiting)
        self._parent = ParentLink(options.parent_descriptor)
        self._claiming = Claiming(
            options,
            queue=self._queue,
            in_queue_thread=self._runs.in_queue_thread,
            refusals=self._refusals,
            keeper=self._keeper,
            metrics=self._metrics,
            stopping=self._stopping,
        )
        self._enough = asyncio.Event()
        """Set when nothing more is to be claimed."""
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
            self._sweep.start()
            looking = [asyncio.create_task(one.keep_looking(self._stopping)) for one in self._endpoints]
            try:
                await self._claim_until_stopped()
                await self._drain()
            finally:
                for task in looking:
                    task.cancel()
                # Also after a bug: released jobs need not wait for their lease to expire.
                await self._end_runs()
                self._counter.end()
                self._sweep.end()
                self._keeper.end()
                await asyncio.to_thread(self._keeper.join, SHUTDOWN_SECONDS)
                await asyncio.to_thread(self._counter.join, SHUTDOWN_SECONDS)
                await asyncio.to_thread(self._sweep.join, SHUTDOWN_SECONDS)
                log.info("worker.stopped", extra=self._keys(runs=self._claiming.jobs))
        if self._id_conflict is not None:
            raise self._id_conflict
        return WorkerReport(
            runs=self._claiming.jobs,
            last_status=self._runs.last_status,
            refusal=self._gate.refusal,
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
            self._loop.call_later(SHUTDOWN_SECONDS, self._claiming.give_up)
        self._stopping.set()
        self._enough.set()
        self._nudge_all()
        self._keeper.announce_stop()

    def _nudge_all(self) -> None:
        for endpoint in self._endpoints:
            endpoint.slots.nudge()

    async def _claim_until_stopped(self) -> None:
        """Claim for every endpoint, until stopped or until enough is claimed."""
        claiming = [asyncio.create_task(self._claim_for(endpoint)) for endpoint in self._endpoints]
        try:
            await asyncio.gather(*claiming)
        finally:
            for task in claiming:
                task.cancel()

    async def _claim_for(self, endpoint: WorkerEndpoint) -> None:
        poll_seconds = FIRST_POLL_SECONDS
        await endpoint.circuit_breaker.check_all(self._enough)
        await endpoint.look_first()
        while not self._is_enough():
            refusal = self._gate.why_not(endpoint)
            self._keeper.report_claiming()
            if refusal is not None:
                if self._options.once and (self._keeper.has_beaten or not endpoint.circuit_breaker.is_open):
                    endpoint.refusal = refusal
                    return
                await self._wait_to_claim(endpoint)
                continue
            room = endpoint.slots.room()
            if room == 0:
                await endpoint.slots.wait_for_change()
                continue
            begun_ns = time.time_ns()
            claims = await self._claiming.claim(endpoint, room)
            link = spans.trace_claim(claims, begun_ns=begun_ns)
            for claim in claims:
                self._runs.start(claim, endpoint, claim_link=link)
            if claims:
                poll_seconds = FIRST_POLL_SECONDS
            elif self._options.once:
                return
            else:
                await pause(poll_seconds * self._rng.uniform(0.7, 1.3), unless=self._enough)
                poll_seconds = min(poll_seconds * 2, self._options.poll_seconds)

    def _is_enough(self) -> bool:
        """Whether nothing more is to be claimed: stopping, or the budget is spent and no claim may give of it back."""
        if not self._enough.is_set() and self._claiming.is_budget_spent:
            self._enough.set()
            self._nudge_all()
        return self._enough.is_set()

    async def _wait_to_claim(self, endpoint: WorkerEndpoint) -> None:
        if endpoint.circuit_breaker.is_open:
            await endpoint.slots.wait_for_change()
        else:
            await endpoint.circuit_breaker.wait_and_probe(self._enough)

    async def _probe_lake(self) -> None:
        """Probe the lake that all endpoints share, one at a time: the first settles which lake it is."""
        async with self._lake_lock:
            await self._lake_probe()

    async def _drain(self) -> None:
        """Wait for runs to end: all of them, or after a stop only those that finish within the grace time."""
        await _first_of(self._runs.wait_until_done(None), self._stopping.wait())
        if not len(self._runs):
            return
        self._runs.stop_all(StopReason.RELEASED, only=Stage.WAITING)
        await _first_of(self._runs.wait_until_done(self._options.grace_seconds), self._hurrying.wait())

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
            self._loop.call_soon_threadsafe(self._nudge_all)

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


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is done, and no longer for the others."""
    tasks = [asyncio.create_task(one) for one in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
