"""The runs in progress in a worker: each is a task that runs its claim and completes it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from random import Random
from typing import TypeVar
from uuid import UUID

from opentelemetry.trace import Link

from derive.backoff import backoff_seconds
from derive.contracts import Claim, Completion, Outcome
from derive.errors import ErrorKind, QueueError, RunError, places_of
from derive.queue.worker import WorkerQueue
from derive.states import JobStatus, RunStatus
from derive.worker import spans
from derive.worker.attempt import run_attempt
from derive.worker.completions import Completions
from derive.worker.database_retry import until_database_answers
from derive.worker.endpoint import WorkerEndpoint
from derive.worker.lease import LeaseKeeper, StopReason
from derive.worker.metrics import WorkerMetrics
from derive.worker.refusals import Refusals
from derive.worker.slots import Place, Stage

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(eq=False)
class _Active:
    claim: Claim
    endpoint: WorkerEndpoint
    place: Place
    claim_link: Link | None = None
    has_begun: bool = False
    stop_reason: StopReason | None = None
    kept_for: str | None = None
    """Why its outcome is not completed yet."""
    task: "asyncio.Task[None] | None" = None


class Runs:
    """Starts, stops and ends runs: on the event loop, with SQL on the queue's thread."""

    def __init__(
        self,
        endpoints: Sequence[WorkerEndpoint],
        *,
        worker_id: str,
        queue: WorkerQueue,
        queue_thread: Executor,
        refusals: Refusals,
        keeper: LeaseKeeper,
        metrics: WorkerMetrics,
    ) -> None:
        self._endpoints = endpoints
        self._queue = queue
        self._queue_thread = queue_thread
        self._refusals = refusals
        self._keeper = keeper
        self._metrics = metrics
        self._completions = Completions(queue, worker_id=worker_id, in_queue_thread=self.in_queue_thread)
        self._active: dict[UUID, _Active] = {}
        self._rng = Random()  # noqa: S311 - spreads retries, guards nothing
        self.last_status: JobStatus | None = None

    def __len__(self) -> int:
        """Return how many runs are in progress."""
        return len(self._active)

    @property
    def why_outcomes_wait(self) -> str | None:
        """Why outcomes wait for the database; None if none do. Nothing is claimed meanwhile."""
        kept = [why for active in list(self._active.values()) if (why := active.kept_for) is not None]
        return f"{len(kept)} finished runs wait to be handed in: {kept[-1]}" if kept else None

    @property
    def outcomes_waiting(self) -> int:
        """How many outcomes wait for the database after a failed attempt."""
        return sum(active.kept_for is not None for active in list(self._active.values()))

    async def in_queue_thread(self, call: Callable[[], Result]) -> Result:
        """Run a call on the thread that owns the queue's connection."""
        return await asyncio.get_running_loop().run_in_executor(self._queue_thread, call)

    def start(self, claim: Claim, endpoint: WorkerEndpoint, *, claim_link: Link | None = None) -> None:
        """Start running a claim that was made for the endpoint; its span links to the claim's."""
        log.info(
            "job.claimed",
            extra=_keys(claim, attempt=claim.attempt, interrogation=claim.interrogation_key),
        )
        active = _Active(claim, endpoint, endpoint.slots.enter(), claim_link)
        self._active[claim.run_id] = active
        active.task = asyncio.create_task(self._work(active), name=f"run {claim.run_id}")

    def stop(self, run_id: UUID, reason: StopReason) -> None:
        """Stop a run that is waiting or with the model; one that has its answer completes."""
        active = self._active.get(run_id)
        if active is None or active.stop_reason is not None:
            return
        active.stop_reason = reason
        if active.place.stage is not Stage.ENDING:
            _cancel(active)

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
        active.has_begun = True
        try:
            if active.stop_reason is not None:
                _cancel(active)
            with spans.run(claim, active.claim_link) as tell:
                outcome = await run_attempt(
                    claim,
                    active.endpoint.tools,
                    place=active.place,
                    was_cancelled=lambda: active.stop_reason is StopReason.CANCELLED,
                    on_failure=lambda error: self._record_failure(active.endpoint, error),
                )
                tell(outcome)
                for endpoint in self._concerned(active.endpoint, outcome.error_kind):
                    endpoint.circuit_breaker.record_outcome(outcome)
                if outcome.error_kind is ErrorKind.SCHEMA_REFUSED:
                    await self.in_queue_thread(self._refusals.record)
                with spans.step("complete"):
                    await self._hand_in(active, outcome)
        except asyncio.CancelledError:
            active.place.begin_ending()
            if active.stop_reason is StopReason.RELEASED:
                await self._release(claim)
            else:
                self._metrics.lost()
                log.warning("run.lost", extra=_keys(claim))
        except Exception as error:  # noqa: BLE001 (said below)
            # A task's boundary: nobody awaits its errors. Its lease is no longer renewed.
            log.error("run.given_up", extra=_keys(claim, error=places_of(error)))
        finally:
            self._keeper.let_go(claim.run_id)
            del self._active[claim.run_id]
            active.place.leave()

    def _record_failure(self, endpoint: WorkerEndpoint, error: RunError) -> None:
        for concerned in self._concerned(endpoint, error.kind):
            concerned.circuit_breaker.record_failure(error)
        self._refusals.note(error)

    def _concerned(self, endpoint: WorkerEndpoint, kind: ErrorKind | None) -> Sequence[WorkerEndpoint]:
        """Return the endpoints that a failure stops: all share the lake."""
        return self._endpoints if kind is ErrorKind.LAKE_UNAVAILABLE else (endpoint,)

    async def _hand_in(self, active: _Active, outcome: Outcome) -> None:
        """Complete the run, however long that takes: until accepted, its lease is lost, or its content is refused."""
        try:
            completion = await self._complete(active, outcome)
        except QueueError as error:
            log.error(
                "run.not_completed", extra=_keys(active.claim, error=str(error), at=places_of(error.__cause__ or error))
            )
            outcome = _without_findings(active.claim, error, retry_after_seconds=self._backoff_seconds(active.claim))
            try:
                completion = await self._complete(active, outcome)
            except QueueError as again:
                # Refused again: its lease is no longer renewed.
                log.error("run.given_up", extra=_keys(active.claim, error=str(again)))
                return
        self._note(active, outcome, completion)

    async def _complete(self, active: _Active, outcome: Outcome) -> Completion:
        def keep(error: QueueError) -> None:
            if active.kept_for != str(error):
                log.warning("run.kept", extra=_keys(active.claim, error=str(error)))
            active.kept_for = str(error)
            self._keeper.report_claiming()

        try:
            return await until_database_answers(lambda: self._completions.hand_in(outcome), on_failure=keep)
        finally:
            if active.kept_for is not None:
                # Every endpoint's claims wait for an outcome that is kept.
                for endpoint in self._endpoints:
                    endpoint.slots.nudge()
            active.kept_for = None
            self._keeper.report_claiming()

    def _backoff_seconds(self, claim: Claim) -> int:
        return backoff_seconds(claim.attempt_count, self._rng)

    def _note(self, active: _Active, outcome: Outcome, completion: Completion) -> None:
        final = completion.final_status.value if completion.final_status else None
        if not completion.accepted:
            self._metrics.lost()
            log.warning("run.refused", extra=_keys(active.claim, final_status=final))
            return
        self.last_status = completion.final_status
        self._metrics.completed(
            outcome,
            completion,
            model_seconds=active.place.model_seconds,
            first_token_seconds=active.place.first_token_seconds,
        )
        log.info(
            "run.completed",
            extra=_keys(
                active.claim,
                status=outcome.status.value,
                error_kind=outcome.error_kind.value if outcome.error_kind else "",
                final_status=final,
                total_ms=outcome.run.total_ms,
            ),
        )

    async def _release(self, claim: Claim) -> None:
        try:
            await self.in_queue_thread(lambda: self._queue.release(claim.run_id, reason="the worker is stopping"))
        except QueueError as error:
            # Its lease expires, and it is reaped.
            log.warning("run.not_released", extra=_keys(claim, error=str(error)))
        else:
            self._metrics.released()
            log.info("run.released", extra=_keys(claim))


def _cancel(active: _Active) -> None:
    """Cancel a run's task; one not started cancels itself, since nothing could end the run before."""
    if active.has_begun and active.task is not None:
        active.task.cancel()


def _without_findings(claim: Claim, error: QueueError, *, retry_after_seconds: int) -> Outcome:
    """Return an outcome that the database must accept, for a run whose own it refused."""
    return Outcome(
        job_id=claim.job_id,
        run_id=claim.run_id,
        status=RunStatus.FAILED,
        error=f"the database refused what this run left: {error}",
        error_kind=ErrorKind.INTERNAL,
        retry_after_seconds=retry_after_seconds,
    )


def _keys(claim: Claim, **keys: object) -> dict[str, object]:
    return {"job_id": claim.job_id, "run_id": claim.run_id, **keys}
