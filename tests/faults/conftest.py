"""What the faults are met with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from derive.worker import gate, lease, loop, options, patience, start
from tests.contract.conftest import every_history_holds_together
from tests.fake_ollama import FakeOllama, behaviours
from tests.faults.worker_world import GOOD_ANSWER, WatchedWorker, World


@pytest.fixture
def world(empty_queue: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose model answers properly; after the test every job's history must hold together."""
    monkeypatch.setattr(start, "Worker", WatchedWorker)
    # The same steps, sooner: what is waited for is a condition, and each would come in seconds anyway.
    monkeypatch.setattr(options, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "REAP_SECONDS", 0.1)
    monkeypatch.setattr(lease, "RECONNECT_SECONDS", 0.05)
    monkeypatch.setattr(gate, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(gate, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(loop, "AWAY_SECONDS", 0.05)
    monkeypatch.setattr(patience, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(patience, "LONGEST_PAUSE_SECONDS", 0.05)
    with FakeOllama() as fake:
        fake.always(behaviours.answer(GOOD_ANSWER))
        world = World(fake=fake, lake_root=tmp_path / "lake")
        try:
            yield world
        finally:
            world.stop_all()
    every_history_holds_together()
    world.nothing_half_written()
