"""Processor time by step, exactly: each thread's own clock, read where a step begins and ends.

A sampler would tell it less well here: it is let in where a thread gives the interpreter up, so at system calls.
"""

import functools
import threading
import time
import types
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from typing import Any

OUTSIDE = "outside"


class StepClock:
    """Adds each thread's processor time to the innermost step that it is in. Safe to share between threads."""

    def __init__(self) -> None:
        self._threads: list[_ThreadClock] = []
        self._mine = threading.local()
        self._lock = threading.Lock()

    def measure(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as one whose time, less that of the steps inside it, is the step's."""

        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            clock = self._clock()
            outer = clock.enter(step)
            try:
                return function(*args, **kwargs)
            finally:
                clock.enter(outer)

        return measured

    def measure_async(
        self, step: str, function: Callable[..., Coroutine[Any, Any, Any]]
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        """As ``measure``, of a coroutine: what it waits for is not its own."""

        @functools.wraps(function)
        async def measured(*args: Any, **kwargs: Any) -> Any:
            return await self._driven(step, function(*args, **kwargs))

        return measured

    @types.coroutine
    def _driven(self, step: str, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        go_on: Callable[[], Any] = functools.partial(coroutine.send, None)
        while True:
            clock = self._clock()
            outer = clock.enter(step)
            try:
                yielded = go_on()
            except StopIteration as ended:
                return ended.value
            finally:
                clock.enter(outer)
            try:
                sent = yield yielded
            except BaseException as error:  # noqa: BLE001 (handed on)
                go_on = functools.partial(coroutine.throw, error)
            else:
                go_on = functools.partial(coroutine.send, sent)

    def nanoseconds(self) -> Counter[str]:
        """Return the nanoseconds of each step so far, of all threads."""
        total: Counter[str] = Counter()
        with self._lock:
            for clock in self._threads:
                total.update(clock.nanoseconds)
        del total[OUTSIDE]
        return total

    def _clock(self) -> "_ThreadClock":
        clock: _ThreadClock | None = getattr(self._mine, "clock", None)
        if clock is None:
            clock = self._mine.clock = _ThreadClock()
            with self._lock:
                self._threads.append(clock)
        return clock


class _ThreadClock:
    def __init__(self) -> None:
        self.nanoseconds: Counter[str] = Counter()
        self._step = OUTSIDE
        self._since = time.thread_time_ns()

    def enter(self, step: str) -> str:
        """Count what passed for the step before, go on in this one, and return the one before."""
        now = time.thread_time_ns()
        self.nanoseconds[self._step] += now - self._since
        self._since = now
        before, self._step = self._step, step
        return before
