"""Concurrent checkers: threads for few runs, processes for many.

Hashing and reading run in parallel in threads; rendering, parsing and judging do not, so many runs justify the second
it takes to start processes. Processes do not query the database: they receive the rows with the runs.
"""

import gc
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Self

from derive.errors import HolocronError
from derive.interrogations.definition import Definition
from derive.interrogations.registry import Registry
from derive.lake import Lake
from derive.verify.checking import RunChecker
from derive.verify.findings import RunResult
from derive.verify.stored import StoredRun

THREADS = 4
"""Enough that one can wait for the lake while another hashes."""
MOST_PROCESSES = 8
WORTH_PROCESSES = 2_000
"""From this many runs on, processes are started: a few seconds of one thread's work."""
_OBJECTS_BEFORE_COLLECTING = 200_000
_CHUNKS_EACH = 3
"""Chunks of runs queued per checker."""


class CheckersLost(HolocronError):
    """A process that verified runs died."""


class Checkers:
    """Checks chunks of runs on an executor; a context manager that ends it."""

    def __init__(self, executor: Executor, checker: RunChecker | None, *, at_once: int) -> None:
        """Use the executor; without a checker, its processes have their own."""
        self._executor = executor
        self._checker = checker
        self.ahead = _CHUNKS_EACH * at_once

    @classmethod
    def in_threads(cls, checker: RunChecker) -> Self:
        """Return checkers that run as threads of this process."""
        return cls(ThreadPoolExecutor(THREADS, thread_name_prefix="verify"), checker, at_once=THREADS)

    @classmethod
    def in_processes(cls, lake_url: str, interrogations_folder: Path | None, *, quick: bool, processes: int) -> Self:
        """Return checkers that run as processes, each with its own lake and registry."""
        executor = ProcessPoolExecutor(
            processes,
            # Forked processes would share the database connection.
            mp_context=get_context("spawn"),
            initializer=_begin_process,
            initargs=(lake_url, interrogations_folder, quick),
        )
        return cls(executor, None, at_once=processes)

    @classmethod
    def fitting(
        cls, lake_url: str, interrogations_folder: Path | None, *, quick: bool, runs: int, processors: int | None = None
    ) -> Self:
        """Return threads, or processes if there are enough runs. Raises ConfigurationError."""
        processes = min(processors or os.cpu_count() or 1, MOST_PROCESSES)
        # An in-memory lake exists only in this process.
        if quick or processes < 2 or runs < WORTH_PROCESSES or lake_url.startswith("memory:"):
            checker = RunChecker.of(Lake.open(lake_url), Registry.load(interrogations_folder), quick=quick)
            return cls.in_threads(checker)
        return cls.in_processes(lake_url, interrogations_folder, quick=quick, processes=processes)

    def check_all(self, runs: Sequence[StoredRun], definitions: Mapping[str, Definition]) -> "Future[list[RunResult]]":
        """Check the runs; raises CheckersLost if no process is left."""
        if self._checker is None:
            with _alive():
                return self._executor.submit(_check_here, runs, definitions)
        return self._executor.submit(self._checker.check_all, runs, definitions)

    def result_of(self, future: "Future[list[RunResult]]") -> list[RunResult]:
        """Return a chunk's results; raises the checker's error, or CheckersLost if its process died."""
        with _alive():
            return future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._executor.shutdown(cancel_futures=True)


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise CheckersLost("a process that verified runs died; was it out of memory?") from error


_checkers_here: list[RunChecker] = []
"""The single checker of a checking process."""


def _begin_process(lake_url: str, interrogations_folder: Path | None, quick: bool) -> None:  # noqa: FBT001 - initargs
    # Ctrl-C reaches every process of the terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _checkers_here.append(RunChecker.of(Lake.open(lake_url), Registry.load(interrogations_folder), quick=quick))
    # Parsed data has no cycles, and searching for them took a seventh of the time (measured).
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING)


def _check_here(runs: Sequence[StoredRun], definitions: Mapping[str, Definition]) -> list[RunResult]:
    return _checkers_here[0].check_all(runs, definitions)
