"""Completes runs in batches: outcomes that arrive during a call go together into the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from functools import partial
from typing import Any

from derive.contracts import Completion, Outcome
from derive.errors import QueueError
from derive.queue.worker import WorkerQueue

MAX_TOGETHER = 32
"""Outcomes per call: keeps transactions short, and few to repeat after a lost response."""

_Waiting = tuple[Outcome, "asyncio.Future[Completion]"]
InQueueThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class Completions:
    """Completes runs, one call at a time. Runs on the event loop; SQL on the queue's thread."""

    def __init__(self, queue: WorkerQueue, *, worker_id: str, in_queue_thread: InQueueThread) -> None:
        self._queue = queue
        self._worker_id = worker_id
        self._in_queue_thread = in_queue_thread
        self._waiting: list[_Waiting] = []
        self._calls: asyncio.Task[None] | None = None

    async def hand_in(self, outcome: Outcome) -> Completion:
        """Complete or split a run; raises QueueError as ``WorkerQueue.complete`` does for this outcome alone."""
        if outcome.split is not None:
            # Alone: it may queue thousands of parts.
            split: Completion = await self._in_queue_thread(partial(self._queue.split, outcome, self._worker_id))
            return split
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append((outcome, answer))
        if self._calls is None:
            self._calls = asyncio.create_task(self._make_calls(), name="completions")
        return await answer

    async def _make_calls(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
                await self._complete(together)
        finally:
            self._calls = None

    async def _complete(self, together: list[_Waiting]) -> None:
        """Give each waiter its answer, or the error."""
        answers: Sequence[Completion | Exception]
        try:
            answers = await self._in_queue_thread(partial(self._call, [outcome for outcome, _ in together]))
        except QueueError as error:
            if len(together) > 1 and error.is_about_content:
                # One of them has bad content: complete each alone.
                for one in together:
                    await self._complete([one])
                return
            # Copies, since a traceback grows with each raise.
            answers = [error, *(copy(error) for _ in together[1:])]
        except Exception as error:  # noqa: BLE001 (raised where the outcome is handed in)
            answers = [error] * len(together)
        for (_, future), answer in zip(together, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _call(self, outcomes: list[Outcome]) -> list[Completion]:
        return [self._queue.complete(outcomes[0])] if len(outcomes) == 1 else self._queue.complete_all(outcomes)
