"""The keeper: the server's parent process, which starts it, stops it when its last holder has ended, and then exits.

``server.py`` runs it with a folder and a descriptor as arguments; it writes one line to the descriptor, ``ready`` or
the reason why there is no server. It does not import Django, so that it is small and starts in a few milliseconds.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from holocron.embedded_postgres.account import Account, AccountError, become, choose_account, give_access
from holocron.embedded_postgres.layout import (
    DATABASE_USER,
    PORT,
    Layout,
    make_socket_folder,
    open_lock,
    open_log,
    read_postmaster,
    socket_path,
)
from holocron.embedded_postgres.programs import NoProgramsError, find_programs

if TYPE_CHECKING:
    import psutil

# Recovery after a crash has to fit: it reads at most max_wal_size (1 GB).
START_SECONDS = 120.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.01
MAX_LOG_BYTES = 5_000_000
DATABASE_NAME = "holocron"

SERVER_OPTIONS = {
    "port": str(PORT),
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # Enough for a hundred thousand jobs and their runs; unused memory is not taken from the machine.
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    # There is no replication, and less is written this way.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Compiling takes longer than the short queries of a queue.
    "jit": "off",
    # The data are on an SSD and mostly in memory; with 4, meant for disks, looking up a thousand keys scans the table.
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # The log never contains values of rows, which are evidence and answers.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}


class StartError(Exception):
    """The server cannot be started; the message says why."""


def main() -> None:
    """Run the keeper for the folder named by the first argument."""
    layout, report = Layout(Path(sys.argv[1])), int(sys.argv[2])
    # The starter is not its parent, so nobody has to wait for it and signals to the starter's group do not reach it.
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    os.chdir("/")
    # The server must not inherit the signals that the starter blocked.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    keeper = open_lock(layout.keeper_lock)
    fcntl.flock(keeper, fcntl.LOCK_EX)
    try:
        server, socket_folder = _start(layout)
    except (StartError, AccountError, NoProgramsError, OSError, subprocess.SubprocessError) as error:
        _report(report, " ".join(str(error).split())[:1000])
        os._exit(1)
    _report(report, "ready")
    os.close(report)
    server.wait()
    _remove_socket(socket_folder)
    if socket_folder.parent != layout.folder:
        shutil.rmtree(socket_folder, ignore_errors=True)
    # Exits without joining the thread, which may still be waiting for holders.
    os._exit(0)


def _report(report: int, line: str) -> None:
    try:
        os.write(report, f"{line}\n".encode())
    except BrokenPipeError:
        # The starter was killed. Others may be waiting for the server; if not, it stops because it has no holders.
        return


def _start(layout: Layout) -> tuple[subprocess.Popen[bytes], Path]:
    programs = find_programs()
    account = choose_account(layout.owner(), has_cluster=layout.data.exists())
    if account.is_switched and account.uid != layout.folder.stat().st_uid:
        layout.folder.chmod(0o711)
    account = give_access(account, folder=layout.folder, programs=programs)
    _clear_leftovers(layout)
    if not (layout.data / "PG_VERSION").exists():
        _make_cluster(layout, programs=programs, account=account)
    _check_version(layout, programs=programs)
    socket_folder = make_socket_folder(layout, owner=(account.uid, account.gid))
    _remove_socket(socket_folder)
    # A list of folders, in which quotes allow spaces and commas.
    quoted = str(socket_folder).replace('"', '""')
    options = {**SERVER_OPTIONS, "unix_socket_directories": f'"{quoted}"'}
    arguments = [f"-c{name}={value}" for name, value in options.items()]
    with _open_log(layout) as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", layout.data, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            # A fast shutdown if the keeper is killed. No thread runs yet that a fork could harm.
            preexec_fn=become(account, signal_at_parents_death=signal.SIGINT),  # noqa: PLW1509
        )
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(signal.SIGINT))
    threading.Thread(target=_stop_after_the_last_holder, args=(layout, server), daemon=True).start()
    _wait_until_ready(layout, server)
    return server, socket_folder


def _environment() -> dict[str, str]:
    # Nothing of the user's environment: PG* variables would change the server's behaviour, a locale its messages.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _open_log(layout: Layout) -> IO[bytes]:
    if layout.log.exists() and layout.log.stat().st_size > MAX_LOG_BYTES:
        layout.log.replace(layout.log.with_suffix(".old.log"))
    return open_log(layout.log)


def _stop_after_the_last_holder(layout: Layout, server: subprocess.Popen[bytes]) -> None:
    holders = open_lock(layout.holders_lock)
    # Kept until this process ends: a newcomer waits while the server stops, and then starts it again.
    fcntl.flock(holders, fcntl.LOCK_EX)
    for kind in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, by force
        server.send_signal(kind)
        deadline = time.monotonic() + STOP_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def _wait_until_ready(layout: Layout, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StartError(f"it ended at once: {_last_words(layout)}")
        postmaster = read_postmaster(layout)
        if postmaster is not None and postmaster.pid == server.pid and postmaster.is_ready:
            return
        time.sleep(POLL_SECONDS)
    server.send_signal(signal.SIGQUIT)
    raise StartError(f"it was not ready within {START_SECONDS:.0f} seconds: {_last_words(layout)}")


def _last_words(layout: Layout) -> str:
    lines = layout.log.read_text("utf-8", "replace").splitlines()[-20:]
    grave = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return f"{(grave or lines or ['it said nothing'])[-1]} (see {layout.log})"


def _make_cluster(layout: Layout, *, programs: Path, account: Account) -> None:
    """Create the cluster under another name and rename it, so that a kill leaves no incomplete cluster."""
    unfinished = layout.unfinished_data
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    os.chown(unfinished, account.uid, account.gid, follow_symlinks=False)
    initdb = ["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", f"--username={DATABASE_USER}"]
    # Upper and lower case in every script, the same on every machine.
    initdb += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    _run([programs / "initdb", *initdb, "-D", unfinished], account=account)
    _run(
        [programs / "postgres", "--single", "-D", unfinished, "postgres"],
        account=account,
        standard_input=f"CREATE DATABASE {DATABASE_NAME}\n",
    )
    unfinished.rename(layout.data)


def _run(command: list[str | Path], *, account: Account, standard_input: str = "") -> None:
    done = subprocess.run(
        command,
        input=standard_input,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=_environment(),
        preexec_fn=become(account, signal_at_parents_death=signal.SIGKILL),
    )
    if done.returncode != 0:
        raise StartError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")


def _check_version(layout: Layout, *, programs: Path) -> None:
    made_by = (layout.data / "PG_VERSION").read_text("ascii").strip()
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    present = said.split()[-1].split(".")[0]
    if made_by != present:
        raise StartError(
            f"{layout.data} was made by PostgreSQL {made_by}, and this is {present}: move that folder away, or dump it "
            "with the older one and load it again"
        )


def _clear_leftovers(layout: Layout) -> None:
    """End the processes of a server whose keeper died, and remove its pid file, so that a new one can start.

    This process holds the keeper's lock, so none of them has a living keeper. They are found by their working folder,
    which is the cluster, because the pid in the file may have been reused by another program.
    """
    pid_file = layout.data / "postmaster.pid"
    if not pid_file.exists():
        return
    import psutil  # not needed after a clean stop, so for nearly every start

    for kind in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        left = _server_processes(layout)
        for process in left:
            _send(process, kind)
        psutil.wait_procs(left, timeout=STOP_SECONDS / 4)
    pid_file.unlink(missing_ok=True)


def _server_processes(layout: Layout) -> "list[psutil.Process]":
    import psutil

    found = []
    data = str(layout.data.resolve())
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and process.cwd() == data:
                found.append(process)
        except psutil.Error:
            continue  # gone, or another user's
    return found


def _send(process: "psutil.Process", kind: signal.Signals) -> None:
    import psutil

    try:
        process.send_signal(kind)
    except psutil.NoSuchProcess:
        return


def _remove_socket(socket_folder: Path) -> None:
    path = socket_path(socket_folder)
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
