"""The circuit breaker: no claims while the model or the lake is unavailable."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from random import Random
from typing import Any

from derive.contracts import Outcome
from derive.errors import ErrorKind, ModelAccessRefused, ModelOverloaded, RunError
from derive.states import RunStatus

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
"""A server that wants to be left alone for longer is probed all the same."""

Probe = Callable[[], Awaitable[None]]


class CircuitBreaker:
    """Stops claims when a run was released through no fault of its own; allows them when every probe succeeds.

    Pauses between probes double up to a bound and start over only when a run has succeeded, so a server that answers
    probes but refuses work is not flooded.
    """

    def __init__(self, probes: Mapping[ErrorKind, Probe], *, worker_id: str, endpoint: str | None = None) -> None:
        self._probes = probes
        self._keys = {"worker_id": worker_id} | ({"endpoint": endpoint} if endpoint else {})
        self._kind: ErrorKind | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._rng = Random()  # noqa: S311 - spreads probes, guards nothing
        self._retry_after_seconds = 0.0
        self.why = ""
        self.is_access_refused = False
        """Whether the server refuses our credentials, so that somebody has to change a setting."""

    @property
    def kind(self) -> ErrorKind | None:
        """What kind of error stopped claims; None while they are allowed."""
        return self._kind

    @property
    def is_open(self) -> bool:
        """Whether claiming is allowed; if not, ``why`` holds the reason."""
        return self._kind is None

    def close(self, kind: ErrorKind, why: str) -> None:
        """Stop claims until the probe for this kind of error succeeds; kinds without a probe change nothing."""
        if kind not in self._probes:
            return
        if self._kind is None:
            log.warning("worker.waiting", extra={**self._keys, "error_kind": kind.value, "error": why})
        else:
            log.info("worker.still_waiting", extra={**self._keys, "error_kind": kind.value})
        self._kind, self.why = kind, why

    def record_failure(self, error: RunError) -> None:
        """Stop claims as soon as a run finds a dependency unavailable: other runs would fail the same way."""
        if not error.counted:
            self._close_for(error)

    def _close_for(self, error: RunError) -> None:
        self.close(error.kind, str(error))
        self.is_access_refused = isinstance(error, ModelAccessRefused)
        if isinstance(error, ModelOverloaded) and error.retry_after_seconds is not None:
            self._retry_after_seconds = min(error.retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS)

    def record_outcome(self, outcome: Outcome) -> None:
        """Update from a run's outcome: stop claims if the lake was unavailable; a success resets the pauses."""
        if outcome.status is RunStatus.SUCCEEDED:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        elif outcome.error_kind is ErrorKind.LAKE_UNAVAILABLE:
            self.close(outcome.error_kind, outcome.error or "")

    async def check_all(self, stopping: asyncio.Event) -> None:
        """Probe everything once and stop claims at the first probe that fails; return at once when stopping."""
        await _unless(stopping, self._probe_all())

    async def wait_and_probe(self, stopping: asyncio.Event) -> None:
        """Pause, then probe, and allow claims when the probe succeeds; return at once when stopping."""
        seconds = max(self._pause_seconds * self._rng.uniform(0.7, 1.3), self._retry_after_seconds)
        if self._kind is None or await pause(seconds, unless=stopping):
            return
        self._retry_after_seconds = 0.0
        self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        await _unless(stopping, self._probe_all())

    async def _probe_all(self) -> None:
        for probe in dict.fromkeys(self._probes.values()):
            try:
                await probe()
            except RunError as error:
                self._close_for(error)
                return
        self.is_access_refused = False
        if self._kind is not None:
            self._kind, self.why = None, ""
            log.info("worker.going_on", extra=self._keys)


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Await the work, or drop it once the event is set: a probe of a silent server can take long."""
    tasks = {asyncio.create_task(work), asyncio.create_task(event.wait())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in done:
        task.result()


async def pause(seconds: float, *, unless: asyncio.Event) -> bool:
    """Wait this long or until the event is set; return whether it is."""
    try:
        async with asyncio.timeout(seconds):
            return await unless.wait()
    except TimeoutError:
        return False
