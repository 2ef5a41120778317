"""The lake in a local folder: create a file under a hidden name, fsync it, then rename it without overwriting."""

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from derive.errors import LakeConflict, LakeError, LakeFileMissing, LakePathRefused, LakeUnavailable
from derive.lake_stores.directory import FOLDER_MODE, Directory, open_directory
from derive.lake_stores.identity import IDENTITY_NAME, MAX_IDENTITY_BYTES, WHAT_TO_DO, decode_identity
from derive.lake_stores.staging import FolderStage, LocalSpool, ReachedFolder, is_hidden_name, remove_tree, write_fully
from derive.lake_stores.store import Entry, SpoolFile, describe_unavailable

PROBE_BYTES = 65_536
"""Large enough to detect a full disk, on which a few bytes might still fit."""

_OR_RESTART = ", or restart to take it as it is now"
_MAX_REMEMBERED_FOLDERS = 4_096
_CHUNK_BYTES = 1 << 18
"""Read size, larger than nearly every file of a run."""


class LocalStore:
    """A folder on this machine or a mount. Safe for several threads and processes."""

    def __init__(self, root: str) -> None:
        """Set the root without accessing it, except that links in its path are resolved once, now."""
        self.root = os.path.realpath(root)
        self._lock = threading.Lock()
        self._identity: tuple[int, int] | None = None
        self._lake_id: UUID | None = None
        # Folders known to survive a power failure, so that their parents need no further fsync.
        self._durable: set[str] = set()

    def put(
        self,
        folder: str,
        files: Mapping[str, bytes],
        *,
        spooled: SpoolFile | None = None,
        last: Mapping[str, bytes] | None = None,
    ) -> None:
        """As ``Store.put``; syncs the folder twice with a ``last`` file, once otherwise."""
        with self._unavailable_at(folder), contextlib.ExitStack() as held:
            if isinstance(spooled, LocalSpool):
                place = spooled.place
                stage = held.enter_context(contextlib.closing(FolderStage(place.directory, folder)))
                stage.take_over(spooled)
            else:
                place = held.enter_context(contextlib.closing(self._reach(folder, create=True)))
                stage = held.enter_context(contextlib.closing(FolderStage(place.directory, folder)))
            stage.write({**files, **(last or {})})
            stage.sync()
            self._settle(place)
            stage.publish(len(stage.waiting) - len(last or {}))
            place.directory.sync()
            if last:
                stage.publish(len(last))
                place.directory.sync()

    def spool(self, folder: str, name: str) -> LocalSpool:
        """As ``Store.spool``; the bytes are written directly to a hidden file in the folder."""
        with self._unavailable_at(folder):
            place = self._reach(folder, create=True)
            try:
                return LocalSpool(f"{self.root}/{folder}/{name}", place, name)
            except BaseException:
                place.close()
                raise

    def read_unfinished(self, folder: str, name: str, *, max_bytes: int) -> tuple[bytes, int] | None:
        """As ``Store.read_unfinished``: the file with the hidden name, the newest if a writer left one behind."""
        try:
            with self.reading(folder), contextlib.closing(self._reach(folder, create=False)) as place:
                found = [(facts.st_mtime_ns, one) for one, facts in place.directory.scan() if is_hidden_name(one, name)]
                return _read_end(place.directory.open_file(max(found)[1]), max_bytes) if found else None
        except LakeFileMissing:
            # It is finished by now, or not begun.
            return None

    def open_file(self, uri: str) -> BinaryIO:
        """As ``Store.open_file``."""
        folder, _, name = uri.rpartition("/")
        with self.reading(uri), contextlib.closing(self._reach(folder, create=False)) as place:
            return os.fdopen(place.directory.open_file(name), "rb")

    def open_folder(self, folder: str) -> "LocalFolder":
        """As ``Store.open_folder``."""
        return LocalFolder(self, folder, self._reach_to_read(folder))

    def delete_folder(self, folder: str) -> None:
        """As ``Store.delete_folder``."""
        parent, _, name = folder.rpartition("/")
        with self._lock:
            self._durable.discard(folder)
        try:
            place = self._reach_to_read(parent)
        except LakeFileMissing:
            return
        with self._unavailable_at(folder), contextlib.closing(place):
            remove_tree(place.directory, name)
            place.directory.sync()

    def require(self, lake_id: UUID) -> None:
        """As ``Store.require``."""
        with self._lock:
            self._lake_id, self._identity = lake_id, None

    def probe(self) -> None:
        """As ``Store.probe``; creates the root if this process has not used it yet."""
        with self._unavailable_at(), self._open_root(create=True) as root:
            hidden = f".probe.{secrets.token_hex(8)}"
            descriptor = root.create_file(hidden)
            try:
                write_fully(descriptor, bytes(PROBE_BYTES))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
                root.unlink(hidden)

    def _reach(self, folder: str, *, create: bool) -> ReachedFolder:
        """Open a folder step by step from the root, which is the empty path; the caller closes it."""
        place = ReachedFolder(self._open_root(create=create))
        try:
            reached = ""
            for part in folder.split("/") if folder else ():
                reached = f"{reached}/{part}" if reached else part
                place.enter(part, reached, create=create, durable=not create or reached in self._durable)
        except BaseException:
            place.close()
            raise
        return place

    def _open_root(self, *, create: bool) -> Directory:
        try:
            root = open_directory(self.root)
        except FileNotFoundError as error:
            # A root that has disappeared was unmounted or moved; a new one would hide its content.
            if not create or self._identity is not None or self._lake_id is not None:
                raise describe_unavailable(self.root, error) from error
            _create_root(Path(self.root))
            root = open_directory(self.root)
        except OSError as error:
            raise describe_unavailable(self.root, error) from error
        try:
            self._recognise(root)
        except BaseException:
            root.close()
            raise
        return root

    def _recognise(self, root: Directory) -> None:
        """Raise LakeUnavailable for a root that has changed unexpectedly."""
        identity = root.identity
        with self._lock:
            known = self._identity
            if identity == known:
                return
            why = None
            if os.path.realpath(self.root) != self.root:
                why = f"a folder above it became a symbolic link; restore the folder{_OR_RESTART}"
            elif known is not None and identity[0] != known[0]:
                # Files written to the mount point of an unmounted lake would be hidden by the next mount.
                why = f"it is on another file system than before; mount the right one{_OR_RESTART}"
            elif self._lake_id is not None and _lake_id_of(root) != self._lake_id:
                why = f"it is another lake than before, or an empty folder in its place; {WHAT_TO_DO}"
            if why:
                raise LakeUnavailable(f"The lake at {self.root} cannot be used: {why}.")
            self._identity = identity
            self._durable.clear()

    def _settle(self, place: ReachedFolder) -> None:
        for reached, parent in place.unsettled:
            parent.sync()
            with self._lock:
                if len(self._durable) >= _MAX_REMEMBERED_FOLDERS:
                    self._durable.clear()
                self._durable.add(reached)

    def _reach_to_read(self, folder: str) -> ReachedFolder:
        with self.reading(folder):
            return self._reach(folder, create=False)

    @contextlib.contextmanager
    def reading(self, uri: str) -> Iterator[None]:
        """As ``Store.reading``; distinguishes faults of one path from faults of the whole lake.

        A file that this account may not read raises LakePathRefused: as LakeUnavailable its job would be retried
        forever, since the probe of the whole lake succeeds.
        """
        try:
            yield
        except (OSError, LakeConflict) as error:
            raise self.fault_in_reading(uri, error) from error

    def fault_in_reading(self, uri: str, error: OSError | LakeConflict) -> LakeError | LakeUnavailable:
        """Return the exception that ``reading`` raises for an error."""
        if isinstance(error, FileNotFoundError | LakeConflict):
            return LakeFileMissing(f"{uri} is not in the lake")
        if isinstance(error, PermissionError):
            return LakePathRefused(f"{uri} in the lake may not be read by this account")
        return self._fault_at(uri, error)

    @contextlib.contextmanager
    def _unavailable_at(self, uri: str = "") -> Iterator[None]:
        """Map an error of the operating system; ``uri`` is what was asked for."""
        try:
            yield
        except OSError as error:
            raise self._fault_at(uri, error) from error

    def _fault_at(self, uri: str, error: OSError) -> LakePathRefused | LakeUnavailable:
        if error.errno == errno.ENAMETOOLONG:
            return LakePathRefused(f"{uri} is too long for the lake's file system")
        return describe_unavailable(f"{self.root}/{uri}" if uri else self.root, error)


