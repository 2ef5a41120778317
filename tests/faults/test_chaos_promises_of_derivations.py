"""The chaos run's promises about derivations notice when they are broken: here each is, on purpose, once.

The derivation is a real one over real files; its rows are changed in a transaction that is rolled back.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from derive.contracts import JobRef
from derive.queue import JobQueue
from holocron.embedded_postgres.account import choose_account
from tests.chaos import appliers, derivation_promises
from tests.chaos.applier import APPLYING
from tests.chaos.appliers import Appliers
from tests.chaos.history import History, read_history
from tests.chaos.promises import judged
from tests.contract.derived import World, subject
from tests.faults.chaos_scene import changed

APPLIES = f'print(\'{{"event": "{APPLYING}"}}\', flush=True); signal.pause()'


@pytest.fixture
def world(empty_queue: None, tmp_path: Path, settings: Any) -> World:
    """Three texts: one answered twice, one whose job failed, one that is gone."""
    world = World(tmp_path, settings)
    world.write("hoth", "tatooine")
    world.apply()
    world.work()
    world.write("hoth", text="It is warm on {name} now.")
    (world.folder / "tatooine.txt").unlink()
    world.write("bespin")
    world.apply()
    JobQueue().cancel([JobRef(job_id=subject("bespin").job_id)], actor="ada")
    world.work()
    return world


def history() -> History:
    with connection.cursor() as cursor:
        return read_history(cursor)


def texts_of(world: World) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in world.folder.iterdir()}


def broken_promises(world: World) -> set[str]:
    now, texts = history(), texts_of(world)
    of_texts = derivation_promises.every_text_has_a_subject_that_was_asked_about_it
    found = [one for promise in derivation_promises.BY_SQL for one in judged(promise, now)]
    return {one.promise for one in [*found, *judged(of_texts, now, texts)]}


BROKEN = (
    (
        "no subject was derived twice for one fingerprint definition and model",
        "UPDATE llm.job SET evidence_ref_json = '{}' WHERE entity_id = 'hoth.txt'",
    ),
    (
        "every subject is settled as its newest job ended",
        "UPDATE llm.subject SET state = 'QUEUED' WHERE entity_id = 'bespin.txt'",
    ),
    ("an answer is in use or past", "DELETE FROM llm.past_answer WHERE because = 'superseded'"),
    ("an answer is in use or past", "DELETE FROM llm.past_answer WHERE because = 'retired'"),
    ("an answer is in use or past", "UPDATE llm.subject SET run_id = NULL WHERE entity_id = 'hoth.txt'"),
    (
        "every text has a subject that was asked about it",
        "UPDATE llm.subject SET state = 'RETIRED' WHERE entity_id = 'hoth.txt'",
    ),
    (
        "every text has a subject that was asked about it",
        "UPDATE llm.subject SET state = 'CURRENT' WHERE entity_id = 'tatooine.txt'",
    ),
)


def test_changed_rows_and_texts_break_the_promise(world: World) -> None:
    assert broken_promises(world) == set()
    for promise, sql in BROKEN:
        with changed(sql):
            assert promise in broken_promises(world), sql
    world.write("hoth", text="Nobody was asked about this on {name}.")
    assert broken_promises(world) == {"every text has a subject that was asked about it"}


@pytest.fixture
def make_appliers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Appliers]]:
    grounds: Any = SimpleNamespace(
        folder=tmp_path, sources_file=tmp_path / "sources.toml", environment={}, account=choose_account()
    )
    made: list[Appliers] = []

    def make(program: str) -> Appliers:
        command: Sequence[str] = (sys.executable, "-c", f"import signal, sys; {program}")
        monkeypatch.setattr(appliers, "COMMAND", command)
        made.append(Appliers(grounds, Random(7)))
        return made[-1]

    yield make
    for one in made:
        one.end()


def look_until(holds: Callable[[], bool], own: Appliers) -> None:
    while not holds():
        own.tend()


def test_an_applier_is_killed_while_it_applies_and_replaced(make_appliers: Callable[[str], Appliers]) -> None:
    own = make_appliers(APPLIES)
    look_until(own.kill_one, own)
    killed = [process for process in own.processes if process.exit_code == -signal.SIGKILL]
    assert len(killed) == 1
    own.tend()
    assert killed[0] not in own.processes
    assert (len(own.processes), own.violations) == (appliers.AT_ONCE, [])


def test_an_applier_that_ends_by_itself_is_found(make_appliers: Callable[[str], Appliers]) -> None:
    own = make_appliers("sys.exit('no such derivation')")
    look_until(lambda: bool(own.violations), own)
    assert "it ended with 1" in own.violations[0].what
    assert "no such derivation" in own.violations[0].what
