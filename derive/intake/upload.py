"""One uploaded file of jobs: checked in time-limited steps, then queued as a whole, by any process.

Its folder holds the file, the valid jobs (a spool), the invalid lines and ``state.json``, which is replaced atomically;
there is no other state. Anything a killed step wrote beyond the state is cut off by the next one.

Queueing stages the jobs in invisible parts, and then publishes all of them by one call. If anything fails, nothing is
queued and it can be retried. The next state is written to its own file before the publishing call commits, and replaces
``state.json`` afterwards. If the process is killed in between, the next attempt recognises by one of its jobs that
everything was queued, and with what result.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from derive.batch_contracts import BatchInput
from derive.contracts import Enqueued, JobInput
from derive.intake.importing import check_records, is_of_import
from derive.intake.key_lookup import KeyLookup, count_repeated
from derive.intake.records import Record, read_records
from derive.intake.spool import RecordSpool
from derive.intake.upload_state import HeldKey, UploadRefused, UploadState
from derive.interrogations.registry import Registry
from derive.models import Job
from derive.queue import JobQueue
from derive.sql.reading import reading

FILE, GOOD, BAD, MARKS, LOCK = "file", "good", "bad", "marks", "lock"
STATE, NEXT_STATE = "state.json", "next-state.json"
MAX_HOLDERS = 20
"""Duplicates shown with the job that holds their key."""


class Upload:
    """An upload in its folder. Every step is repeatable, by any process; one of two concurrent steps is refused."""

    def __init__(self, folder: Path, *, import_id: UUID) -> None:
        self.folder = folder
        self.import_id = import_id

    def begin(self, state: UploadState, file: str) -> None:
        """Move a file into the upload's folder."""
        self.folder.mkdir(mode=0o700)
        Path(file).replace(self.folder / FILE)
        (self.folder / FILE).chmod(0o600)
        self._write(state)

    def state(self) -> UploadState:
        """Return its progress; raise UploadRefused if it is gone."""
        try:
            return UploadState.model_validate_json((self.folder / STATE).read_bytes())
        except FileNotFoundError:
            raise UploadRefused("This upload is no longer kept: upload the file again.") from None

    def check(self, registry: Registry, *, sender: str, seconds: float) -> UploadState:
        """Check lines for this many seconds, at least one; return the progress. A QueueError undoes the step."""
        with self.locked():
            before = self.state()
            if before.is_checked:
                return before
            with (
                _open(self.folder / FILE) as rows,
                _open(self.folder / GOOD, cut_at=before.good_bytes) as good,
                _open(self.folder / BAD, cut_at=before.bad_bytes) as bad,
                _open(self.folder / MARKS, cut_at=before.marks_bytes) as marks,
            ):
                keys = KeyLookup(marks)
                spool = RecordSpool(good, on_add=keys.add)
                portion = _RecordReader(rows, before, seconds=seconds, spool=spool, bad=bad)
                check_records(
                    portion,
                    registry=registry,
                    import_id=self.import_id,
                    spool=spool,
                    on_bad=portion.add_bad,
                    sender=sender,
                )
                keys.end()
                told = {
                    "good_bytes": good.tell(),
                    "held_before": before.held_before + keys.held,
                    "without_evidence": before.without_evidence + spool.without_evidence,
                    "marks_bytes": marks.tell(),
                }
                after = portion.state_after().model_copy(update=told)
                if after.is_checked:
                    after = after.model_copy(update={"repeated": count_repeated(marks)})
            self._write(after)
        return after

    def queue(
        self, queue: JobQueue, *, actor: str, reason: str, skip_invalid: bool = False, batch: BatchInput | None = None
    ) -> UploadState:
        """Queue all valid jobs or none. Raises UploadRefused, and QueueError when nothing was queued.

        With ``batch`` they belong to the open batch of its name, made if there is none, which has all its jobs then.
        """
        with self.locked():
            state = self.state()
            if state.is_queued:
                return state
            if why := state.why_not(skip_invalid=skip_invalid):
                raise UploadRefused(why)
            if not self._was_committed():
                batch_id = queue.open_batch(batch, actor=actor, reason=reason).batch_id if batch else None
                with RecordSpool(_open(self.folder / GOOD)) as spool:
                    queue.enqueue_whole(
                        lambda: (batch.jobs for batch in spool.batches()),
                        actor=actor,
                        reason=reason,
                        batch_id=batch_id,
                        before_commit=lambda answers: self._keep(state, spool, answers, reason, batch_id),
                    )
            (self.folder / NEXT_STATE).replace(self.folder / STATE)
            for name in (FILE, GOOD, MARKS):
                (self.folder / name).unlink(missing_ok=True)
            return self.state()

    def _keep(
        self,
        state: UploadState,
        spool: RecordSpool,
        answers: Sequence[Enqueued],
        reason: str,
        batch_id: UUID | None,
    ) -> None:
        duplicates = sum(answer.is_duplicate for answer in answers)
        told = {
            "is_queued": True,
            "reason": reason,
            "batch_id": batch_id,
            "queued": len(answers) - duplicates,
            "duplicates": duplicates,
            "held": _held(spool, answers),
            "proof": next((one.job_id for one in answers if is_of_import(one.job_id, self.import_id)), None),
        }
        self._write(state.model_copy(update=told), name=NEXT_STATE)

    def _was_committed(self) -> bool:
        """Whether an earlier attempt published the jobs but died before replacing the state."""
        try:
            proof = UploadState.model_validate_json((self.folder / NEXT_STATE).read_bytes()).proof
        except FileNotFoundError:
            return False
        return proof is not None and reading(Job.objects.filter(job_id=proof).exists)

    def first_good(self, limit: int) -> list[tuple[int, JobInput]]:
        """Return the first valid jobs with their lines; none once they are queued."""
        try:
            spool = RecordSpool(_open(self.folder / GOOD))
        except FileNotFoundError:
            return []
        with spool:
            batch = next(spool.batches(), None)
        return [] if batch is None else list(zip(batch.lines, batch.jobs, strict=True))[:limit]

    def bad_lines(self, limit: int | None = None) -> Iterator[tuple[int, str]]:
        """Yield the invalid lines, each with the reason."""
        try:
            file = _open(self.folder / BAD)
        except FileNotFoundError:
            return
        with file:
            for row in islice(file, limit):
                line, why = json.loads(row)
                yield line, why

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock this upload against other steps; raise UploadRefused if it is locked."""
        import fcntl  # not on Windows, where the server does not run

        if not self.folder.is_dir():
            raise UploadRefused("This upload is no longer kept: upload the file again.")
        with _open(self.folder / LOCK, cut_at=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadRefused("Another request is at work on this upload: wait a moment, then reload.") from None
            yield

    def _write(self, state: UploadState, *, name: str = STATE) -> None:
        new = self.folder / "new"
        with _open(new, cut_at=0) as file:
            file.write(state.model_dump_json().encode())
        new.replace(self.folder / name)


class _RecordReader:
    """The records of one step: from the end of the last one until its time is over or there are too many."""

    def __init__(
        self, rows: BinaryIO, before: UploadState, *, seconds: float, spool: RecordSpool, bad: BinaryIO
    ) -> None:
        self._rows, self._before, self._seconds, self._spool, self._bad_file = rows, before, seconds, spool, bad
        self._read_bytes = 0
        self._bad = 0
        self._next_line: int | None = None

    def __iter__(self) -> Iterator[Record]:
        before = self._before
        records = read_records(self._rows, before.line_format, from_line=before.next_line, on_bytes=self._count)
        end: float | None = None
        for record in records:
            if record.line < before.next_line:
                continue  # a line that is no CSV is told wherever the reading begins
            if end is not None and (time.monotonic() > end or self._counted().gave_up):
                self._next_line = record.line
                return
            # Rereading checked lines does not count, so that every step makes progress.
            end = end or time.monotonic() + self._seconds
            yield record

    def _count(self, size: int) -> None:
        self._read_bytes += size

    def add_bad(self, record: Record) -> None:
        self._bad += 1
        self._bad_file.write(json.dumps([record.line, record.why[:500]]).encode() + b"\n")

    def state_after(self) -> UploadState:
        counted = self._counted()
        return counted.model_copy(
            update={
                "next_line": self._next_line or counted.next_line,
                "read_bytes": self._read_bytes if self._next_line else counted.size_bytes,
                "bad_bytes": self._bad_file.tell(),
                "is_checked": self._next_line is None or counted.gave_up,
            }
        )

    def _counted(self) -> UploadState:
        before = self._before
        return before.model_copy(update={"good": before.good + self._spool.count, "bad": before.bad + self._bad})


def _held(spool: RecordSpool, answers: Sequence[Enqueued]) -> tuple[HeldKey, ...]:
    """Return the first duplicates with the jobs that hold their keys."""
    places = [place for place, answer in enumerate(answers) if answer.is_duplicate][:MAX_HOLDERS]
    if not places:
        return ()
    keys = [job.dedupe_key or "" for batch in spool.batches() for job in batch.jobs]
    return tuple(
        HeldKey(dedupe_key=keys[place], job_id=answers[place].job_id, status=answers[place].status) for place in places
    )


def _open(path: Path, *, cut_at: int | None = None) -> BinaryIO:
    """Open a file for reading, or, truncated to this many bytes, for appending; private to this account."""
    if cut_at is None:
        return path.open("rb")
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    file.truncate(cut_at)
    file.seek(0, os.SEEK_END)
    return file
