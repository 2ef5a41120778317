"""Whether anything may be claimed: not while the model or the lake is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from random import Random

from derive.errors import ErrorKind, RunError

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0

Probe = Callable[[], Awaitable[None]]


class Gate:
    """Closed when a run was given back for no fault of its own; opened by a probe that succeeds.

    Pauses between probes double up to a bound and start over only when a run has succeeded, so that a
    server that answers probes but refuses work is not stormed.
    """

    def __init__(self, probes: Mapping[ErrorKind, Probe], *, worker_id: str) -> None:
        self._probes = probes
        self._worker_id = worker_id
        self._kind: ErrorKind | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._rng = Random()  # noqa: S311 - spreads probes, guards nothing
        self.why = ""

    @property
    def is_open(self) -> bool:
        """Whether claiming is allowed; when it is not, ``why`` says the reason."""
        return self._kind is None

    def close(self, kind: ErrorKind, why: str) -> None:
        """Allow no claim until the probe for this kind of error succeeds; kinds without a probe change nothing."""
        if kind not in self._probes:
            return
        if self._kind is None:
            log.warning("worker.waiting", extra={"worker_id": self._worker_id, "error_kind": kind.value, "error": why})
        self._kind, self.why = kind, why

    def reward(self) -> None:
        """A run has succeeded: the next closing starts with the shortest pause again."""
        self._pause_seconds = FIRST_PAUSE_SECONDS

    async def check_all(self) -> None:
        """Probe everything once, and close at the first probe that fails."""
        for probe in dict.fromkeys(self._probes.values()):
            try:
                await probe()
            except RunError as error:
                self.close(error.kind, str(error))
                return

    async def wait_and_probe(self, stopping: asyncio.Event) -> None:
        """Pause, then probe, and open when the probe succeeds; return at once when stopping."""
        if self._kind is None or await pause(self._pause_seconds * self._rng.uniform(0.7, 1.3), unless=stopping):
            return
        self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        try:
            await self._probes[self._kind]()
        except RunError as error:
            self._kind, self.why = error.kind, str(error)
            log.info("worker.still_waiting", extra={"worker_id": self._worker_id, "error_kind": error.kind.value})
        else:
            self._kind, self.why = None, ""
            log.info("worker.going_on", extra={"worker_id": self._worker_id})


async def pause(seconds: float, *, unless: asyncio.Event) -> bool:
    """Wait so long or until the event is set; return whether it is."""
    try:
        async with asyncio.timeout(seconds):
            return await unless.wait()
    except TimeoutError:
        return False
