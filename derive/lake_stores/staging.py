"""Files of a local lake that still have a hidden name.

Only a complete, synced file gets its final name, so a crash leaves only hidden files behind.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Mapping

from derive.errors import LakeConflict, LakeUnavailable
from derive.lake_stores.directory import Directory, start_writing
from derive.lake_stores.store import describe_unavailable

_OPEN_AT_ONCE = 32
"""Files of a batch that are open at once, written before the first is synced (see ``start_writing``). Limited so that a
large batch does not run out of descriptors."""

_CHUNK_BYTES = 1 << 20
_DELETE_ATTEMPTS = 5
_MARK = re.compile("[0-9a-f]{12}")


class ReachedFolder:
    """A folder opened from the root, with its parent folders whose names are not yet known to be durable."""

    def __init__(self, root: Directory) -> None:
        self.directory = root
        self.unsettled: list[tuple[str, Directory]] = []

    def enter(self, name: str, reached: str, *, create: bool, durable: bool) -> None:
        """Open a folder inside this one; ``reached`` is its path from the lake's root."""
        child = self.directory.child(name, create=create)
        if durable:
            self.directory.close()
        else:
            self.unsettled.append((reached, self.directory))
        self.directory = child

    def close(self) -> None:
        """Close every open folder; may be repeated."""
        for _, above in self.unsettled:
            above.close()
        self.directory.close()


class LocalSpool:
    """A hidden file that is written as its bytes arrive."""

    def __init__(self, where: str, place: ReachedFolder, name: str) -> None:
        """Create the file in the place, which the spool then owns. Raises OSError."""
        self.place = place
        self.name = name
        self.hidden: str | None = _hide(name, _new_mark())
        self._where = where
        self._descriptor = place.directory.create_file(self.hidden)

    def write(self, data: bytes) -> None:
        """As ``SpoolFile.write``; unbuffered, so that the bytes can be read while the model is still answering."""
        try:
            write_fully(self._descriptor, data)
        except OSError as error:
            raise describe_unavailable(self._where, error) from error

    def hand_over(self) -> tuple[int, str]:
        """Return the file's descriptor, not yet synced, and its hidden name; the caller then owns both."""
        if self.hidden is None:
            raise ValueError("the spool was finished or abandoned before")
        (descriptor, hidden), (self._descriptor, self.hidden) = (self._descriptor, self.hidden), (-1, None)
        return descriptor, hidden

    def abandon(self) -> None:
        """As ``SpoolFile.abandon``."""
        # If the lake fails here, it fails the run elsewhere too; only a hidden file remains.
        with contextlib.suppress(OSError):
            self._close_file()
        if self.hidden is not None:
            with contextlib.suppress(OSError):
                self.place.directory.unlink(self.hidden)
            self.hidden = None
        with contextlib.suppress(OSError):
            self.place.close()

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class FolderStage:
    """Complete files of one folder with hidden names, in order, waiting for ``sync`` and their final names."""

    def __init__(self, directory: Directory, folder: str) -> None:
        self.waiting: list[tuple[str, str]] = []
        self._directory = directory
        self._folder = folder
        self._mark = _new_mark()
        self._open: list[int] = []

    def take_over(self, spool: LocalSpool) -> None:
        """Add a spooled file."""
        descriptor, hidden = spool.hand_over()
        self._queue(descriptor, hidden, spool.name)
        start_writing(descriptor)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write the files, each name once. Raises OSError."""
        for name, data in files.items():
            if len(self._open) == _OPEN_AT_ONCE:
                self.sync()
            hidden = _hide(name, self._mark)
            descriptor = self._directory.create_file(hidden)
            self._queue(descriptor, hidden, name)
            write_fully(descriptor, data)
            start_writing(descriptor)

    def sync(self) -> None:
        """Make the bytes of every file durable. Raises OSError."""
        for descriptor in self._open:
            os.fsync(descriptor)
        self._close_files()

    def _queue(self, descriptor: int, hidden: str, name: str) -> None:
        self._open.append(descriptor)
        self.waiting.append((hidden, name))

    def _close_files(self) -> None:
        while self._open:
            os.close(self._open.pop())

    def publish(self, count: int) -> None:
        """Give the first ``count`` waiting files their final names. Raises LakeConflict, LakePathRefused, OSError."""
        for _ in range(count):
            hidden, name = self.waiting[0]
            try:
                self._directory.publish(hidden, name)
            except FileExistsError as error:
                if not self._same_bytes(hidden, name):
                    raise LakeConflict(f"{self._folder}/{name} is in the lake with other bytes; they stay") from error
                self._directory.unlink(hidden)
            del self.waiting[0]

    def close(self) -> None:
        """Remove the files still waiting; may be repeated, never raises."""
        # A close that fails still releases the descriptor.
        with contextlib.suppress(OSError):
            self._close_files()
        for hidden, _ in self.waiting:
            with contextlib.suppress(OSError):
                self._directory.unlink(hidden)
        self.waiting.clear()

    def _same_bytes(self, one: str, other: str) -> bool:
        with contextlib.ExitStack() as held:
            left, right = (
                held.enter_context(os.fdopen(self._directory.open_file(name), "rb", buffering=0))
                for name in (one, other)
            )
            while True:
                chunk = left.read(_CHUNK_BYTES)
                if chunk != right.read(_CHUNK_BYTES):
                    return False
                if not chunk:
                    return True


def _hide(name: str, mark: str) -> str:
    """Return the hidden name of a file being written; unique, because the mark is."""
    return f".{name}.{mark}"


def is_hidden_name(hidden: str, name: str) -> bool:
    """Whether a file with the first name will get the second one."""
    return hidden.startswith(f".{name}.") and _MARK.fullmatch(hidden, len(name) + 2) is not None


def _new_mark() -> str:
    return secrets.token_hex(6)


def write_fully(descriptor: int, data: bytes) -> None:
    """Write all the bytes, however many calls it takes. Raises OSError."""
    written = os.write(descriptor, data)
    while written < len(data):
        data = data[written:]
        written = os.write(descriptor, data)


def remove_tree(parent: Directory, name: str) -> None:
    """Remove a folder and its content, without following links; does nothing if it does not exist. Raises OSError.

    Raises LakeUnavailable if another process keeps writing into it.
    """
    for _ in range(_DELETE_ATTEMPTS):
        try:
            folder = parent.child(name, create=False)
        except FileNotFoundError:
            return None
        with folder:
            for inner, facts in folder.scan():
                if stat.S_ISDIR(facts.st_mode):
                    remove_tree(folder, inner)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        folder.unlink(inner)
        try:
            return parent.rmdir(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            # Another process wrote into it meanwhile, so try again. Some systems report EEXIST.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    raise LakeUnavailable(f"'{name}' in the lake cannot be deleted: it keeps filling; stop its run first.")
