"""Several workers under one parent, which handles signals, restarts and the metrics port, and never touches jobs.

Each child is a separate worker with its own interpreter, row in ``llm.worker`` and leases. A child that exits
unexpectedly is replaced, and a killed one's jobs are reaped as any worker's. If the parent dies, its children stop
gracefully.
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
"""The exit codes of a child that ended normally, and of one that could not start."""
STEADY_SECONDS = 10.0
"""A child that ran at least this long is replaced at once; otherwise after a pause."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
SHUTDOWN_SECONDS = 20.0
"""Time for children beyond the grace time before they are killed; more than a worker takes itself."""
NUMBERS_SECONDS = 1.0
"""How long a child may take to send its metrics; a frozen one is left out."""

Command = Callable[[int, list[str]], Sequence[str]]
"""Returns the command line of child number N (from 1), with more arguments."""


def slots_of(concurrency: int, processes: int) -> list[int]:
    """Divide the slots; there are never more processes than slots."""
    processes = min(processes, concurrency)
    return [concurrency // processes + (number < concurrency % processes) for number in range(processes)]


def pause_seconds(short_lives: int) -> float:
    """Return how long to wait before replacing a child, after this many early exits in a row."""
    if short_lives == 0:
        return 0.0
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(short_lives - 1, 16))
    return longest * random.uniform(0.7, 1.0)  # noqa: S311 (jitter)


@dataclass(eq=False)
class Child:
    """One of the process slots and its current process."""

    number: int
    process: asyncio.subprocess.Process | None = None
    has_started: bool = False
    numbers: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)
    writer: asyncio.StreamWriter | None = None


class WorkerProcesses:
    """Runs the children until all have ended or were stopped."""

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
        """Run; return the exit code: 0, or 2 if the first children could not start."""
        self._loop = asyncio.get_running_loop()
        with handling_signals(self._loop, self.stop), self._shared_budget():
            await asyncio.gather(*(self._hold(child) for child in self._children))
        return self._exit_code

    def stop(self) -> None:
        """Stop all children gracefully; called again, without waiting for the model."""
        if not self._stopping.is_set():
            log.info("worker.processes_stopping", extra={"processes": len(self._children)})
            asyncio.get_running_loop().call_later(self._grace_seconds + SHUTDOWN_SECONDS, self._kill_all)
        self._stopping.set()
        self._send_all(signal.SIGTERM)

    def numbers(self) -> list[tuple[int, bytes]]:
        """Return the metrics of the children that answered, by child number. Call from another thread."""
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
        """Keep a process running in one slot until it is done."""
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
        """Start a process; return its exit code when it has ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            handed = [theirs.fileno()] + ([] if self._budget_descriptor is None else [self._budget_descriptor])
            arguments = ["--child-of", ",".join(map(str, handed))]
            # In its own session: only the parent receives a terminal's Ctrl-C, and passes it on once.
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
            # From a child that answered late or was replaced.
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
