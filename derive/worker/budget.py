"""How many more jobs may be claimed, by one worker or shared by several processes."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from derive.worker.options import WorkerOptions

_DIGITS = 20


class JobBudget:
    """A worker's own budget; unlimited by default."""

    def __init__(self, limit: int | None) -> None:
        self._left = sys.maxsize if limit is None else limit

    @property
    def left(self) -> int:
        """How many more jobs may be claimed now."""
        return self._left

    def take(self, jobs: int) -> int:
        """Take up to this many; return how many were available. Give back those not claimed."""
        taken = min(jobs, self._left)
        self._left -= taken
        return taken

    def give_back(self, jobs: int) -> None:
        """Give back what was taken and not claimed."""
        self._left += jobs


class SharedBudget(JobBudget):
    """A budget in a file inherited by all processes of a parent; POSIX only.

    What a killed process took and did not claim is lost to the others.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(0)
        self._descriptor = descriptor

    @classmethod
    def write(cls, descriptor: int, limit: int) -> None:
        """Write the number to a new file."""
        os.pwrite(descriptor, f"{limit:{_DIGITS}}".encode(), 0)

    @property
    def left(self) -> int:
        """How many more jobs may be claimed, by any of the processes."""
        with self._locked():
            return self._read()

    def take(self, jobs: int) -> int:
        """As ``JobBudget.take``, atomic across processes."""
        with self._locked():
            self._left = self._read()
            taken = super().take(jobs)
            self.write(self._descriptor, self._left)
        return taken

    def give_back(self, jobs: int) -> None:
        """As ``JobBudget.give_back``."""
        if jobs:
            with self._locked():
                self.write(self._descriptor, self._read() + jobs)

    def _read(self) -> int:
        return int(os.pread(self._descriptor, _DIGITS, 0))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl  # not on Windows

        # A lock per process: all of them inherited the same descriptor.
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def budget_of(options: WorkerOptions) -> JobBudget:
    """Return the budget for a worker's lifetime."""
    if options.budget_descriptor is not None:
        return SharedBudget(options.budget_descriptor)
    return JobBudget(1 if options.once else options.max_jobs)
