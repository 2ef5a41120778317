"""A real model server in a process of its own, which serves the tiny model."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from derive.model_servers.settings import ModelSettings, Protocol
from tests.real_servers.tiny_model import NAME, write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 20


class ServerNotHad(Exception):
    """There is no such server on this machine; the text says what to install."""


@dataclass
class RealServer:
    """A server that answers at ``url``; ``window`` is how many tokens it holds of one question and its answer."""

    protocol: Protocol
    url: str
    window: int
    process: subprocess.Popen[str]
    model: str = NAME
    authorization: str | None = field(default=None, repr=False)

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
            "first_byte_seconds": 60,
        }
        return own | changed

    def decoded(self) -> int:
        """Return how often the model was computed since the server began: once a token written, once a piece read."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=STOP_SECONDS) as response:  # noqa: S310
            counters = dict(line.rsplit(" ", 1) for line in response.read().decode().splitlines())
        return int(counters["llamacpp:n_decode_total"])


@contextmanager
def llama_server(
    folder: Path, *, slots: int = 1, window: int = 8_192, api_key: str | None = None
) -> Iterator[RealServer]:
    """Run llama.cpp's server for the block; raises ServerNotHad where its package has no wheel."""
    if find_spec("xllamacpp") is None:
        raise ServerNotHad("llama.cpp's server is not installed: `make setup` does it where xllamacpp has a wheel")
    model = folder / "tiny.gguf"
    if not model.exists():
        write_tiny_model(model)
    options = ["--name", NAME, "--slots", str(slots), "--window", str(window)]
    if api_key:
        options += ["--api-key", api_key]
    log = folder / "llama_server.log"
    with log.open("a") as errors:
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
            address = next((line.strip() for line in process.stdout if line.startswith("http://")), None)
            if address is None:
                raise ServerNotHad(f"llama.cpp's server does not run here ({process.wait()}): {log.read_text()[-500:]}")
            yield RealServer(
                Protocol.OPENAI, address, window, process, authorization=f"Bearer {api_key}" if api_key else None
            )
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()
