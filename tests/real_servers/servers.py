"""A real model server in a process of its own, which serves the tiny model."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from derive.model_servers.settings import ModelSettings, Protocol
from tests.real_servers.tiny_model import NAME, write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
WINDOW = 8_192
START_SECONDS = STOP_SECONDS = 30
OLLAMA_PROGRAM = os.environ.get("OLLAMA_PROGRAM")
"""The Ollama to test on instead of llama.cpp's server."""

MODELFILE = '''FROM {model}
TEMPLATE """{{{{ range .Messages }}}}<|im_start|>{{{{ .Role }}}}
{{{{ .Content }}}}<|im_end|>
{{{{ end }}}}<|im_start|>assistant
"""
PARAMETER num_thread 1
'''
"""What ``ollama create`` makes a model of: the template that llama.cpp's server takes for a model without one.

More threads wait for each other where others use the processors, for ten times as long as one needs."""


class ServerNotHad(Exception):
    """There is no such server on this machine; the text says what to install."""


@dataclass
class RealServer:
    """A server that answers at ``url``; ``window`` is how many tokens it holds of one question and its answer.

    ``authorization`` is what it wants to be told in that header; ``log`` is where it writes what it does.
    """

    protocol: Protocol
    url: str
    process: subprocess.Popen[str]
    log: Path
    window: int = WINDOW
    model: str = NAME
    authorization: str | None = field(default=None, repr=False)

    @property
    def is_ollama(self) -> bool:
        return self.protocol is Protocol.OLLAMA

    def settings(self, **changed: Any) -> ModelSettings:
        """Return how a client reaches it."""
        return ModelSettings(**self.given(**changed))

    def given(self, **changed: Any) -> dict[str, Any]:
        """Return the same as a worker's world is told it."""
        own = {
            "base_url": self.url,
            "protocol": self.protocol,
            "model": self.model,
            "num_ctx": self.window,
            "num_predict": self.window // 2,
            "authorization": self.authorization,
            "first_byte_seconds": 120,
        }
        return own | changed

    def decoded(self) -> int:
        """Return how often llama.cpp's server computed the model: once a token written, once a piece of a prompt."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=STOP_SECONDS) as response:  # noqa: S310
            counters = dict(line.rsplit(" ", 1) for line in response.read().decode().splitlines())
        return int(counters["llamacpp:n_decode_total"])


@contextmanager
def llama_server(
    folder: Path, *, slots: int = 1, window: int = WINDOW, api_key: str | None = None, model: Path | None = None
) -> Iterator[RealServer]:
    """Run llama.cpp's server for the block, on the tiny model or another file; raises ServerNotHad without a wheel."""
    if find_spec("xllamacpp") is None:
        raise ServerNotHad("llama.cpp's server is not installed: `make setup` does it where xllamacpp has a wheel")
    model = model or write_tiny_model(folder / "tiny.gguf")
    options = ["--name", NAME, "--slots", str(slots), "--window", str(window)]
    if api_key:
        options += ["--api-key", api_key]
    log = folder / "llama_server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.real_servers.llama_server", str(model), *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # The last line is the address; the library may greet on the same stream.
            url = next((line.strip() for line in process.stdout if line.startswith("http://")), None)
            if url is None:
                raise ServerNotHad(f"llama.cpp's server does not run here ({process.wait()}): {log.read_text()[-500:]}")
            authorization = f"Bearer {api_key}" if api_key else None
            yield RealServer(Protocol.OPENAI, url, process, log, window=window, authorization=authorization)
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()


@contextmanager
def ollama_server(folder: Path, program: Path) -> Iterator[RealServer]:
    """Run this Ollama for the block, with the tiny model and one slot; nothing of it stays behind."""
    modelfile = folder / "Modelfile"
    modelfile.write_text(MODELFILE.format(model=write_tiny_model(folder / "tiny.gguf")))
    own = {
        "HOME": str(folder),
        "OLLAMA_HOST": "127.0.0.1:0",
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NUM_PARALLEL": "1",
        "OLLAMA_NO_CLOUD": "1",
    }
    log = folder / "ollama.log"
    with (
        log.open("w") as errors,
        # A group of its own: Ollama's runners are processes too.
        subprocess.Popen(
            [program, "serve"],
            env=os.environ | own,
            stdout=errors,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            address = _address_in(log, process)
            subprocess.run(
                [program, "create", NAME, "-f", modelfile],
                env=os.environ | own | {"OLLAMA_HOST": address},
                check=True,
                capture_output=True,
                timeout=START_SECONDS,
            )
            yield RealServer(Protocol.OLLAMA, f"http://{address}", process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _address_in(log: Path, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while (found := re.search(r"Listening on ([0-9.:]+) ", log.read_text())) is None:
        assert process.poll() is None, f"Ollama ended: {log.read_text()[-500:]}"
        assert time.monotonic() < deadline, f"Ollama does not listen: {log.read_text()[-500:]}"
        time.sleep(0.02)
    return found[1]
