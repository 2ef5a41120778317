"""A thread for database calls, any of which may hang: a call past its time limit is abandoned with its connection.

Drivers' own time-outs are not relied on: mssql_python took 253 s for a call limited to 5 s when its packets were held
back (measured), and psycopg waits forever for a silent server.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import connections

from derive.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

MAX_ABANDONED = 16
"""At this many hung threads, no further call starts until one returns."""
END_SECONDS = 3.0
LOOKS = 10
"""How many times within a call's time limit the watcher checks it."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Call:
    work: Callable[[], Any]
    future: "Future[Any]"
    begun: float = 0.0


class CallThread(Executor):
    """Makes calls one after another, each within a time limit.

    A call that exceeds it fails with DatabaseUnavailable, and the next one runs on a new thread with new connections,
    since Django keeps one per thread. Whether an abandoned call takes effect is unknown; its result is dropped. Its
    thread closes its connections when it returns, and does not keep the process alive.
    """

    def __init__(self, name: str, *, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._running: _Call | None = None
        self._hand: threading.Thread | None = None
        self._abandoned: list[threading.Thread] = []
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    def submit(self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs) -> "Future[Result]":
        """Make the call once those before it are done; its time limit starts then."""
        call = _Call(partial(fn, *args, **kwargs), Future())
        with self._changed:
            if self._ended.is_set():
                raise RuntimeError(f"{self._name} makes no calls any more")
            self._waiting.append(call)
            self._begin()
            self._changed.notify()
        return call.future

    def call(self, work: Callable[[], Result]) -> Result:
        """Make a call and wait for it; raise what it raises, or DatabaseUnavailable."""
        return self.submit(work).result()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (Executor's)
        """Stop once pending calls are done; abandon those not done within three seconds."""
        with self._changed:
            self._ended.set()
            if cancel_futures:
                self._fail_waiting("the worker ends")
            hand = self._hand
            self._changed.notify()
        if wait and hand is not None and hand is not threading.current_thread():
            hand.join(END_SECONDS)
            if hand.is_alive():
                self._give_up("was not done when the worker ended")
                with self._changed:
                    self._fail_waiting("the worker ends")

    def _begin(self) -> None:
        """Start the calling thread and its watcher; the lock is held."""
        if self._hand is None:
            self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
            if len(self._abandoned) >= MAX_ABANDONED:
                self._fail_waiting(f"{MAX_ABANDONED} calls hang; waiting for one of them to return")
                return
            self._hand = threading.Thread(target=self._make_calls, name=self._name, daemon=True)
            self._hand.start()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name=f"{self._name}-watch", daemon=True)
            self._watcher.start()

    def _fail_waiting(self, why: str) -> None:
        while self._waiting:
            call = self._waiting.popleft()
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(DatabaseUnavailable(f"the database was not asked: {why}"))

    def _make_calls(self) -> None:
        me = threading.current_thread()
        try:
            while (call := self._next(me)) is not None:
                self._make(call, me)
                del call
        finally:
            connections.close_all()

    def _next(self, me: threading.Thread) -> _Call | None:
        with self._changed:
            while self._hand is me:
                if self._waiting:
                    call = self._waiting.popleft()
                    if call.future.set_running_or_notify_cancel():
                        call.begun = time.monotonic()
                        self._running = call
                        return call
                elif self._ended.is_set():
                    break
                else:
                    self._changed.wait()
        return None

    def _make(self, call: _Call, me: threading.Thread) -> None:
        try:
            settle = partial(call.future.set_result, call.work())
        except BaseException as error:  # noqa: BLE001 (raised again by whoever waits for the call)
            settle = partial(call.future.set_exception, error)
        with self._changed:
            if self._hand is not me:
                return
            self._running = None
        settle()

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds / LOOKS):
            call = self._running
            if call is not None and time.monotonic() - call.begun > self._seconds:
                self._give_up(f"was not done within {self._seconds:g} s", only=call)

    def _give_up(self, why: str, *, only: _Call | None = None) -> None:
        """Abandon the thread and its call; the next call gets a new thread."""
        with self._changed:
            call, hand = self._running, self._hand
            if call is None or hand is None or only not in (None, call):
                return
            self._abandoned.append(hand)
            self._hand = self._running = None
            if self._waiting and not self._ended.is_set():
                self._begin()
        call.future.set_exception(
            DatabaseUnavailable(
                f"a call of the database {why}: it was given up, and the next one makes a new connection"
            )
        )
        log.warning("worker.call_given_up", extra={"calls": self._name, "error": why})
