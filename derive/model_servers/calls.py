"""Time limits of a call to a model server, and control calls whose answers are shared."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from derive.errors import RunError

Answer = TypeVar("Answer")


class CallLimits:
    """Limits the seconds of one call: until the first byte, between bytes, and in total.

    This asynchronous context raises TimeoutError once a limit has passed; ``passed`` then names it. It uses a single
    timer that is rescheduled when it fires, since setting a timer per chunk would cost more than reading the chunk.
    """

    def __init__(self, *, first_byte_seconds: float, idle_seconds: float, whole_seconds: float) -> None:
        self._first_byte_seconds = first_byte_seconds
        self._idle_seconds = idle_seconds
        self._whole_seconds = whole_seconds
        self._tail_until: float | None = None
        self._last_byte: float | None = None
        self.passed: str | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self._timer = self._loop.call_at(self._due()[0], self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    @property
    def expired(self) -> bool:
        """Whether this context, and nothing else, raised the TimeoutError."""
        return self._timeout.expired()

    def byte_came(self) -> float:
        """Record that a byte arrived; return the loop's time."""
        is_first = self._last_byte is None
        self._last_byte = self._loop.time()
        if is_first:
            self._set_timer()
        return self._last_byte

    def waited_through(self, moment: float) -> bool:
        """Whether the call began before this time of the loop and no byte has arrived."""
        return self._last_byte is None and self._started < moment

    def answer_came(self, *, tail_seconds: float) -> None:
        """Limit the seconds the connection may still take to end, now that the answer is complete."""
        if self._tail_until is None:
            self._tail_until = self._loop.time() + tail_seconds
            self._set_timer()

    def _due(self) -> tuple[float, str]:
        if self._tail_until is not None:
            return self._tail_until, "kept the connection open after its answer"
        whole = (self._started + self._whole_seconds, f"was not done after {self._whole_seconds:g} s")
        if self._last_byte is None:
            return min(
                whole, (self._started + self._first_byte_seconds, f"sent nothing for {self._first_byte_seconds:g} s")
            )
        return min(whole, (self._last_byte + self._idle_seconds, f"fell silent for {self._idle_seconds:g} s"))

    def _set_timer(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(self._due()[0], self._look)

    def _look(self) -> None:
        due, name = self._due()
        if self._loop.time() >= due:
            self.passed = name
            self._timeout.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_at(due, self._look)


class SharedAnswers(Generic[Answer]):
    """Caches answers by key for a limited time; concurrent callers share one fetch.

    Failures are not cached. A caller that is cancelled does not cancel the fetch.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Answer]], *, keep_seconds: float) -> None:
        self._fetch = fetch
        self._keep_seconds = keep_seconds
        self._kept: dict[str, tuple[float, Answer]] = {}
        self._flights: dict[str, asyncio.Task[Answer]] = {}

    async def get(self, key: str) -> Answer:
        """Return the answer for the key; raises the error of the fetch, as a new exception for each caller."""
        kept = self._kept.get(key)
        if kept is not None and asyncio.get_running_loop().time() < kept[0]:
            return kept[1]
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        try:
            return await asyncio.shield(flight)
        except RunError as error:
            raise type(error)(*error.args) from error

    async def aclose(self) -> None:
        """Cancel all fetches."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _fly(self, key: str) -> Answer:
        asked = asyncio.get_running_loop().time()
        answer = await self._fetch(key)
        self._kept = {name: kept for name, kept in self._kept.items() if kept[0] > asked}
        self._kept[key] = (asked + self._keep_seconds, answer)
        return answer

    def _landed(self, key: str, flight: asyncio.Task[Answer]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # retrieved so that asyncio does not log it as never retrieved
