"""A folder of a local lake held open, so that operations stay in it even if its name changes.

Every step goes from an open folder to a name directly in it and never follows a symbolic link. This is the only
file of the lake that talks to the operating system.
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

# What other platforms lack is 0: there the checks by ``lstat`` stand alone.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
# A named pipe in a file's place would otherwise block the opener forever.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
# Windows would otherwise turn the line ends in the bytes.
_BINARY = getattr(os, "O_BINARY", 0)

_CAN_HOLD_FOLDERS = os.open in os.supports_dir_fd

FILE_MODE = 0o640
FOLDER_MODE = 0o750
"""Before the umask: the group may read (backups, the admin), others may not."""

_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_NOT_THIS_WAY = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK})
"""How a file system, a kernel or a sandbox says that it does not know a call; the next way is tried then."""


class Directory:
    """One open folder. Closes with ``close`` or as a context manager; not to be shared between threads."""

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
        """Which folder this is: device and inode."""
        found = os.fstat(self._fd)
        return found.st_dev, found.st_ino

    def child(self, name: str, *, create: bool) -> "Directory":
        """Open a folder in this one, created first if asked.

        Raises LakePathRefused for a symbolic link, LakeConflict for a file in a folder's place, OSError.
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
        """Create a file that must not exist and return its descriptor for writing. Raises OSError."""
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, FILE_MODE, dir_fd=self._fd)

    def open_file(self, name: str) -> int:
        """Open a plain file and return its descriptor for reading. Anything else: LakePathRefused. Raises OSError."""
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
        """Rename a finished file in one step, never over another file. Raises FileExistsError, OSError.

        ``renameat2`` where the kernel and the file system know it; else a hard link; else, where there are none
        (exFAT, some network mounts), a rename under a lock that every writer of this project takes.
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
        import fcntl  # not on Windows, which never comes here

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
        """Yield each name in the folder with its facts, links not followed; what vanishes meanwhile is skipped."""
        for name in sorted(self._names()):
            try:
                facts = self._lstat(name)
            except FileNotFoundError:
                continue
            yield name, facts

    def sync(self) -> None:
        """Make the folder's names survive a loss of power. Raises OSError."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            # Some file systems have no fsync for folders; there the names are as safe as they can be.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise

    def _names(self) -> list[str]:
        return os.listdir(self._fd)  # noqa: PTH208 - a Path cannot list what a descriptor holds open

    def _lstat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._fd, follow_symlinks=False)


class NamedDirectory(Directory):
    """A folder on a system that cannot hold one open (Windows): each step goes by its whole path.

    Links and junctions are looked for before each step, so that whoever can swap a folder for a link between the look
    and the step is not kept out; that takes a right to write in the lake.
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
        """Nothing to do: Windows keeps names in its journal and has no call for it."""

    def _names(self) -> list[str]:
        return [path.name for path in self._path.iterdir()]

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
    """Let the system begin to write a file's bytes to the disk, and wait for nothing; without such a call, do nothing.

    Files that are begun before the first of them is synced share a commit of the file system's journal, and a sync
    finds most of its work done (ext4: 12 instead of 21 waits for ten files). It promises nothing: a sync does.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, 0, 0, _SYNC_FILE_RANGE_WRITE)


def _find_in_libc(name: str, *argument_types: type) -> "ctypes._NamedFuncPointer | None":
    """Return a function of Linux that Python has no call for; None on systems that lack it."""
    if os.name != "posix":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is not None:
        function.argtypes = argument_types
    return function


_renameat2 = _find_in_libc("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_sync_file_range = _find_in_libc("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
