"""The runs a worker has under way: each a task that works its claim off and hands the outcome in."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from random import Random
from typing import TypeVar
from uuid import UUID

from derive.contracts import Claim, Completion, Outcome
from derive.errors import DatabaseUnavailable, QueueError, places_of
from derive.queue import JobQueue
from derive.states import JobStatus, RunStatus
from derive.worker.attempt import Tools, run_attempt
from derive.worker.gate import Gate
from derive.worker.lease import LeaseKeeper, StopReason
from derive.worker.slots import Place, Slots, Stage

log = logging.getLogger(__name__)
Result = TypeVar("Result")

FIRST_AWAY_SECONDS = 0.1
LONGEST_AWAY_SECONDS = 2.0
"""Pauses between two tries of a finishing write that finds the database away."""


@dataclass(eq=False)
class _Active:
    claim: Claim
    place: Place
    stop_reason: StopReason | None = None
    task: "asyncio.Task[None] | None" = None


class Runs:
    """Starts, stops and ends runs. All of it on the event loop; SQL on the queue's own thread."""

    def __init__(
        self, tools: Tools, *, queue: JobQueue, queue_thread: Executor, slots: Slots, gate: Gate, keeper: LeaseKeeper
    ) -> None:
        self._tools = tools
        self._queue = queue
        self._queue_thread = queue_thread
        self._slots = slots
        self._gate = gate
        self._keeper = keeper
        self._active: dict[UUID, _Active] = {}
        self._rng = Random()  # noqa: S311 - spreads retries, guards nothing
        self.last_status: JobStatus | None = None

    def __len__(self) -> int:
        """Return how many runs are under way."""
        return len(self._active)

    async def in_queue_thread(self, call: Callable[[], Result]) -> Result:
        """Make a call on the thread that owns the queue's connection."""
        return await asyncio.get_running_loop().run_in_executor(self._queue_thread, call)

    def start(self, claim: Claim) -> None:
        """Begin to work a claim off."""
        log.info(
            "job.claimed",
            extra={
                "job_id": claim.job_id,
                "run_id": claim.run_id,
                "attempt": claim.attempt,
                "interrogation": claim.interrogation_key,
            },
        )
        active = _Active(claim, self._slots.enter())
        self._active[claim.run_id] = active
        active.task = asyncio.create_task(self._work(active), name=f"run {claim.run_id}")

    def stop(self, run_id: UUID, reason: StopReason) -> None:
        """Stop a run that still waits or is with the model; one that has its answer ends by it."""
        active = self._active.get(run_id)
        if active is None or active.stop_reason is not None:
            return
        active.stop_reason = reason
        if active.place.stage is not Stage.ENDING and active.task is not None:
            active.task.cancel()

    def stop_all(self, reason: StopReason, *, only: Stage | None = None) -> None:
        """Stop every run, or those in one stage."""
        for run_id, active in list(self._active.items()):
            if only is None or active.place.stage is only:
                self.stop(run_id, reason)

    async def wait_until_done(self, timeout_seconds: float | None) -> bool:
        """Wait for all runs to end; return whether they have."""
        tasks = [active.task for active in self._active.values() if active.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_seconds)
        return not self._active

    async def _work(self, active: _Active) -> None:
        claim = active.claim
        try:
            outcome = await run_attempt(
                claim,
                self._tools,
                place=active.place,
                was_cancelled=lambda: active.stop_reason is StopReason.CANCELLED,
            )
            await self._hand_in(active, outcome)
        except asyncio.CancelledError:
            active.place.begin_ending()
            if active.stop_reason is StopReason.RELEASED:
                await self._release(claim)
            else:
                log.warning("run.lost", extra={"job_id": claim.job_id, "run_id": claim.run_id})
        finally:
            self._keeper.let_go(claim.run_id)
            del self._active[claim.run_id]
            active.place.leave()

    async def _hand_in(self, active: _Active, outcome: Outcome) -> None:
        """Complete the run, however long the database is away, as long as the lease may still stand."""
        pause_seconds = FIRST_AWAY_SECONDS
        while True:
            try:
                completion = await self.in_queue_thread(lambda: self._queue.complete(outcome))
            except DatabaseUnavailable:
                if active.stop_reason is StopReason.LOST:
                    log.warning("run.discarded", extra={"job_id": outcome.job_id, "run_id": outcome.run_id})
                    return
                await asyncio.sleep(pause_seconds * self._rng.uniform(0.7, 1.3))
                pause_seconds = min(pause_seconds * 2, LONGEST_AWAY_SECONDS)
            except QueueError as error:
                # Saying it again would not help; the lease runs out and the job is tried again.
                log.error(
                    "run.not_completed",
                    extra={
                        "job_id": outcome.job_id,
                        "run_id": outcome.run_id,
                        "error": str(error),
                        "at": places_of(error),
                    },
                )
                return
            else:
                self._note(outcome, completion)
                return

    def _note(self, outcome: Outcome, completion: Completion) -> None:
        final = completion.final_status.value if completion.final_status else None
        if not completion.accepted:
            log.warning(
                "run.refused",
                extra={"job_id": outcome.job_id, "run_id": outcome.run_id, "final_status": final},
            )
            return
        self.last_status = completion.final_status
        log.info(
            "run.completed",
            extra={
                "job_id": outcome.job_id,
                "run_id": outcome.run_id,
                "status": outcome.status.value,
                "error_kind": outcome.error_kind.value if outcome.error_kind else "",
                "final_status": final,
                "total_ms": outcome.run.total_ms,
            },
        )
        if outcome.status is RunStatus.SUCCEEDED:
            self._gate.reward()
        elif outcome.error_kind is not None and not outcome.count_attempt:
            self._gate.close(outcome.error_kind, outcome.error or "")

    async def _release(self, claim: Claim) -> None:
        try:
            await self.in_queue_thread(lambda: self._queue.release(claim.run_id, reason="the worker is stopping"))
        except QueueError as error:
            # Its lease runs out, and it is reaped.
            log.warning("run.not_released", extra={"job_id": claim.job_id, "run_id": claim.run_id, "error": str(error)})
        else:
            log.info("run.released", extra={"job_id": claim.job_id, "run_id": claim.run_id})
