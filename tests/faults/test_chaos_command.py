"""How ``python -m tests.chaos`` ends: the command itself, over a small history in place of a chaos of its own."""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import django
import pytest

from tests import chaos
from tests.chaos import run as chaos_run
from tests.chaos import world as chaos_world
from tests.chaos.story import story_of
from tests.faults.chaos_scene import SUCCEEDED, Scene, changed, make_scene
from tests.faults.worker_world import World

SEED = 1138


@pytest.fixture
def scene(world: World) -> Scene:
    return make_scene(world)


@pytest.fixture
def grounds(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The world that the command is given: the scene's, which Django has met already."""
    grounds = SimpleNamespace(environment={}, folder=tmp_path / "chaos" / "world", is_kept=False)

    @contextmanager
    def this_world(rng: Random, *, keep: bool) -> Iterator[SimpleNamespace]:
        yield grounds

    monkeypatch.setattr(chaos_world, "chaos_world", this_world)
    monkeypatch.setattr(chaos_run, "run_chaos", lambda world, rng, **how: scene.report())
    monkeypatch.setattr(django, "setup", lambda: None)
    monkeypatch.setattr(sys, "argv", ["chaos", "--seed", str(SEED)])
    return grounds


def exit_code() -> Any:
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(chaos.__name__, run_name="__main__")
    return ended.value.code


def test_a_broken_promise_is_exit_code_1_with_the_seed_and_the_jobs_whole_story(
    scene: Scene, grounds: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with changed(f"UPDATE llm.job SET max_attempts = 1 WHERE job_id = {SUCCEEDED}"):
        code, story = exit_code(), list(story_of(scene.history, scene.succeeded))
    said = capsys.readouterr().out.splitlines()
    assert code == 1
    assert said[0] == f"seed {SEED}"
    broken = [place for place, line in enumerate(said) if line.startswith(f"VIOLATION (seed {SEED}) ")]
    (place,) = broken
    assert "no job got more than max attempts without a requeue" in said[place]
    assert len(story) > 6
    assert said[place + 1 : place + 1 + len(story)] == story
    assert said[place + 1 + len(story)] == "1 violations"
    assert said[-1] == f"logs, lake and database are kept: {grounds.folder.parent}"
    assert grounds.is_kept


def test_kept_promises_are_exit_code_0_and_nothing_is_kept(
    grounds: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code() == 0
    said = capsys.readouterr().out
    assert "\n0 violations\n" in said
    assert "VIOLATION" not in said
    assert not grounds.is_kept
