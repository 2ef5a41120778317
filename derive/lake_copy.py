"""Copies a lake to another one, folder by folder, so that it can be stopped and started again.

The lake's id is written last: until then no database accepts the copy.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from derive.errors import LakeConflict, LakeError, LakePathRefused
from derive.lake import MANIFEST_NAME, Lake
from derive.lake_stores.identity import IDENTITY_NAME
from derive.lake_stores.store import Entry

THREADS = 8
WHOLE_BYTES = 8 << 20
"""Files up to this size are read at once; greater ones are streamed."""
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class CopiedFolder:
    """What was done with one folder. ``faults`` say which files are not in the target as they are in the source."""

    folder: str
    files: int = 0
    bytes: int = 0
    skipped: int = 0
    faults: tuple[str, ...] = ()


@dataclass
class CopySummary:
    """Totals of a copy: files written now, files that were there, and what could not be copied."""

    folders: int = 0
    files: int = 0
    bytes: int = 0
    skipped: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, done: CopiedFolder) -> None:
        """Add one folder."""
        self.folders += 1
        self.files += done.files
        self.bytes += done.bytes
        self.skipped += done.skipped
        self.faults += done.faults


def copy_lake(
    source: Lake, target: Lake, *, on_progress: Callable[[CopySummary], None] = lambda _: None, threads: int = THREADS
) -> CopySummary:
    """Copy every file but the lake's id, and read each back; raises LakeUnavailable if either lake does not work.

    A file that is there with the same size is not copied again if its folder was finished before; call it again until
    nothing is written any more.
    """
    summary = CopySummary()
    folders = source.folders()
    with ThreadPoolExecutor(threads, "lake-copy") as pool:
        working: set[Future[CopiedFolder]] = set()
        try:
            while True:
                working |= {
                    pool.submit(copy_folder, source, target, folder)
                    for folder in islice(folders, 2 * threads - len(working))
                }
                if not working:
                    return summary
                done, working = wait(working, return_when=FIRST_COMPLETED)
                for one in done:
                    summary.add(one.result())
                    on_progress(summary)
        finally:
            for one in working:
                one.cancel()


def copy_folder(source: Lake, target: Lake, folder: str) -> CopiedFolder:
    """Copy the files of one folder, the manifest last. Raises LakeUnavailable."""
    try:
        there = _files_of(target, folder)
        here = _files_of(source, folder)
    except LakePathRefused as error:
        return CopiedFolder(folder, faults=(str(error),))
    # The manifest is written when all else is durable, so a folder that has it is whole.
    was_finished = MANIFEST_NAME in there or MANIFEST_NAME not in here
    files = bytes_ = skipped = 0
    faults = []
    for name in sorted(here, key=lambda one: (one == MANIFEST_NAME, one)):
        if was_finished and there.get(name) == here[name]:
            skipped += 1
            continue
        try:
            bytes_ += _copy_file(source, target, folder, name, here[name])
            files += 1
        except LakeConflict:
            faults.append(f"{_uri(folder, name)}: the target has a file of this name with other bytes, which stay")
        except LakeError as error:
            faults.append(f"{_uri(folder, name)}: {error}")
    return CopiedFolder(folder, files, bytes_, skipped, tuple(faults))


def missing_at(source: Lake, target: Lake) -> Iterator[str]:
    """Yield each file of the source that the target lacks, or has with another size."""
    for folder in source.folders():
        there: dict[str, int] = {}
        with suppress(LakePathRefused):
            there = _files_of(target, folder)
        for name, size in _files_of(source, folder).items():
            if there.get(name) != size:
                yield _uri(folder, name)


def _files_of(lake: Lake, folder: str) -> dict[str, int]:
    """Return name and size of a folder's files, without the lake's id."""
    entries: list[Entry] = lake.list_folder(folder) if folder else lake.list_root()
    return {
        entry.name: entry.byte_count
        for entry in entries
        if not entry.is_folder and not (folder == "" and entry.name == IDENTITY_NAME)
    }


def _copy_file(source: Lake, target: Lake, folder: str, name: str, size: int) -> int:
    """Copy one file and read it back; return its size. Raises LakeError and LakeUnavailable."""
    uri = _uri(folder, name)
    if size <= WHOLE_BYTES or not folder:
        data = source.read(uri)
        facts = target.write(folder, name, data) if folder else target.write_at_root(name, data)
    else:
        with source.open_file(uri) as stream, target.spool(folder, name) as spool:
            while chunk := stream.read(_CHUNK_BYTES):
                spool.write(chunk)
            facts = spool.finish()
    if target.hash_file(uri) != (facts.content_sha256, facts.byte_count):
        raise LakeError("read back from the target, it is another file: check the target's disk or network")
    return facts.byte_count


def _uri(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
