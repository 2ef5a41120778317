"""One uploaded file of jobs: checked, then queued, in steps of bounded time that any process may do.

Its folder holds the file, the good jobs (a spool), the bad lines, and ``state.json``, which is replaced as a whole:
nothing else is remembered. What a step that was killed left beyond the state is cut off by the next one; jobs that it
had queued are answered as they are, since their ids come from the import's id and their lines.

Queueing is a transaction for each batch, not one for the file: after a fault what is queued stays, and the next step
queues the rest. One for all would hold, on SQL Server, the gaps of every key to its end (usp_enqueue_jobs looks with
HOLDLOCK): a running job with a neighbouring key could not fail until then, and half a million jobs' locks, which never
escalate on llm.job, are more than a small server's memory. On either engine it would keep sealing, roll-up and exports
waiting, and be of no use within one request.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from derive.contracts import Enqueued, JobInput
from derive.errors import QueueError
from derive.intake.importing import ImportInterrupted, Progress, Queue, check_records, queue_spool
from derive.intake.key_look import KeyLook, count_repeated
from derive.intake.records import Record, read_records
from derive.intake.spool import Spool
from derive.intake.upload_state import MAX_BAD, Held, UploadRefused, UploadState
from derive.interrogations.registry import Registry

FILE, GOOD, BAD, MARKS, STATE, LOCK = "file", "good", "bad", "marks", "state.json", "lock"
MAX_HOLDERS = 20
"""Duplicates that are told with the job that holds their key."""


class Upload:
    """An upload in its folder. Every step may be said again, by whatever process; two at once are one and a refusal."""

    def __init__(self, folder: Path, *, import_id: UUID) -> None:
        self.folder = folder
        self.import_id = import_id

    def begin(self, state: UploadState, file: str) -> None:
        """Take a file over, so that it is gone where it was."""
        self.folder.mkdir(mode=0o700)
        Path(file).replace(self.folder / FILE)
        (self.folder / FILE).chmod(0o600)
        self._write(state)

    def state(self) -> UploadState:
        """Return how far it has come; raise UploadRefused when it is gone."""
        try:
            return UploadState.model_validate_json((self.folder / STATE).read_bytes())
        except FileNotFoundError:
            raise UploadRefused("This upload is no longer kept: upload the file again.") from None

    def check(self, registry: Registry, *, sender: str, seconds: float) -> UploadState:
        """Check lines for so long, at least one; return how far that came. Raises QueueError: what it did is undone."""
        with self.alone():
            before = self.state()
            if before.is_checked:
                return before
            with (
                _open(self.folder / FILE) as rows,
                _open(self.folder / GOOD, cut_at=before.good_bytes) as good,
                _open(self.folder / BAD, cut_at=before.bad_bytes) as bad,
                _open(self.folder / MARKS, cut_at=before.marks_bytes) as marks,
            ):
                portion = _Portion(rows, before, seconds=seconds, bad=bad)
                keys = KeyLook(marks)
                spool = Spool(good, on_add=keys.add)
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
                    "good": before.good + spool.count,
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
        self, queue: Queue, *, actor: str, reason: str, skip_invalid: bool = False, seconds: float
    ) -> UploadState:
        """Queue good jobs for so long, at least one batch; return how far that came.

        The first step's reason stands for all. Raises UploadRefused, and QueueError with what was stored kept.
        """
        with self.alone():
            state = self.state()
            if not state.is_queueing:
                if why := state.why_not(skip_invalid=skip_invalid):
                    raise UploadRefused(why)
                state = self._write(state.model_copy(update={"reason": reason, "is_queueing": True}))
            if state.is_queued:
                return state
            self._queue(state, queue, actor=actor, seconds=seconds)
            return self.state()

    def _queue(self, before: UploadState, queue: Queue, *, actor: str, seconds: float) -> None:
        heard, begun = _Heard(queue, before), time.monotonic()
        stored_line: list[int] = []

        def keep(progress: Progress, **more: Any) -> None:
            stored_line[:] = [progress.last_line or 0]
            told = {
                "queued": before.queued + progress.queued,
                "duplicates": before.duplicates + progress.duplicates,
                "next_to_queue": (progress.last_line or before.next_to_queue - 1) + 1,
                "held": tuple(heard.held),
            }
            self._write(before.model_copy(update=told | more))

        try:
            with Spool(_open(self.folder / GOOD), from_line=before.next_to_queue) as spool:
                progress = queue_spool(
                    spool,
                    queue=heard,
                    actor=actor,
                    reason=before.reason,
                    on_stored=keep,
                    stop_asked=lambda: bool(stored_line) and time.monotonic() - begun > seconds,
                )
        except ImportInterrupted as error:
            if isinstance(error.__cause__, QueueError):
                raise error.__cause__ from None
            return
        keep(progress, is_queued=True)
        for name in (FILE, GOOD, MARKS):
            (self.folder / name).unlink(missing_ok=True)

    def first_good(self, limit: int) -> list[tuple[int, JobInput]]:
        """Return the first good jobs with their lines; none once they are queued."""
        try:
            spool = Spool(_open(self.folder / GOOD))
        except FileNotFoundError:
            return []
        with spool:
            batch = next(spool.batches(), None)
        return [] if batch is None else list(zip(batch.lines, batch.jobs, strict=True))[:limit]

    def bad_lines(self, limit: int | None = None) -> Iterator[tuple[int, str]]:
        """Yield the bad lines, each with what is wrong."""
        try:
            file = _open(self.folder / BAD)
        except FileNotFoundError:
            return
        with file:
            for row in islice(file, limit):
                line, why = json.loads(row)
                yield line, why

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold this upload against every other step; raise UploadRefused where one is held already."""
        import fcntl  # not on Windows, where the server does not run

        if not self.folder.is_dir():
            raise UploadRefused("This upload is no longer kept: upload the file again.")
        with _open(self.folder / LOCK, cut_at=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadRefused("Another request is at work on this upload: wait a moment, then reload.") from None
            yield

    def _write(self, state: UploadState) -> UploadState:
        new = self.folder / f"{STATE}.new"
        with _open(new, cut_at=0) as file:
            file.write(state.model_dump_json().encode())
        new.replace(self.folder / STATE)
        return state


class _Portion:
    """The records of one step: from where the last one ended until its time is over."""

    def __init__(self, rows: BinaryIO, before: UploadState, *, seconds: float, bad: BinaryIO) -> None:
        self._rows, self._before, self._seconds, self._bad_file = rows, before, seconds, bad
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
            if end is not None and (time.monotonic() > end or before.bad + self._bad >= MAX_BAD):
                self._next_line = record.line
                return
            # Reading anew what was checked before is no part of the time, so that every step comes on.
            end = end or time.monotonic() + self._seconds
            yield record

    def _count(self, size: int) -> None:
        self._read_bytes += size

    def add_bad(self, record: Record) -> None:
        self._bad += 1
        self._bad_file.write(json.dumps([record.line, record.why[:500]]).encode() + b"\n")

    def state_after(self) -> UploadState:
        before = self._before
        bad = before.bad + self._bad
        return before.model_copy(
            update={
                "next_line": self._next_line or before.next_line,
                "read_bytes": self._read_bytes if self._next_line else before.size_bytes,
                "bad": bad,
                "bad_bytes": self._bad_file.tell(),
                "is_checked": self._next_line is None or bad >= MAX_BAD,
            }
        )


class _Heard:
    """The queue, listened to for duplicates."""

    def __init__(self, queue: Queue, before: UploadState) -> None:
        self._queue = queue
        self.held = list(before.held)

    def enqueue_many(
        self, jobs: list[JobInput], *, actor: str | None = None, reason: str | None = None
    ) -> list[Enqueued]:
        answers = self._queue.enqueue_many(jobs, actor=actor, reason=reason)
        self.held += [
            Held(dedupe_key=job.dedupe_key or "", job_id=answer.job_id, status=answer.status)
            for job, answer in zip(jobs, answers, strict=True)
            if answer.is_duplicate
        ][: MAX_HOLDERS - len(self.held)]
        return answers


def _open(path: Path, *, cut_at: int | None = None) -> BinaryIO:
    """Open a file to be read, or, cut at so many bytes, to be written on; only this account may look into it."""
    if cut_at is None:
        return path.open("rb")
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    file.truncate(cut_at)
    file.seek(0, os.SEEK_END)
    return file
