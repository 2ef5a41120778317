"""The demo's environment: its folder and database, the model that answers, and its processes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from derive.demo.stand_in import StandIn
from derive.demo.stand_in_model import NAME
from derive.errors import RunError
from derive.model_clients import open_client
from derive.model_servers.settings import ModelSettings

FIRST_PORT = 8000
PORTS_TRIED = 50
STOP_SECONDS = 20.0
LOOK_SECONDS = 2.0
"""How long to wait for Ollama to answer."""
SLOTS_OF_STAND_IN = 4
SLOTS_OF_OLLAMA = 1


@dataclass(frozen=True)
class ModelInUse:
    """The model the demo uses. ``why_not_ollama`` says why the stand-in answers; None if a real model does."""

    base_url: str
    model: str
    slots: int
    why_not_ollama: str | None

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the demo's programs in addition to its own, so that they use only the server that was found."""
        if self.is_real:
            return {"HOLOCRON_ENDPOINTS": ""}
        stand_in = {"OLLAMA_BASE_URL": self.base_url, "OLLAMA_MODEL": self.model}
        # Credentials must only be sent to the server they belong to.
        return stand_in | {"OLLAMA_API_KEY": "", "OLLAMA_API_KEY_FILE": "", "HOLOCRON_ENDPOINTS": ""}

    @property
    def is_real(self) -> bool:
        """Whether a real model answers rather than rules."""
        return self.why_not_ollama is None


@contextmanager
def model_in_use(ollama: ModelSettings) -> Iterator[ModelInUse]:
    """Find the Ollama of the settings, or run the stand-in during the block."""
    why_not = asyncio.run(_look_for(ollama))
    if why_not is None:
        yield ModelInUse(ollama.base_url, ollama.model, SLOTS_OF_OLLAMA, None)
        return
    with StandIn() as stand_in:
        yield ModelInUse(stand_in.base_url, NAME, SLOTS_OF_STAND_IN, why_not)


async def _look_for(ollama: ModelSettings) -> str | None:
    """Return None if the server answers and has the model, else the reason why it cannot be used."""
    impatient = ollama.model_copy(update={"connect_seconds": LOOK_SECONDS, "first_byte_seconds": LOOK_SECONDS})
    client = open_client(impatient)
    try:
        await client.probe()
    except RunError as error:
        return str(error)
    finally:
        await client.aclose()
    return None


class Program:
    """A command of ``manage.py`` that runs with the demo and writes its output to a log file."""

    def __init__(self, *arguments: str, log_file: Path, environment: Mapping[str, str]) -> None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        self.name = arguments[0]
        self.log_file = log_file
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, sys.argv[0], *arguments],
                env=dict(os.environ) | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is handled by the demo, which stops its programs in order.
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while the program runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask the program to stop, wait, and kill it if it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """Return the first free port from 8000 on; raise OSError if all of fifty are in use."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1} is free")
