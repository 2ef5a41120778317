"""The two passes of an import: check every record into a spool, then queue the spool batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

from derive.contracts import Enqueued, JobInput
from derive.errors import QueueError
from derive.intake.checking import RecordCheck, RecordRefused
from derive.intake.records import Record
from derive.intake.spool import RecordSpool, SpooledJobs
from derive.interrogations.registry import Registry

_LINE_BITS = 40
"""The low bits of an import's job ids, which number its lines."""


class Queue(Protocol):
    """Something that queues jobs: ``derive.queue.JobQueue``."""

    def enqueue_many(
        self,
        jobs: list[JobInput],
        *,
        actor: str | None = None,
        reason: str | None = None,
        batch_id: UUID | None = None,
    ) -> list[Enqueued]:
        """Queue jobs in order."""
        ...


@dataclass(frozen=True)
class ImportCounts:
    """Progress of the second pass: jobs stored, duplicates among them, the last line."""

    queued: int = 0
    duplicates: int = 0
    last_line: int | None = None

    @property
    def stored(self) -> int:
        """Jobs stored so far, including duplicates."""
        return self.queued + self.duplicates


class ImportInterrupted(Exception):
    """The second pass stopped early: ``progress`` is stored, ``next_line`` is where to continue."""

    def __init__(self, progress: ImportCounts, *, next_line: int) -> None:
        super().__init__(f"stored up to line {progress.last_line}; continue with line {next_line}")
        self.progress = progress
        self.next_line = next_line


def new_import_id() -> UUID:
    """Return a random id from which an import's job ids are derived."""
    return UUID(int=uuid4().int >> _LINE_BITS << _LINE_BITS)


def is_of_import(job_id: UUID, import_id: UUID) -> bool:
    """Whether a job's id was derived from this import."""
    return job_id.int >> _LINE_BITS == import_id.int >> _LINE_BITS


def check_records(
    records: Iterable[Record],
    *,
    registry: Registry,
    import_id: UUID,
    spool: RecordSpool,
    on_bad: Callable[[Record], object],
    sender: str | None = None,
    on_asked: Callable[[Set[str]], object] = lambda _: None,
) -> int:
    """First pass: write every valid job to the spool, report every invalid record, and return how many were invalid.

    With a ``sender``, records that name another actor are invalid. ``on_asked`` is told at the end which
    interrogations the valid ones ask for.
    """
    check = RecordCheck(registry, import_id=import_id, sender=sender)
    bad = 0
    for record in records:
        why = record.why
        if record.values is not None:
            try:
                spool.add(record.line, check.check(record.values, line=record.line))
                continue
            except RecordRefused as error:
                why = str(error)
        bad += 1
        on_bad(Record(record.line, None, why))
    on_asked(check.asked_keys)
    return bad


def queue_spool(
    spool: RecordSpool,
    *,
    queue: Queue,
    actor: str | None,
    reason: str | None = None,
    batch_id: UUID | None = None,
    on_stored: Callable[[ImportCounts], object] = lambda _: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> ImportCounts:
    """Second pass: queue the spool, one transaction per batch, and return the totals.

    ``actor`` is used for jobs whose record names none, ``reason`` is saved to each first event; with ``batch_id`` the
    jobs belong to that row of ``llm.batch``, which the caller fills. ``stop_asked`` is checked between
    transactions. Raises ImportInterrupted when it returns true, or from a QueueError. Lines whose answer was lost may
    still be stored: repeating them under the same import id stores nothing twice.
    """
    progress = ImportCounts()
    for batch in _read_ahead(spool.batches()):
        if stop_asked():
            raise ImportInterrupted(progress, next_line=batch.lines[0])
        try:
            answers = queue.enqueue_many(list(batch.jobs), actor=batch.actor or actor, reason=reason, batch_id=batch_id)
        except QueueError as error:
            raise ImportInterrupted(progress, next_line=batch.lines[0]) from error
        duplicates = sum(answer.is_duplicate for answer in answers)
        progress = ImportCounts(
            queued=progress.queued + len(answers) - duplicates,
            duplicates=progress.duplicates + duplicates,
            last_line=batch.lines[-1],
        )
        on_stored(progress)
    return progress


def _read_ahead(batches: Iterator[SpooledJobs]) -> Iterator[SpooledJobs]:
    """Read the next batch while the database works on this one, at most one ahead."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake") as reader:
        coming: Future[SpooledJobs | None] = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch
