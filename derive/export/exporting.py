"""One export: rows are written to a partial file, which is renamed when it is complete.

Whatever happens in between (Ctrl-C, a full disk, a lost database, a killed process), other programs see the complete
file or none, and the next attempt continues after the last rows that are safely on disk.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from derive.errors import ConfigurationError, HolocronError
from derive.export.columns import COLUMNS
from derive.export.forms import Csv, FileFormat, JsonLines, Writer
from derive.export.horizon import settled_number
from derive.export.parquet import ArrowStream, write_parquet
from derive.export.progress import ExportCheckpoint, ExportOrder, load, save, sync_folder
from derive.export.reading import Batch, last_number, read_ahead, read_range
from derive.sql.clock import database_now

SAVE_SECONDS = 1.0
"""How often progress is saved; rows written since then are written again after a crash."""

Show = Callable[[ExportCheckpoint], object]


class ExportStopped(HolocronError):
    """The export stopped early and can be resumed; ``progress`` is what was saved."""

    def __init__(self, message: str, progress: ExportCheckpoint) -> None:
        super().__init__(message)
        self.progress = progress


class Export:
    """One file being written. ``cursor``: the file of an incremental export; otherwise progress is stored beside it."""

    def __init__(self, order: ExportOrder, out: Path, *, cursor: Path | None = None) -> None:
        self._order = order
        self._out = out
        self._cursor = cursor
        self._partial = out.with_name(f"{out.name}.partial")
        self._state = cursor or out.with_name(f"{out.name}.progress")
        self.writer = writer_of(order)

    def begin(self, *, overwrite: bool = False) -> ExportCheckpoint:
        """Return the progress of a new export; raises ConfigurationError if one was started here or with its cursor."""
        known = load(self._state)
        if known is not None and known.out is not None:
            known = self._left_behind(known)
        if known is not None and known.order != self._order:
            raise ConfigurationError(
                f"{self._state} belongs to an export with another filter or format: give the same ones as before, or "
                "another file"
            )
        if self._out.exists() and not overwrite:
            raise ConfigurationError(f"{self._out} exists already: choose another name, or give --overwrite")
        if self._partial.exists():
            raise ConfigurationError(f"{self._partial} exists already: remove it, or continue with --resume")
        progress = _planned(self._order, known if self._cursor else None, is_feed=self._cursor is not None)
        progress = progress.model_copy(update={"out": str(self._out.absolute())})
        try:
            save(self._state, progress)
        except OSError as error:
            raise ConfigurationError(f"{self._state} cannot be written: {error.strerror or error}") from error
        return progress

    def resumed(self) -> ExportCheckpoint:
        """Return the progress of the export started here; raises ConfigurationError if there is none."""
        known = load(self._state)
        if known is None or known.out != str(self._out.absolute()) or not self._partial.exists():
            raise ConfigurationError(f"there is no export to {self._out} to continue: omit --resume")
        # An age such as 7d means another time by now: keep the original one.
        times = {name: getattr(known.order.selection, name) for name in ("since", "until")}
        selection = self._order.selection.model_copy(update=times)
        if known.order != self._order.model_copy(update={"selection": selection}):
            raise ConfigurationError(
                f"the export to {self._out} was started with another filter or format: give the same ones"
            )
        self._order = known.order
        return known

    def run(self, progress: ExportCheckpoint, *, show: Show, is_stopping: Callable[[], bool]) -> ExportCheckpoint:
        """Write the remaining rows and rename the file; raises ExportStopped, QueueError."""
        try:
            with self._partial.open("ab", buffering=0) as file, _locked(file, self._partial):
                file.truncate(progress.byte_count)
                progress = self._write(file, progress, show=show, is_stopping=is_stopping)
            self._publish()
        except OSError as error:
            raise ExportStopped(f"{self._out} cannot be written: {error.strerror or error}", progress) from error
        self._end(progress)
        return progress

    def _write(
        self, file: RawIOBase, progress: ExportCheckpoint, *, show: Show, is_stopping: Callable[[], bool]
    ) -> ExportCheckpoint:
        if progress.byte_count == 0:
            progress = progress.model_copy(update={"byte_count": _append(file, self.writer.head())})
        kept, kept_at = progress, time.monotonic()
        batches = _batches(self._order, progress)
        size, rows = progress.byte_count, progress.row_count
        try:
            for position, batch in batches:
                size, rows = size + _append(file, self.writer.rows(batch)), rows + len(batch)
                progress = progress.model_copy(update={"position": position, "byte_count": size, "row_count": rows})
                if batch:
                    continue
                show(progress)
                if is_stopping() and not progress.is_read:
                    kept = self._keep(file, progress)
                    raise ExportStopped("stopped", kept)
                if time.monotonic() - kept_at > SAVE_SECONDS:
                    kept, kept_at = self._keep(file, progress), time.monotonic()
        except OSError as error:
            raise ExportStopped(f"{self._out} cannot be written: {error.strerror or error}", kept) from error
        return self._keep(file, progress)

    def _keep(self, file: RawIOBase, progress: ExportCheckpoint) -> ExportCheckpoint:
        """Save the progress once the rows are on disk."""
        os.fsync(file.fileno())
        save(self._state, progress)
        return progress

    def _publish(self) -> None:
        if self._order.form is not FileFormat.PARQUET:
            self._partial.replace(self._out)
        else:
            made = self._out.with_name(f".{self._out.name}.making")
            try:
                write_parquet(self._partial, made)
                with made.open("rb+") as file:
                    os.fsync(file.fileno())
                made.replace(self._out)
            finally:
                with suppress(OSError):
                    made.unlink()
            self._partial.unlink()
        sync_folder(self._out.parent)

    def _end(self, progress: ExportCheckpoint) -> None:
        if self._cursor is None:
            self._state.unlink()
        else:
            save(self._state, progress.model_copy(update={"out": None}))

    def _left_behind(self, known: ExportCheckpoint) -> ExportCheckpoint | None:
        """Return the real state of an export recorded as unfinished, if it is finished or never started."""
        out = Path(known.out or "")
        if out.with_name(f"{out.name}.partial").exists():
            raise ConfigurationError(f"an export to {out} was started and has not ended: continue it with --resume")
        if known.is_read and out.exists():
            # The file was renamed, but the process died before saving that.
            return known.model_copy(update={"out": None})
        return None if self._cursor is None else known.model_copy(update={"out": None, "through": known.after})


def export_to_stream(
    order: ExportOrder, sink: BinaryIO, *, cursor: Path | None, show: Show, is_stopping: Callable[[], bool]
) -> ExportCheckpoint:
    """Write all rows to a stream, then move the cursor, if any; raises as ``Export.run``.

    A stream cannot be rewound, so it cannot be resumed: the cursor moves once everything is written.
    """
    writer = writer_of(order)
    known = load(cursor) if cursor else None
    if known is not None and (known.order != order or known.out is not None):
        raise ConfigurationError(
            f"{cursor} belongs to an export with another filter or format, or to an unfinished one"
        )
    progress = _planned(order, known, is_feed=cursor is not None)
    sink.write(writer.head())
    for position, batch in _batches(order, progress):
        sink.write(writer.rows(batch))
        rows = progress.row_count + len(batch)
        progress = progress.model_copy(update={"position": position, "row_count": rows})
        show(progress)
        if is_stopping() and not progress.is_read:
            raise ExportStopped("stopped", progress)
    sink.flush()
    if cursor is not None:
        save(cursor, progress)
    return progress


def _planned(order: ExportOrder, known: ExportCheckpoint | None, *, is_feed: bool) -> ExportCheckpoint:
    after = known.through if known else 0
    through = settled_number(after=after) if is_feed else last_number()
    # Read the clock last: runs with these numbers had started before it.
    return ExportCheckpoint(
        order=order, after=after, through=max(after, through), ended_by=database_now(), position=after
    )


def _batches(order: ExportOrder, progress: ExportCheckpoint) -> Iterator[tuple[int, Batch]]:
    return read_ahead(
        read_range(order.selection, after=progress.position, through=progress.through, ended_by=progress.ended_by)
    )


def _append(file: RawIOBase, content: bytes) -> int:
    """Write everything: a nearly full disk accepts only a part first."""
    waiting = memoryview(content)
    while waiting:
        waiting = waiting[file.write(waiting) or 0 :]
    return len(content)


def writer_of(order: ExportOrder) -> Writer:
    """Return the writer for an order; raises ConfigurationError if Parquet's package is missing."""
    columns = COLUMNS[order.selection.rows]
    if order.form is FileFormat.JSONL:
        return JsonLines(columns)
    if order.form is FileFormat.CSV:
        return Csv(columns, is_exact=order.is_exact)
    return ArrowStream(columns)


@contextmanager
def _locked(file: RawIOBase, path: Path) -> Iterator[None]:
    """Lock a file against another export to the same name, where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(f"another export is already writing {path} now") from error
    yield
