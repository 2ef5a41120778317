"""The real servers. Where one cannot be had its tests skip and say so; REQUIRE_LLAMA_SERVER=1 makes that a failure."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.contract.conftest import every_history_holds_together
from tests.faults.worker_world import World, a_hurried_world
from tests.real_servers.servers import RealServer, ServerNotHad, llama_server


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
    """One server with one slot for all tests, so that what one leaves running holds up the next."""
    with or_skip(llama_server(tmp_path_factory.mktemp("llama_server"))) as server:
        yield server


@pytest.fixture
def world(server: RealServer, empty_queue: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """What a worker stands on, with the real server instead of the stand-in."""
    with a_hurried_world(tmp_path / "lake", monkeypatch) as world:
        world.ollama |= server.given()
        yield world
    every_history_holds_together()
    world.nothing_half_written()
