"""Checked jobs on disk, between the checking pass and the queueing pass."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Self

from derive.contracts import JobInput
from derive.intake.checking import CheckedJob

BATCH_JOBS = 2_000
"""One call of ``usp_enqueue_jobs``."""
BATCH_BYTES = 8 * 1024 * 1024
"""A batch of long jobs ends sooner, so that memory stays bounded."""


@dataclass(frozen=True, slots=True)
class SpooledJobs:
    """Jobs queued in one call, with their lines, all by one actor."""

    lines: tuple[int, ...]
    jobs: tuple[JobInput, ...]
    actor: str | None


class RecordSpool:
    """A temporary file of checked jobs, deleted on close. ``count`` is the number added.

    ``file`` is a permanent one instead, open at its end; the spool closes it. ``on_add`` receives each job added,
    ``without_evidence`` counts jobs without any.
    """

    def __init__(self, file: IO[bytes] | None = None, *, on_add: Callable[[JobInput], object] | None = None) -> None:
        self.count = 0
        self.without_evidence = 0
        self._on_add = on_add
        self._file = file or TemporaryFile(prefix="holocron-intake-")  # noqa: SIM115  closed by close()

    def add(self, line: int, checked: CheckedJob) -> None:
        """Add a job."""
        head = f"{line}\t{'' if checked.actor is None else checked.actor.encode().hex()}\t"
        self._file.write(f"{head}{checked.job.model_dump_json(exclude_none=True)}\n".encode())
        self.count += 1
        self.without_evidence += checked.lacks_evidence
        if self._on_add is not None:
            self._on_add(checked.job)

    def batches(self) -> Iterator[SpooledJobs]:
        """Yield all jobs in line order, one batch in memory."""
        self._file.seek(0)
        lines: list[int] = []
        jobs: list[JobInput] = []
        batch_actor, size = b"", 0
        for row in self._file:
            number, actor, text = row.split(b"\t", 2)
            if jobs and (len(jobs) == BATCH_JOBS or size + len(text) > BATCH_BYTES or actor != batch_actor):
                yield _batch(lines, jobs, batch_actor)
                lines, jobs, size = [], [], 0
            batch_actor = actor
            lines.append(int(number))
            jobs.append(_job(text))
            size += len(text)
        if jobs:
            yield _batch(lines, jobs, batch_actor)

    def close(self) -> None:
        """Close the file; a temporary one is deleted."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _batch(lines: list[int], jobs: list[JobInput], actor: bytes) -> SpooledJobs:
    return SpooledJobs(tuple(lines), tuple(jobs), bytes.fromhex(actor.decode()).decode() if actor else None)


def _job(text: bytes) -> JobInput:
    return JobInput.model_validate_json(text)