class LocalFolder:
    """A ``FolderReader`` with a descriptor of the folder, from which files are opened directly."""

    def __init__(self, store: LocalStore, folder: str, place: ReachedFolder) -> None:
        self._store = store
        self._folder = folder
        self._place = place

    def entries(self) -> list[Entry]:
        """As ``FolderReader.entries``; links and everything else but regular files and folders are skipped."""
        found = []
        with self._store.reading(self._folder):
            for name, facts in self._place.directory.scan():
                mode = facts.st_mode
                if stat.S_ISREG(mode) and name[0] != ".":
                    found.append(Entry(name, is_folder=False, byte_count=facts.st_size))
                elif stat.S_ISDIR(mode) and name[0] != ".":
                    found.append(Entry(name, is_folder=True, byte_count=0))
        return found

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """As ``FolderReader.read``, from the descriptor: creating a stream takes longer than reading a small file."""
        try:
            descriptor = self._place.directory.open_file(name)
            try:
                return _read_start(descriptor, max_bytes)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._store.fault_in_reading(f"{self._folder}/{name}", error) from error

    def open_file(self, name: str) -> BinaryIO:
        """As ``FolderReader.open_file``."""
        return os.fdopen(self._place.directory.open_file(name), "rb")

    def close(self) -> None:
        """As ``FolderReader.close``."""
        self._place.close()


def _read_start(descriptor: int, max_bytes: int) -> bytes:
    """Return at most the first ``max_bytes`` bytes of a file. Raises OSError."""
    data = os.read(descriptor, min(max_bytes, _CHUNK_BYTES))
    pieces, left = [data], max_bytes - len(data)
    while data and left:
        data = os.read(descriptor, min(left, _CHUNK_BYTES))
        pieces.append(data)
        left -= len(data)
    return b"".join(pieces)


def _read_end(descriptor: int, max_bytes: int) -> tuple[bytes, int]:
    """Return at most the last ``max_bytes`` bytes and the size of a file that may be growing; closes it."""
    with os.fdopen(descriptor, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - max_bytes))
        return stream.read(min(size, max_bytes)), size


def _lake_id_of(root: Directory) -> UUID | None:
    try:
        descriptor = root.open_file(IDENTITY_NAME)
    except (FileNotFoundError, LakeError):
        return None
    try:
        return decode_identity(_read_start(descriptor, MAX_IDENTITY_BYTES))
    finally:
        os.close(descriptor)


def _create_root(root: Path) -> None:
    """Create the root and its missing parent folders, each durably."""
    missing = []
    while not root.is_dir():
        missing.append(root)
        root = root.parent
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(FOLDER_MODE)
        with open_directory(str(folder.parent)) as above:
            above.sync()
