"""The real servers. Where one cannot be had its tests skip and say so; REQUIRE_LLAMA_SERVER=1 makes that a failure."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.conftest import every_history_holds_together
from tests.faults import worker_world
from tests.faults.worker_world import World, a_hurried_world
from tests.real_servers.servers import OLLAMA_PROGRAM, RealServer, ServerNotHad, llama_server, ollama_server

NARROW_WINDOW = 1_024
DEADLINE_SECONDS = 120
"""To read a prompt of thousands of tokens takes the processor a second, and others use it as well."""


@contextmanager
def or_skip(started: AbstractContextManager[RealServer]) -> Iterator[RealServer]:
    """Run a server for the block; where it cannot be had, skip the test, or fail it where it was promised."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(started)
        except ServerNotHad as error:
            if os.environ.get("REQUIRE_LLAMA_SERVER") == "1":
                raise
            pytest.skip(str(error))
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """One server with one slot for all tests, so that what one leaves running holds up the next.

    The Ollama that OLLAMA_PROGRAM names, as ``make test-ollama`` does; without it llama.cpp's.
    """
    folder = tmp_path_factory.mktemp("server")
    started = ollama_server(folder, Path(OLLAMA_PROGRAM)) if OLLAMA_PROGRAM else llama_server(folder)
    with or_skip(started) as server:
        yield server


@pytest.fixture(scope="session")
def narrow(server: RealServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server that a short prompt fills."""
    if server.is_ollama:
        # It makes the window as wide as it is asked for; llama.cpp's server has the one it was started with.
        yield replace(server, window=NARROW_WINDOW)
    else:
        with llama_server(tmp_path_factory.mktemp("narrow"), window=NARROW_WINDOW) as other:
            yield other


@pytest.fixture
def world(server: RealServer, empty_queue: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """What a worker stands on, with the real server instead of the stand-in, and the time that one may need."""
    monkeypatch.setattr(worker_world, "DEADLINE_SECONDS", DEADLINE_SECONDS)
    with a_hurried_world(tmp_path / "lake", monkeypatch) as world:
        world.ollama |= server.given()
        yield world
    every_history_holds_together()
    world.nothing_half_written()
