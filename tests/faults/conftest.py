"""What the faults are met with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.conftest import every_history_holds_together
from tests.faults.worker_world import World, a_hurried_world


@pytest.fixture
def world(empty_queue: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose model answers properly; after the test every job's history must hold together."""
    with a_hurried_world(tmp_path / "lake", monkeypatch) as world:
        yield world
    every_history_holds_together()
    world.nothing_half_written()
