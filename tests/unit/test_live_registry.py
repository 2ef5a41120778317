"""Interrogations are loaded again when their files change."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from derive.errors import QueueError
from derive.interrogations import live_registry
from derive.interrogations.live_registry import CHECK_SECONDS, LiveRegistry
from derive.interrogations.loaded_interrogation import LoadedInterrogation
from tests.unit.test_interrogation_registry import OUTPUT, package

NEWER = OUTPUT.replace("1.0.0", "1.1.0")
_times = count(1)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self, live: LiveRegistry) -> bool:
        """Let the time until the next look pass, and look."""
        self.now += CHECK_SECONDS
        return live.refresh()

    def settle(self, live: LiveRegistry) -> bool:
        """Look as often as it takes to load what has changed."""
        self.tick(live)
        return self.tick(live)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def change(folder: Path, name: str, text: str) -> None:
    """Write a file, with a time of its own however fast the tests are."""
    file = folder / name
    file.write_text(text)
    os.utime(file, ns=(next(_times), next(_times)))


def test_an_edited_folder_is_loaded_once_it_has_settled(tmp_path: Path, clock: Clock) -> None:
    mood = package(tmp_path, "mood")
    live = LiveRegistry(tmp_path, clock=clock)
    change(mood, "output.py", NEWER)
    assert not clock.tick(live)
    change(mood, "rubric.md", "Be very brief.\n")
    assert not clock.tick(live), "it is still being written"
    assert live.current.get("mood").version == "1.0.0"
    assert clock.tick(live)
    assert live.current.get("mood").version == "1.1.0"
    assert live.current.get("mood").definition.rubric == "Be very brief.\n"
    assert not clock.settle(live)


def test_files_are_looked_at_every_two_seconds_at_most(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LiveRegistry(tmp_path, clock=clock)
    looks: list[Path | None] = []

    def look(folder: Path | None) -> tuple[str, ...]:
        looks.append(folder)
        return ()

    monkeypatch.setattr(live_registry, "_files_of", look)
    clock.now = CHECK_SECONDS - 0.001
    live.refresh()
    assert not looks
    clock.now = CHECK_SECONDS
    live.refresh()
    live.refresh()
    assert len(looks) == 1


def test_new_folders_are_loaded_and_deleted_ones_removed(tmp_path: Path, clock: Clock) -> None:
    live = LiveRegistry(tmp_path, clock=clock)
    folder = package(tmp_path, "mood")
    assert clock.settle(live)
    assert live.current.get("mood")
    (folder / "output.py").unlink()
    assert clock.settle(live)
    assert "mood" in live.current.broken


@pytest.mark.parametrize("breaking", ["broken", "gone"])
def test_a_worker_keeps_what_it_had_when_it_breaks_or_disappears(tmp_path: Path, clock: Clock, breaking: str) -> None:
    folder = package(tmp_path, "mood")
    live = LiveRegistry(tmp_path, keep_last_good=True, clock=clock)
    if breaking == "broken":
        change(folder, "prompt.md", "no evidence")
    else:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    assert clock.settle(live)
    assert live.current.get("mood").version == "1.0.0"
    assert not live.current.broken
    package(tmp_path, "mood", output_py=NEWER) if breaking == "gone" else change(folder, "output.py", NEWER)
    change(folder, "prompt.md", "$evidence")
    assert clock.settle(live)
    assert live.current.get("mood").version == "1.1.0"
    assert [one.version for one in live.current.all() if one.key == "mood"] == ["1.1.0"]


def test_what_is_not_accepted_is_broken_and_what_was_accepted_is_not_asked_about_again(
    tmp_path: Path, clock: Clock
) -> None:
    asked: list[str] = []

    def accept(one: LoadedInterrogation) -> str | None:
        asked.append(one.key)
        return "changed under its old version" if one.key == "mood" else None

    package(tmp_path, "mood")
    live = LiveRegistry(tmp_path, accept=accept, clock=clock)
    assert live.current.broken["mood"].endswith("mood: changed under its old version")
    assert [one.key for one in live.current.all()] == ["sw_entity_facts_v1"]
    change(tmp_path / "mood", "output.py", NEWER)
    clock.settle(live)
    assert asked == ["mood", "sw_entity_facts_v1", "mood"]


def test_a_change_that_could_not_be_registered_is_tried_again(tmp_path: Path, clock: Clock) -> None:
    answers: Iterator[bool] = iter([True, True, False, True])

    def accept(_: LoadedInterrogation) -> None:
        if not next(answers):
            raise QueueError("the database is away")

    folder = package(tmp_path, "mood")
    live = LiveRegistry(tmp_path, accept=accept, clock=clock)
    change(folder, "output.py", NEWER)
    clock.tick(live)
    with pytest.raises(QueueError):
        clock.tick(live)
    assert live.current.get("mood").version == "1.0.0"
    assert clock.tick(live)
    assert live.current.get("mood").version == "1.1.0"


def test_warnings_problems_and_changes_are_logged_with_their_interrogation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    package(tmp_path, "broken", rubric_md=None)
    package(tmp_path, "mood", prompt_md="$evidence\n" + "Look closely at every word of it. " * 40)
    with caplog.at_level("INFO"):
        live = LiveRegistry(tmp_path, clock=clock)
        assert "interrogation.reloaded" not in caplog.messages
        package(tmp_path, "newer")
        clock.settle(live)
    said = {(one.message, getattr(one, "interrogation_key", "")): one for one in caplog.records}
    assert "rubric.md is missing" in said["interrogation.broken", "broken"].error  # type: ignore[attr-defined]
    assert "the server reads the others again" in said["interrogation.lint", "mood"].warning  # type: ignore[attr-defined]
    assert [key for message, key in said if message == "interrogation.reloaded"] == ["newer"]
