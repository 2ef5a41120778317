"""An open folder of a local lake, so that operations stay inside it even if its path changes.

Each step goes from an open folder to a name directly inside it and never follows a symbolic link. This is the only
module of the lake that calls the operating system.
"""

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from derive.errors import LakeConflict, LakePathRefused

# Flags that a platform lacks are 0; there, only the checks by ``lstat`` apply.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
# Without this, opening a named pipe in place of a file would block forever.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
# Without this, Windows would convert line endings.
_BINARY = getattr(os, "O_BINARY", 0)

_CAN_HOLD_FOLDERS = os.open in os.supports_dir_fd

FILE_MODE = 0o640
FOLDER_MODE = 0o750
"""Before the umask: the group may read (backups, the admin), others may not."""

_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_NOT_THIS_WAY = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK})
"""Errors by which a file system, kernel or sandbox reports an unsupported call; the next method is tried then."""


class Directory:
    """One open folder, closed by ``close`` or as a context manager. Not thread-safe."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor

    def close(self) -> None:
        """Close the folder; may be repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def identity(self) -> tuple[int, int]:
        """The folder's device and inode."""
        found = os.fstat(self._fd)
        return found.st_dev, found.st_ino

    def child(self, name: str, *, create: bool) -> "Directory":
        """Open a folder inside this one, creating it first if requested.

        Raises LakePathRefused for a symbolic link, LakeConflict for a file of that name, and OSError.
        """
        try:
            return self._open_child(name)
        except FileNotFoundError:
            if not create:
                raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, FOLDER_MODE, dir_fd=self._fd)
        return self._open_child(name)

    def _open_child(self, name: str) -> "Directory":
        try:
            return Directory(os.open(name, os.O_RDONLY | _DIRECTORY | _NOFOLLOW, dir_fd=self._fd))
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            if stat.S_ISLNK(self._lstat(name).st_mode):
                raise LakePathRefused(f"'{name}' in the lake is a symbolic link, and none is followed") from error
            raise LakeConflict(f"'{name}' in the lake is a file where a folder should be") from error

    def create_file(self, name: str) -> int:
        """Create a file and return its descriptor for writing. Raises OSError, also if it exists."""
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, FILE_MODE, dir_fd=self._fd)

    def open_file(self, name: str) -> int:
        """Open a regular file and return its descriptor for reading. Raises LakePathRefused for others, OSError."""
        try:
            descriptor = os.open(name, os.O_RDONLY | _NOFOLLOW | _NONBLOCK, dir_fd=self._fd)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise LakePathRefused(f"'{name}' in the lake is a link or a device, no plain file") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise LakePathRefused(f"'{name}' in the lake is not a plain file")
        return descriptor

    def publish(self, hidden: str, name: str) -> None:
        """Rename a finished file atomically, never over another file. Raises FileExistsError, OSError.

        Uses ``renameat2`` if the kernel and the file system support it, else a hard link, else (exFAT, some network
        mounts) a rename under a lock that every writer of this project takes.
        """
        for way in (self._rename_exclusively, self._link):
            try:
                return way(hidden, name)
            except OSError as error:
                if error.errno not in _NOT_THIS_WAY:
                    raise
        return self._rename_under_lock(hidden, name)

    def _rename_exclusively(self, hidden: str, name: str) -> None:
        if _renameat2 is None:
            raise OSError(errno.ENOSYS, "no renameat2")
        if _renameat2(self._fd, os.fsencode(hidden), self._fd, os.fsencode(name), _RENAME_NOREPLACE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)

    def _link(self, hidden: str, name: str) -> None:
        os.link(hidden, name, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)
        os.unlink(hidden, dir_fd=self._fd)

    def _rename_under_lock(self, hidden: str, name: str) -> None:
        import fcntl  # not available on Windows, which never calls this

        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            with contextlib.suppress(FileNotFoundError):
                self._lstat(name)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            os.rename(hidden, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def unlink(self, name: str) -> None:
        """Remove a file, or a link itself. Raises OSError."""
        os.unlink(name, dir_fd=self._fd)

    def rmdir(self, name: str) -> None:
        """Remove an empty folder. Raises OSError."""
        os.rmdir(name, dir_fd=self._fd)

    def scan(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield each name in the folder with its status, not following links; skip files that vanish meanwhile."""
        for name in sorted(self._names()):
            try:
                facts = self._lstat(name)
            except FileNotFoundError:
                continue
            yield name, facts

    def stream(self) -> Iterator[tuple[str, os.stat_result]]:
        """As ``scan``, in constant memory and in the file system's order. Raises OSError."""
        with self._open_scan() as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False)

    def sync(self) -> None:
        """Make the folder's entries survive a power failure. Raises OSError."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            # Some file systems do not support fsync on folders; there is nothing more to do then.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise

    def _names(self) -> list[str]:
        return os.listdir(self._fd)  # noqa: PTH208 - a Path cannot list an open descriptor

    def _open_scan(self) -> "contextlib.AbstractContextManager[Iterator[os.DirEntry[str]]]":
        return os.scandir(self._fd)

    def _lstat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._fd, follow_symlinks=False)


class NamedDirectory(Directory):
    """A folder on a system that cannot keep one open (Windows): each step uses the whole path.

    Links and junctions are checked before each step. This does not stop somebody who replaces a folder by a link
    between the check and the step, which requires write access to the lake.
    """

    def __init__(self, path: str) -> None:
        super().__init__(-1)
        self._path = Path(path)
        facts = self._path.lstat()
        if _is_link(facts):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if not stat.S_ISDIR(facts.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)

    @property
    def identity(self) -> tuple[int, int]:
        """As ``Directory.identity``."""
        found = self._path.stat()
        return found.st_dev, found.st_ino

    def child(self, name: str, *, create: bool) -> Directory:
        """As ``Directory.child``."""
        path = self._path / name
        if create:
            with contextlib.suppress(FileExistsError):
                path.mkdir(FOLDER_MODE)
        facts = path.lstat()
        if _is_link(facts):
            raise LakePathRefused(f"'{name}' in the lake is a symbolic link, and none is followed")
        if not stat.S_ISDIR(facts.st_mode):
            raise LakeConflict(f"'{name}' in the lake is a file where a folder should be")
        return NamedDirectory(str(path))

    def create_file(self, name: str) -> int:
        """As ``Directory.create_file``."""
        return os.open(self._path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, FILE_MODE)

    def open_file(self, name: str) -> int:
        """As ``Directory.open_file``."""
        facts = self._lstat(name)
        if _is_link(facts) or not stat.S_ISREG(facts.st_mode):
            raise LakePathRefused(f"'{name}' in the lake is a link or a device, no plain file")
        return os.open(self._path / name, os.O_RDONLY | _BINARY)

    def publish(self, hidden: str, name: str) -> None:
        """As ``Directory.publish``; a rename on Windows overwrites nothing."""
        (self._path / hidden).rename(self._path / name)

    def unlink(self, name: str) -> None:
        """As ``Directory.unlink``."""
        (self._path / name).unlink()

    def rmdir(self, name: str) -> None:
        """As ``Directory.rmdir``."""
        (self._path / name).rmdir()

    def sync(self) -> None:
        """Do nothing: Windows journals names and has no call for this."""

    def _names(self) -> list[str]:
        return [path.name for path in self._path.iterdir()]

    def _open_scan(self) -> "contextlib.AbstractContextManager[Iterator[os.DirEntry[str]]]":
        return os.scandir(self._path)

    def _lstat(self, name: str) -> os.stat_result:
        return (self._path / name).lstat()


def _is_link(facts: os.stat_result) -> bool:
    attributes: int = getattr(facts, "st_file_attributes", 0)
    return stat.S_ISLNK(facts.st_mode) or bool(attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT)


def open_directory(path: str) -> Directory:
    """Open a folder by its whole path; its last part may not be a symbolic link. Raises OSError."""
    if _CAN_HOLD_FOLDERS:
        return Directory(os.open(path, os.O_RDONLY | _DIRECTORY | _NOFOLLOW))
    return NamedDirectory(path)


def start_writing(descriptor: int) -> None:
    """Start writing a file's bytes to disk without waiting, if the system has a call for it.

    Files started before the first one is synced share a commit of the file system's journal, and a sync finds most of
    its work done (ext4: 12 waits instead of 21 for ten files). Only a sync makes the bytes durable.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, 0, 0, _SYNC_FILE_RANGE_WRITE)


def _find_in_libc(name: str, *argument_types: type) -> "ctypes._NamedFuncPointer | None":
    """Return a libc function that Python does not expose; None on systems that lack it."""
    if os.name != "posix":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is not None:
        function.argtypes = argument_types
    return function


_renameat2 = _find_in_libc("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_sync_file_range = _find_in_libc("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
