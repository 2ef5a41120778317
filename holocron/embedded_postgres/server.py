"""The holders' side of the embedded server: hold it, find it, and start its keeper if there is none."""

import fcntl
import os
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from holocron.embedded_postgres.account import find_stranger
from holocron.embedded_postgres.keeper import POLL_SECONDS, START_SECONDS, STOP_SECONDS
from holocron.embedded_postgres.layout import (
    Layout,
    is_locked,
    locked,
    make_folder,
    open_lock,
    open_log,
    read_postmaster,
    socket_path,
)

# Not `python -m`, which does not search the working folder under PYTHONSAFEPATH.
KEEPER_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop()); from holocron.embedded_postgres.keeper import main; main()"
)
PROJECT_FOLDER = Path(__file__).resolve().parents[2]


class EmbeddedServerError(Exception):
    """The embedded server is unavailable; the message is one line that says why."""


# The descriptor of holders.lock that this process holds, by folder. A forked child inherits descriptor and lock.
_held: dict[Path, int] = {}
_guard = threading.RLock()


def _renew_guard() -> None:
    global _guard  # noqa: PLW0603  # a thread of the parent, which does not exist in the child, may have held it at the fork
    _guard = threading.RLock()


os.register_at_fork(after_in_child=_renew_guard)


def ensure_running(folder: Path) -> str:
    """Hold the server in the folder until this process ends, start it if necessary, and return its socket's folder.

    Several threads and processes may call this at once. Raises EmbeddedServerError.
    """
    layout = Layout(folder)
    with _guard:
        try:
            _refuse_strangers(layout)
            make_folder(layout.folder)
            _hold(layout)
            found = _find_running(layout)
            if found is None:
                with locked(layout.start_lock):
                    found = _find_running(layout) or _start(layout)
        except OSError as error:
            raise EmbeddedServerError(
                f"the embedded PostgreSQL cannot use {folder}: {error.strerror or error}; run as the folder's owner, "
                "name another folder with HOLOCRON_VAR, or set DATABASE_URL"
            ) from error
        return found


def _refuse_strangers(layout: Layout) -> None:
    stranger = find_stranger(layout.data)
    if stranger is not None:
        raise EmbeddedServerError(
            f"the embedded PostgreSQL cannot use {layout.folder}: {stranger}, name another folder with HOLOCRON_VAR, "
            "or set DATABASE_URL; nothing was changed"
        )


def answers(folder: Path) -> bool:
    """Whether the server has a keeper and accepts connections."""
    return _find_running(Layout(folder)) is not None


def _hold(layout: Layout) -> None:
    held = _held.get(layout.folder)
    if held is not None and _is_same_file(held, layout.holders_lock):
        return
    if held is not None:
        # The descriptor was closed (by a process that became a daemon), or the folder was replaced.
        _let_go(layout.folder)
    descriptor = open_lock(layout.holders_lock)
    # Waits only while the keeper stops the server.
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _held[layout.folder] = descriptor


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _let_go(folder: Path) -> None:
    descriptor = _held.pop(folder)
    try:
        name = os.fstat(descriptor)
    except OSError:
        return
    # The descriptor may belong to another file by now and must not be closed then.
    if name.st_nlink == 0:
        os.close(descriptor)


def _find_running(layout: Layout) -> str | None:
    if not is_locked(layout.keeper_lock):
        return None
    postmaster = read_postmaster(layout)
    if postmaster is None or not postmaster.is_ready or not _takes_connections(postmaster.socket_folder):
        return None
    return postmaster.socket_folder


def _takes_connections(socket_folder: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fsencode(socket_path(socket_folder)))
        except OSError:
            return False
    return True


def _start(layout: Layout) -> str:
    """Start a keeper unless there is one, and wait for the server; the caller holds the start lock."""
    deadline = time.monotonic() + START_SECONDS + STOP_SECONDS
    while time.monotonic() < deadline:
        # There may be a keeper whose starter was killed, or whose server was and which is about to exit.
        if not is_locked(layout.keeper_lock):
            _start_keeper(layout, deadline=deadline)
        found = _find_running(layout)
        if found is not None:
            return found
        time.sleep(POLL_SECONDS)
    raise EmbeddedServerError(f"the embedded PostgreSQL did not start in time: see {layout.log}")


def _start_keeper(layout: Layout, *, deadline: float) -> None:
    reading, writing = os.pipe()
    try:
        with open_log(layout.log) as log:
            starter = subprocess.Popen(
                [sys.executable, "-c", KEEPER_PROGRAM, layout.folder.resolve(), str(writing), PROJECT_FOLDER],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
            )
        os.close(writing)
        writing = -1
        starter.wait()
        said = _read_line(reading, deadline=deadline)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if said != "ready":
        raise EmbeddedServerError(f"the embedded PostgreSQL did not start: {said or f'see {layout.log}'}")


def _read_line(descriptor: int, *, deadline: float) -> str:
    read = b""
    while not read.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(descriptor, 4096) if ready else b""
        if not part:
            break
        read += part
    return read.decode("utf-8", "replace").strip()
