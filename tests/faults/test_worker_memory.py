"""What a worker does about memory: what stays to its end is not looked through for garbage."""

import gc

import pytest

from derive.worker import start
from tests.faults.worker_world import World


def test_what_is_loaded_when_a_worker_starts_is_never_looked_through_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    monkeypatch.setattr(gc, "set_threshold", given.append)
    before = gc.get_freeze_count()
    world.enqueue()
    assert world.work().last_status == "SUCCEEDED"
    assert gc.get_freeze_count() > before
    assert given == [start.OBJECTS_BEFORE_COLLECTING]
