"""The two passes of an import: check every record into a spool, then queue the spool batch by batch."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

from derive.contracts import Enqueued, JobInput
from derive.errors import QueueError
from derive.intake.checking import RecordCheck, RecordRefused
from derive.intake.records import Record
from derive.intake.spool import Batch, RecordSpool
from derive.interrogations.registry import Registry

_LINE_BITS = 40
"""The low bits of an import's job ids that count its lines."""


class Queue(Protocol):
    """What queues: ``derive.queue.JobQueue``."""

    def enqueue_many(
        self, jobs: list[JobInput], *, actor: str | None = None, reason: str | None = None
    ) -> list[Enqueued]:
        """Queue jobs in order."""
        ...


@dataclass(frozen=True)
class ImportCounts:
    """How far the second pass has come: jobs stored, those of them that another job's key answered, the last line."""

    queued: int = 0
    duplicates: int = 0
    last_line: int | None = None

    @property
    def stored(self) -> int:
        """Jobs answered so far, duplicates among them."""
        return self.queued + self.duplicates


class ImportInterrupted(Exception):
    """The second pass ended before its end: ``progress`` is stored, ``next_line`` is where to go on."""

    def __init__(self, progress: ImportCounts, *, next_line: int) -> None:
        super().__init__(f"stored up to line {progress.last_line}; continue with line {next_line}")
        self.progress = progress
        self.next_line = next_line


def new_import_id() -> UUID:
    """Return a random id from which an import's jobs get theirs."""
    return UUID(int=uuid4().int >> _LINE_BITS << _LINE_BITS)


def is_of_import(job_id: UUID, import_id: UUID) -> bool:
    """Whether a job got its id from this import, and did not bring it along."""
    return job_id.int >> _LINE_BITS == import_id.int >> _LINE_BITS


def check_records(
    records: Iterable[Record],
    *,
    registry: Registry,
    import_id: UUID,
    spool: RecordSpool,
    on_bad: Callable[[Record], object],
    sender: str | None = None,
) -> int:
    """First pass: put every valid job into the spool, tell of every bad record, and return how many were bad.

    With a ``sender``, a record that names another actor is bad.
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
    return bad


def queue_spool(
    spool: RecordSpool,
    *,
    queue: Queue,
    actor: str | None,
    reason: str | None = None,
    on_stored: Callable[[ImportCounts], object] = lambda _: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> ImportCounts:
    """Second pass: queue the spool, each batch in one transaction, and return what became of all of it.

    ``actor`` stands for jobs whose record names none, ``reason`` in the first event of each; ``stop_asked`` is looked
    at between batches. Raises ImportInterrupted when it said so, or, from its QueueError, when the queue could not go
    on. A batch whose answer was lost may be stored nevertheless: the same lines said again under the same import id
    store nothing twice.
    """
    progress = ImportCounts()
    for batch in _read_ahead(spool.batches()):
        if stop_asked():
            raise ImportInterrupted(progress, next_line=batch.lines[0])
        try:
            answers = queue.enqueue_many(list(batch.jobs), actor=batch.actor or actor, reason=reason)
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


def _read_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Read the next batch while the database works on this one; only one is ever ahead."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake") as reader:
        coming: Future[Batch | None] = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch
