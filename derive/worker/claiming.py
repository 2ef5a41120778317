"""A worker's claims, for whichever of its endpoints: within its budget, and held by the lease keeper at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random

from derive.contracts import Claim
from derive.errors import QueueError
from derive.queue.worker import WorkerQueue
from derive.worker.budget import budget_of
from derive.worker.circuit_breaker import pause
from derive.worker.endpoint import WorkerEndpoint
from derive.worker.lease import LeaseKeeper
from derive.worker.metrics import WorkerMetrics
from derive.worker.options import WorkerOptions
from derive.worker.refusals import Refusals

log = logging.getLogger(__name__)

AWAY_SECONDS = 1.0


class Claiming:
    """Claims jobs; ``jobs`` is how many so far."""

    def __init__(
        self,
        options: WorkerOptions,
        *,
        queue: WorkerQueue,
        in_queue_thread: Callable[[Callable[[], list[Claim]]], Awaitable[list[Claim]]],
        refusals: Refusals,
        keeper: LeaseKeeper,
        metrics: WorkerMetrics,
        stopping: asyncio.Event,
    ) -> None:
        self.jobs = 0
        self._options = options
        self._queue = queue
        self._in_queue_thread = in_queue_thread
        self._refusals = refusals
        self._keeper = keeper
        self._metrics = metrics
        self._stopping = stopping
        self._budget = budget_of(options)
        self._calls: set[asyncio.Future[list[Claim]]] = set()
        self._rng = Random()  # noqa: S311 - spreads calls, guards nothing

    @property
    def is_budget_spent(self) -> bool:
        """Whether nothing more may be claimed, and no claim is under way that may give some of it back."""
        return not self._calls and self._budget.left <= 0

    def give_up(self) -> None:
        """Stop waiting for claims that hang."""
        for call in self._calls:
            call.cancel()

    async def claim(self, endpoint: WorkerEndpoint, room: int) -> list[Claim]:
        """Claim as many jobs as the endpoint's slots and the budget allow."""
        granted, claims = self._budget.take(room), []
        try:
            claims = await self._claim(endpoint, granted) if granted else []
        finally:
            self._budget.give_back(granted - len(claims))
        return claims

    async def _claim(self, endpoint: WorkerEndpoint, max_jobs: int) -> list[Claim]:
        options = self._options
        server = endpoint.server() if options.model is None else None
        call: asyncio.Future[list[Claim]] | None = None
        try:
            with self._keeper.claiming():
                call = asyncio.ensure_future(
                    self._in_queue_thread(
                        lambda: self._queue.claim(
                            options.worker_id,
                            lease_seconds=options.lease_seconds,
                            max_jobs=max_jobs,
                            model=options.model,
                            except_interrogations=self._refusals.keys(),
                            server=server,
                        )
                    )
                )
                self._calls.add(call)
                claims = await call
                self._keeper.hold([claim.run_id for claim in claims])
        except asyncio.CancelledError:
            if call is not None and call.cancelled() and self._stopping.is_set():
                # Jobs it may still claim come back when their lease expires.
                return []
            raise
        except QueueError as error:
            # Unavailable, being migrated, or missing a permission: running jobs must not suffer from any of these.
            log.warning("worker.claim_failed", extra={"worker_id": options.worker_id, "error": str(error)})
            endpoint.refusal = str(error)
            await pause(AWAY_SECONDS * self._rng.uniform(0.3, 1), unless=self._stopping)
            return []
        finally:
            if call is not None:
                self._calls.discard(call)
        self.jobs += len(claims)
        self._metrics.claimed(len(claims))
        self._metrics.switched(endpoint.name, endpoint.note_claims(claims))
        return claims
