"""A worker's interrogations: broken ones wait, edited ones are used without a restart."""

import shutil
from pathlib import Path

import pytest

from derive.interrogations import live_registry
from derive.models import Interrogation
from tests.faults.worker_world import KEY, World, wait_until

OTHER = "other_v1"
BUILT_IN = Path(live_registry.__file__).parent / KEY


@pytest.fixture
def folder(world: World, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a second interrogation, looked at whenever a worker claims."""
    world.interrogations_folder = tmp_path_factory.mktemp("interrogations")
    made = world.interrogations_folder / OTHER
    made.mkdir()
    for name in ("prompt.md", "output.py", "rubric.md"):
        shutil.copy(BUILT_IN / name, made)
    monkeypatch.setattr(live_registry, "CHECK_SECONDS", 0.0)
    return made


def test_jobs_of_a_broken_interrogation_wait_and_the_others_are_worked(world: World, folder: Path) -> None:
    (folder / "prompt.md").write_text("no evidence")
    waiting, other = world.enqueue(interrogation_key=OTHER, priority=900), world.enqueue()
    world.work(runs=1)
    assert world.job(other).status == "SUCCEEDED"
    assert (world.job(waiting).status, world.runs(waiting)) == ("NEW", [])


def test_jobs_of_a_definition_changed_under_its_version_wait(world: World, folder: Path) -> None:
    world.enqueue(interrogation_key=OTHER)
    world.work(runs=1)
    (folder / "rubric.md").write_text("Something else.")
    waiting, other = world.enqueue(interrogation_key=OTHER, priority=900), world.enqueue()
    world.work(runs=1)
    assert world.job(other).status == "SUCCEEDED"
    assert (world.job(waiting).status, world.runs(waiting)) == ("NEW", [])


def test_a_running_worker_uses_an_edited_folder_and_mends_without_a_restart(world: World, folder: Path) -> None:
    whole = (folder / "prompt.md").read_text()
    (folder / "prompt.md").write_text("no evidence")
    with world.working():
        job = world.enqueue(interrogation_key=OTHER)
        world.wait_for(world.enqueue(), "SUCCEEDED")
        assert world.job(job).status == "NEW"
        (folder / "prompt.md").write_text(whole)
        world.wait_for(job, "SUCCEEDED")
        output = (folder / "output.py").read_text()
        (folder / "output.py").write_text(output.replace('VERSION = "1.2.0"', 'VERSION = "1.3.0"'))
        newer = Interrogation.objects.filter(interrogation_key=OTHER, version="1.3.0")
        wait_until(newer.exists, "the edited definition is registered")
        job = world.enqueue(interrogation_key=OTHER)
        world.wait_for(job, "SUCCEEDED")
        assert world.run(job).interrogation_version == "1.3.0"
