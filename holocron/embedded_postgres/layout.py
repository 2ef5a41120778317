"""The files of an embedded server, and the content of its ``postmaster.pid``."""

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PORT = 5432  # only part of the socket's name; nothing listens on the network
DATABASE_USER = "postgres"
# A socket's full path may have 107 bytes on Linux, 103 on macOS.
MAX_SOCKET_BYTES = 100


@dataclass(frozen=True)
class Layout:
    """The paths of the server in ``folder``."""

    folder: Path

    @property
    def data(self) -> Path:
        """The cluster; its owner runs the server."""
        return self.folder / "data"

    def owner(self) -> os.stat_result:
        """Return the status of the cluster, or of the folder if there is none yet, for its owner; raises OSError."""
        return (self.data if self.data.exists() else self.folder).stat()

    @property
    def unfinished_data(self) -> Path:
        """A cluster that is being created; renamed when it is complete."""
        return self.folder / "data.unfinished"

    @property
    def holders_lock(self) -> Path:
        """Each process that uses the server holds a shared lock on this file."""
        return self.folder / "holders.lock"

    @property
    def start_lock(self) -> Path:
        """Locked by a process while it starts the server."""
        return self.folder / "start.lock"

    @property
    def keeper_lock(self) -> Path:
        """Locked by the keeper as long as it runs."""
        return self.folder / "keeper.lock"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "server.log"


@dataclass(frozen=True)
class Postmaster:
    """The server's process, from its ``postmaster.pid``."""

    pid: int
    socket_folder: str
    is_ready: bool


def read_postmaster(layout: Layout) -> Postmaster | None:
    """Return the content of ``postmaster.pid``; None if it does not exist or is incomplete."""
    try:
        lines = os.fsdecode((layout.data / "postmaster.pid").read_bytes()).split("\n")
    except OSError:
        return None
    # pid, data folder, start time, port, socket folder, host, shared memory, status
    if len(lines) < 8 or not lines[0].strip().isdigit():
        return None
    return Postmaster(pid=int(lines[0]), socket_folder=lines[4], is_ready=lines[7].strip() == "ready")


def socket_path(socket_folder: str | Path) -> Path:
    """Return the socket's path in its folder, as PostgreSQL names it."""
    return Path(socket_folder) / f".s.PGSQL.{PORT}"


def make_socket_folder(layout: Layout, *, owner: tuple[int, int]) -> Path:
    """Return a folder of mode 700 for the socket, with a path short enough, that belongs to the owner (uid, gid).

    It is next to the data if that path is short enough, else among the temporary files, with a name derived from the
    data's path. An existing folder of that name that belongs to somebody else is not used.
    """
    beside = layout.folder / "socket"
    if len(os.fsencode(socket_path(beside))) <= MAX_SOCKET_BYTES:
        beside.mkdir(mode=0o700, exist_ok=True)
        os.chown(beside, *owner, follow_symlinks=False)
        return beside
    digest = hashlib.sha256(os.fsencode(layout.folder.resolve())).hexdigest()[:16]
    name = f"holocron-{owner[0]}-{digest}"
    roots = [Path(root) for root in (tempfile.gettempdir(), "/tmp")]  # noqa: S108  # the owner is checked below
    root = next((root for root in roots if len(os.fsencode(socket_path(root / name))) <= MAX_SOCKET_BYTES), roots[-1])
    return _own_folder(root / name, owner=owner)


def _own_folder(path: Path, *, owner: tuple[int, int]) -> Path:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {owner[0], os.geteuid()}:
            path = Path(tempfile.mkdtemp(prefix="holocron-", dir=path.parent))
    path.chmod(0o700)
    os.chown(path, *owner, follow_symlinks=False)
    return path


def make_folder(folder: Path) -> None:
    """Create the folder with mode 700 and its parents; folders that root creates get the owner of their parent."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700 if path == folder else 0o777, exist_ok=True)
        above = path.parent.stat()
        if os.geteuid() == 0 and above.st_uid != 0:
            os.chown(path, above.st_uid, above.st_gid, follow_symlinks=False)


def open_lock(path: Path) -> int:
    """Return a descriptor of the lock file, which is created if missing."""
    return _open_given(path, os.O_RDWR, mode=0o600)


def open_log(path: Path) -> IO[bytes]:
    """Return the log opened for appending; it is created if missing."""
    return os.fdopen(_open_given(path, os.O_WRONLY | os.O_APPEND, mode=0o644), "ab")


def _open_given(path: Path, flags: int, *, mode: int) -> int:
    """Open a file in the folder; one created by root gets the folder's owner, who has to open it later."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    found, above = os.fstat(descriptor), path.parent.stat()
    # Do not change the owner of another file of root's through a link.
    if os.geteuid() == 0 and found.st_uid == 0 != above.st_uid and stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        os.fchown(descriptor, above.st_uid, above.st_gid)
    return descriptor


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the file's exclusive lock and hold it during the block."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the file's exclusive lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
