"""The files of one embedded server, and what its ``postmaster.pid`` says."""

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 5432  # only a part of the socket's name: nothing listens on the network
DATABASE_USER = "postgres"
# A socket's whole path may take 107 bytes on Linux, 103 on macOS.
MAX_SOCKET_BYTES = 100


@dataclass(frozen=True)
class Layout:
    """Where the parts of the server in ``folder`` are."""

    folder: Path

    @property
    def data(self) -> Path:
        """The cluster; its owner is who runs the server."""
        return self.folder / "data"

    @property
    def unfinished_data(self) -> Path:
        """A cluster that is being made; renamed when it is whole."""
        return self.folder / "data.unfinished"

    @property
    def holders_lock(self) -> Path:
        """Locked shared by each process that uses the server."""
        return self.folder / "holders.lock"

    @property
    def start_lock(self) -> Path:
        """Locked by the process that starts the server, while it does."""
        return self.folder / "start.lock"

    @property
    def keeper_lock(self) -> Path:
        """Locked by the keeper for its life."""
        return self.folder / "keeper.lock"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.folder / "server.log"


@dataclass(frozen=True)
class Postmaster:
    """The server's process, as its ``postmaster.pid`` tells."""

    pid: int
    socket_folder: str
    is_ready: bool


def read_postmaster(layout: Layout) -> Postmaster | None:
    """Return what ``postmaster.pid`` says, or None when it is not there or not yet whole."""
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
    """Return a folder of mode 700 for the socket that belongs to the owner (uid, gid), with a path short enough.

    It stands beside the data where that is short enough, else where temporary files are, under a name made from the
    data's path. A folder of that name that somebody else has put there is not used.
    """
    beside = layout.folder / "socket"
    if len(os.fsencode(socket_path(beside))) <= MAX_SOCKET_BYTES:
        beside.mkdir(mode=0o700, exist_ok=True)
        os.chown(beside, *owner)
        return beside
    digest = hashlib.sha256(os.fsencode(layout.folder.resolve())).hexdigest()[:16]
    name = f"holocron-{owner[0]}-{digest}"
    roots = [Path(root) for root in (tempfile.gettempdir(), "/tmp")]  # noqa: S108  # checked below for whose it is
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
    os.chown(path, *owner)
    return path


def open_lock(path: Path) -> int:
    """Return a descriptor of the lock file, made where it is not there."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file's exclusive lock for the block, having waited for it."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether some process holds the file's exclusive lock."""
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
