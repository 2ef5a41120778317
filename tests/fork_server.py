"""Starts ``manage.py`` by forking a process in which Django, the drivers and the like are imported already.

Those imports are most of what a short command costs. What is started is a process like any other, with its own pid,
signals, streams, environment and exit code; only packages that are not this project's were imported before. Where that
could matter (another encoding, options of the interpreter) a test starts Python itself.

Run as a program it is the server: it reads requests from its standard input, a socket, until that is closed.
"""

import gc
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import warnings
from typing import Any

PRELOADED = (
    "aiohttp",
    "annotated_types",
    "asyncio",
    "concurrent.futures",
    "croniter",
    "django.contrib.admin.decorators",
    "django.contrib.auth.hashers",
    "django.core.mail",
    "django.core.management",
    "django.core.serializers.json",
    "django.db.backends.postgresql.base",
    "django.db.migrations.utils",
    "django.db.models",
    "django.forms",
    "django.http",
    "django.template.defaulttags",
    "django.urls",
    "django.views.generic.base",
    "fsspec",
    "getpass",
    "httpx",
    "importlib.metadata",
    "jsonschema_rs",
    "logging.config",
    "multiprocessing.queues",
    "multiprocessing.sharedctypes",
    "opentelemetry.trace",
    "packaging.version",
    "prometheus_client",
    "psutil",
    "psycopg",
    "pydantic",
    "pydantic.functional_validators",
    "pydantic.json_schema",
    "pydantic.main",
    "pydantic.types",
    "rfc8785",
    "rich.console",
    "rich.progress",
    "rich.table",
    "tomllib",
)
MOST_BYTES = 1_000_000


def serve(requests: socket.socket) -> list[str] | None:
    """Fork for each request; return in the child, with what it is to run, and in the server when all is over."""
    for name in PRELOADED:
        __import__(name)
    gc.collect()
    gc.freeze()
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for end in (requests, woken):
            selector.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    woken.recv(4096)
                    _report_ended(running)
                    continue
                asked, descriptors, _, _ = socket.recv_fds(requests, MOST_BYTES, 4)
                if not asked:
                    return None
                *streams, answer = descriptors
                child = os.fork()
                if child == 0:
                    signal.set_wakeup_fd(-1)
                    inherited = [answer, *(one.detach() for one in (requests, woken, wakes, *running.values()))]
                    return _become(json.loads(asked), streams, inherited)
                for stream in streams:
                    os.close(stream)
                running[child] = socket.socket(fileno=answer)
                running[child].sendall(child.to_bytes(8, "little"))
                _report_ended(running)


def _report_ended(running: dict[int, socket.socket]) -> None:
    for child in list(running):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with running.pop(child) as answer:
                code = os.waitstatus_to_exitcode(status)
                try:
                    answer.sendall(code.to_bytes(8, "little", signed=True))
                except BrokenPipeError:
                    continue


def _become(request: dict[str, Any], streams: list[int], others: list[int]) -> list[str]:
    """Make this process what a new interpreter would be; return its arguments, the program's path first."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["new_session"]:
        os.setsid()
    for number, given in enumerate(streams):
        os.dup2(given, number)
    for descriptor in {*streams, *others} - {0, 1, 2}:
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["cwd"]
    sys.argv = request["arguments"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _text(number, "w" if number else "r")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if request["warnings_are_errors"]:
        warnings.simplefilter("error")
    gc.enable()
    return sys.argv


def _text(descriptor: int, mode: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, mode, closefd=False)
    if mode == "r":
        return io.TextIOWrapper(io.BufferedReader(raw), "utf-8")
    is_error = descriptor == 2
    errors = "backslashreplace" if is_error else "strict"
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors, line_buffering=is_error or os.isatty(descriptor))


if __name__ == "__main__":
    arguments = serve(socket.socket(fileno=os.dup(0)))
    if arguments is not None:
        # From here as if Python had been started with it, to the exit hooks and the exit code.
        runpy.run_path(arguments[0], run_name="__main__")
