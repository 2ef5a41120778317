"""Limits how many runs wait for the model, are with it, and are completing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

AHEAD_SECONDS = 0.25
"""A worker prefetches at most this much work behind its busy slots: enough to hide a claim's round trip, and none when
answers take seconds, where a job is better left to other workers until a slot is free."""
MAX_AHEAD_PER_SLOT = 2
CLAIMS_AHEAD = 4
"""In how many claims the prefetched jobs are fetched."""
MAX_ENDING_PER_SLOT = 2
_WEIGHT_OF_NEWEST = 0.2


class Stage(Enum):
    """A run's stage inside the worker."""

    WAITING = "waiting"
    ASKING = "asking"
    ENDING = "ending"


class Slots:
    """Counts a worker's runs by stage, and how many more may be claimed.

    Runs that are still being written are limited too, so that a slow lake or database slows claiming instead of filling
    memory.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self.with_model = asyncio.Semaphore(concurrency)
        self._changed = asyncio.Event()
        self._count: Counter[Stage] = Counter()
        self._answer_seconds: float | None = None

    @property
    def ahead(self) -> int:
        """How many runs may be prefetched behind busy slots, at the measured speed."""
        if not self._answer_seconds:
            return 0
        work = int(AHEAD_SECONDS * self._concurrency / self._answer_seconds)
        return min(work, MAX_AHEAD_PER_SLOT * self._concurrency)

    def count(self, stage: Stage) -> int:
        """Return how many runs are in the stage now."""
        return self._count[stage]

    def room(self) -> int:
        """Return how many more jobs may be claimed now."""
        waiting = self._count[Stage.WAITING]
        free = self._concurrency + self.ahead - waiting - self._count[Stage.ASKING]
        if waiting and free < self.ahead // CLAIMS_AHEAD:
            # The slots are busy for now: one larger claim later costs less than many small ones.
            return 0
        unwritten = MAX_ENDING_PER_SLOT * self._concurrency - self._count[Stage.ENDING]
        return max(0, min(free, unwritten))

    def enter(self) -> "Place":
        """Add a newly claimed run."""
        return Place(self)

    async def wait_for_change(self) -> None:
        """Return once a run has changed stage since the last call, or after ``nudge``."""
        await self._changed.wait()
        self._changed.clear()

    def nudge(self) -> None:
        """Wake waiters for a change."""
        self._changed.set()

    def move(self, before: Stage | None, after: Stage | None) -> None:
        """Move a run between stages; None is before its first and after its last."""
        if before is not None:
            self._count[before] -= 1
        if after is not None:
            self._count[after] += 1
        self._changed.set()

    def learn(self, seconds: float) -> None:
        """Add one answer's duration to the measured speed."""
        seen = self._answer_seconds
        self._answer_seconds = seconds if seen is None else seen + _WEIGHT_OF_NEWEST * (seconds - seen)


class Place:
    """One run's place among the slots. It starts waiting; its creator must call ``leave``.

    ``model_seconds`` is how long the model worked, successfully or not; None if it was not asked.
    ``first_token_seconds`` is the part before its first token: in the server's queue, loading, and reading the prompt.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.stage: Stage | None = None
        self.model_seconds: float | None = None
        self.first_token_seconds: float | None = None
        self._move_to(Stage.WAITING)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Hold a slot while the model works; afterwards the run is ending."""
        slots = self._slots
        async with slots.with_model:
            self._move_to(Stage.ASKING)
            begun = asyncio.get_running_loop().time()
            try:
                yield
                slots.learn(asyncio.get_running_loop().time() - begun)
            finally:
                self.model_seconds = asyncio.get_running_loop().time() - begun
                self.begin_ending()

    def begin_ending(self) -> None:
        """The run needs no slot any more and can no longer be stopped."""
        self._move_to(Stage.ENDING)

    def leave(self) -> None:
        """The run has ended."""
        self._move_to(None)

    def _move_to(self, stage: Stage | None) -> None:
        self._slots.move(self.stage, stage)
        self.stage = stage
