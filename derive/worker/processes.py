"""Several workers under one parent, which owns signals, restarts and the port for numbers, and touches no job.

Each child is a worker of its own: an interpreter, a row in ``llm.worker``, leases. A child that ends unasked is
replaced, the jobs of a killed one are reaped as any worker's. When the parent is gone its children stop in good order.
"""

import asyncio
import logging
import os
import random
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as NotInTime
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from derive.worker.budget import SharedBudget
from derive.worker.parent import LENGTH_BYTES, STARTED
from derive.worker.signals import handling_signals

log = logging.getLogger(__name__)

DONE, COULD_NOT_START = 0, 2
"""The exit codes of a child that ended in good order, and of one that cannot work here."""
STEADY_SECONDS = 10.0
"""A child that worked for so long is replaced at once; one that ended sooner after a pause."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
SHUTDOWN_SECONDS = 20.0
"""What children get beyond the grace time before they are killed; more than a worker gives itself."""
NUMBERS_SECONDS = 1.0
"""What a child may take to tell its numbers: a frozen one is left out."""

Command = Callable[[int, list[str]], Sequence[str]]
"""Makes the command line of the child of a number (from 1), with further arguments."""


def slots_of(concurrency: int, processes: int) -> list[int]:
    """Share the slots out; there are never more processes than slots."""
    processes = min(processes, concurrency)
    return [concurrency // processes + (number < concurrency % processes) for number in range(processes)]


def pause_seconds(short_lives: int) -> float:
    """Return how long to wait before a child is replaced, after so many in a row that ended soon."""
    if short_lives == 0:
        return 0.0
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(short_lives - 1, 16))
    return longest * random.uniform(0.7, 1.0)  # noqa: S311 (jitter)


@dataclass(eq=False)
class Child:
    """One place among the processes, whoever holds it."""

    number: int
    process: asyncio.subprocess.Process | None = None
    has_started: bool = False
    numbers: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)
    writer: asyncio.StreamWriter | None = None


class WorkerProcesses:
    """Runs the children until all are done or told to stop."""

    def __init__(self, command: Command, *, processes: int, grace_seconds: float, max_jobs: int | None) -> None:
        self._command = command
        self._grace_seconds = grace_seconds
        self._max_jobs = max_jobs
        self._budget: SharedBudget | None = None
        self._budget_descriptor: int | None = None
        self._children = [Child(number) for number in range(1, processes + 1)]
        self._stopping = asyncio.Event()
        self._has_any_started = False
        self._exit_code = DONE
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> int:
        """Return the exit code: 0, or 2 when the first children could not start."""
        self._loop = asyncio.get_running_loop()
        with handling_signals(self._loop, self.stop), self._shared_budget():
            await asyncio.gather(*(self._hold(child) for child in self._children))
        return self._exit_code

    def stop(self) -> None:
        """Have every child stop in good order; said again: without waiting for the model."""
        if not self._stopping.is_set():
            log.info("worker.processes_stopping", extra={"processes": len(self._children)})
            asyncio.get_running_loop().call_later(self._grace_seconds + SHUTDOWN_SECONDS, self._kill_all)
        self._stopping.set()
        self._send_all(signal.SIGTERM)

    def numbers(self) -> list[tuple[int, bytes]]:
        """Ask each child for its numbers; return those that answered, by the child's number. From any other thread."""
        if self._loop is None:
            return []
        asked = asyncio.run_coroutine_threadsafe(self._ask_all(), self._loop)
        try:
            return asked.result(3 * NUMBERS_SECONDS)
        except (NotInTime, RuntimeError):
            return []

    async def _ask_all(self) -> list[tuple[int, bytes]]:
        answers = await asyncio.gather(*(self._numbers_of(child) for child in self._children))
        return [(child.number, text) for child, text in zip(self._children, answers, strict=True) if text is not None]

    async def _hold(self, child: Child) -> None:
        """Keep a process in one place until it is done."""
        short_lives = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            code = await self._live(child)
            if self._stopping.is_set() or self._is_done(code):
                return
            if code == COULD_NOT_START and not self._has_any_started:
                self._exit_code = COULD_NOT_START
                self.stop()
                return
            was_steady = child.has_started and time.monotonic() - begun >= STEADY_SECONDS
            short_lives = 0 if was_steady else short_lives + 1
            pause = pause_seconds(short_lives)
            log.warning(
                "worker.process_replaced",
                extra={"number": child.number, "exit_code": code, "pause_seconds": round(pause, 2)},
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    def _is_done(self, code: int) -> bool:
        return code == DONE and self._budget is not None and self._budget.left <= 0

    async def _live(self, child: Child) -> int:
        """Start a process and return its exit code once it has ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            handed = [theirs.fileno()] + ([] if self._budget_descriptor is None else [self._budget_descriptor])
            arguments = ["--child-of", ",".join(map(str, handed))]
            # In a session of its own: a terminal's Ctrl-C is the parent's to hand on, once.
            child.process = await asyncio.create_subprocess_exec(
                *self._command(child.number, arguments), pass_fds=handed, start_new_session=True
            )
        child.has_started = False
        reader, child.writer = await asyncio.open_connection(sock=ours)
        listening = asyncio.create_task(self._listen(child, reader))
        log.info("worker.process_begun", extra={"number": child.number, "pid": child.process.pid})
        if self._stopping.is_set():
            self._send(child, signal.SIGTERM)
        try:
            return await child.process.wait()
        finally:
            listening.cancel()
            child.writer.close()
            child.process = child.writer = None

    async def _listen(self, child: Child, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int.from_bytes(await reader.readexactly(LENGTH_BYTES))
                payload = await reader.readexactly(length)
                if payload == STARTED:
                    child.has_started = self._has_any_started = True
                else:
                    child.numbers.put_nowait(payload)

    async def _numbers_of(self, child: Child) -> bytes | None:
        while not child.numbers.empty():
            # Of a child that was too late, or has been replaced since.
            child.numbers.get_nowait()
        if child.writer is None:
            return None
        child.writer.write(b"?")
        with suppress(TimeoutError):
            return await asyncio.wait_for(child.numbers.get(), NUMBERS_SECONDS)
        return None

    def _send_all(self, number: int) -> None:
        for child in self._children:
            self._send(child, number)

    def _kill_all(self) -> None:
        for child in self._children:
            if child.process is not None:
                log.error("worker.process_killed", extra={"number": child.number, "pid": child.process.pid})
        self._send_all(signal.SIGKILL)

    def _send(self, child: Child, number: int) -> None:
        if child.process is not None:
            with suppress(ProcessLookupError):
                child.process.send_signal(number)

    @contextmanager
    def _shared_budget(self) -> Iterator[None]:
        if self._max_jobs is None:
            yield
            return
        with tempfile.TemporaryFile() as file:
            self._budget_descriptor = file.fileno()
            SharedBudget.write(file.fileno(), self._max_jobs)
            self._budget = SharedBudget(file.fileno())
            yield


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
