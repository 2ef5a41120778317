"""Starts ``manage.py`` as a process of its own without paying for Django's imports each time (``fork_server``)."""

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

from holocron.settings import BASE_DIR

# What an interpreter only reads when it starts.
_READ_AT_THE_START = ("PYTHON", "LANG", "LC_", "MALLOC")
_PARAMETERS = """
executable preexec_fn close_fds pass_fds cwd env startupinfo creationflags shell p2cread p2cwrite c2pread c2pwrite
errread errwrite restore_signals gid gids uid umask start_new_session process_group
"""
"""Of ``Popen._execute_child`` in Python 3.11 to 3.13, after ``args``."""
_KEPT = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED"}


def start(arguments: list[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start a command line that begins with this interpreter, as ``subprocess.Popen`` would."""
    kind: Any = ForkedProcess if _can_fork(arguments, options) else subprocess.Popen
    process: subprocess.Popen[Any] = kind(arguments, **options)
    return process


def run(arguments: list[str], *, given: str = "", timeout: float, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command line to its end, with this on its standard input; return what it printed and its exit code."""
    options = {"stdin": subprocess.PIPE} | options
    process = start(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    try:
        printed, complained = process.communicate(given, timeout=timeout)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, printed, complained)


def _can_fork(arguments: list[str], options: dict[str, Any]) -> bool:
    environment = options.get("env") or os.environ
    return (
        sys.platform == "linux"
        and arguments[0] == sys.executable
        and "manage.py" in (arguments[1], *arguments[3:4])
        and not options.keys() - {"cwd", "env", "stdin", "stdout", "stderr", "text", "encoding", "start_new_session"}
        and all(
            environment.get(name) == os.environ.get(name)
            for name in {*environment, *os.environ}
            if name.startswith(_READ_AT_THE_START) and name not in _KEPT
        )
    )


class ForkedProcess(subprocess.Popen[Any]):
    """A process that the fork server started; all but its start and its end is ``Popen``'s own."""

    _close_pipe_fds: Callable[..., None]
    _waitpid_lock: AbstractContextManager[object]

    def _execute_child(self, args: list[str], *given: Any) -> None:
        names = _PARAMETERS.split()
        asked = dict(zip(names, given, strict=True))
        request = {
            "arguments": args[args.index("manage.py") :],
            "cwd": str(asked["cwd"] or Path.cwd()),
            "environment": dict(asked["env"] if asked["env"] is not None else os.environ),
            "new_session": asked["start_new_session"],
            "warnings_are_errors": args[1:3] == ["-W", "error"],
        }
        streams = [
            asked[name] if asked[name] != -1 else number
            for number, name in enumerate(("p2cread", "c2pwrite", "errwrite"))
        ]
        self._answer, theirs = socket.socketpair()
        with theirs:
            _server().ask(json.dumps(request).encode(), [*streams, theirs.fileno()])
        self.pid = int.from_bytes(_exactly(self._answer, 8), "little")
        self._child_created = True
        self._close_pipe_fds(
            *(asked[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self._look(0)

    def _wait(self, timeout: float | None) -> int:
        code = self._look(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _look(self, timeout: float | None) -> int | None:
        """Return the exit code once the server tells it within this time."""
        with self._waitpid_lock:
            if self.returncode is None and select.select([self._answer], [], [], timeout)[0]:
                self.returncode = int.from_bytes(_exactly(self._answer, 8), "little", signed=True)
                self._answer.close()
            return self.returncode


class ForkServer:
    """The server's process, which ends with this one."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            program = [sys.executable, str(Path(__file__).with_name("fork_server.py"))]
            self._process = subprocess.Popen(program, cwd=BASE_DIR, stdin=theirs.fileno())
        atexit.register(self.end)

    def ask(self, request: bytes, descriptors: list[int]) -> None:
        """Have a process started; the last descriptor is where its pid and exit code are told."""
        with self._lock:
            socket.send_fds(self._requests, [request], descriptors)

    def end(self) -> None:
        """Let it end; what it started goes on."""
        self._requests.close()
        self._process.wait(10)


@cache
def _server() -> ForkServer:
    return ForkServer()


def _exactly(answer: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        more = answer.recv(length - len(found))
        assert more, "the fork server has ended"
        found += more
    return found
