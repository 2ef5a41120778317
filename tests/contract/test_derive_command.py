"""``manage.py derive``, as its user types it."""

import json
from pathlib import Path
from typing import Any

import pytest

from derive.derivations import price
from derive.models import Batch, Derivation, Job
from derive.queue import JobQueue
from tests.contract.derived import NAME, World
from tests.contract.test_batches_command import ran


@pytest.fixture
def world(queue: JobQueue, tmp_path: Path, settings: Any) -> World:
    return World(tmp_path, settings)


def told(*arguments: str, code: int = 0) -> Any:
    """What ``derive`` prints with ``--json``."""
    ended, out, err = ran("derive", *arguments, "--json")
    assert ended == code, err
    return json.loads(out)


def test_a_derivation_is_planned_applied_and_shown(world: World) -> None:
    world.write("hoth", "naboo")
    plan = told("plan", NAME)
    assert {name: plan[name] for name in ("derivation", "new", "changed", "stale", "gone", "current")} == {
        "derivation": NAME,
        "new": 2,
        "changed": 0,
        "stale": {"definition": 0, "model": 0, "asked": 0},
        "gone": 0,
        "current": 0,
    }
    assert plan["price"]["tokens"] == {"expected": None, "low": None, "high": None}
    assert plan["price"]["from_runs"] == 0
    assert "too little history" in plan["price"]["why"]
    assert "2  new" in ran("derive", "plan", NAME)[1]
    assert told("list")[0]["states"]["QUEUED"] == 0
    assert told("apply", NAME, "--max-jobs", "1", "--reason", "try it", code=1)["left"] == 1
    assert told("apply", NAME)["queued"] == 1
    world.work()
    status = told("status", NAME)
    assert (status["percent"], status["states"]["CURRENT"], len(status["batches"])) == (100, 2, Batch.objects.count())
    assert "100 % of 2 subjects current" in ran("derive", "list")[1]
    assert "CURRENT" in ran("derive", "status", NAME)[1]


def test_the_price_comes_from_the_history_of_interrogation_and_model(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price, "FEWEST_JOBS", 3)
    world.write(*"abc")
    told("apply", NAME)
    world.work()
    world.write(*"de")
    cost = told("plan", NAME)["price"]
    assert (cost["from_runs"], cost["jobs"]) == (3, 2)
    assert cost["tokens"]["low"] <= cost["tokens"]["expected"] == 240 <= cost["tokens"]["high"]
    assert cost["wall_seconds"]["expected"] is None
    assert "no worker" in cost["why"]
    assert "tokens        240" in ran("derive", "plan", NAME)[1]
    world.declare(model="another")
    assert told("plan", NAME)["price"]["tokens"]["expected"] is None


def test_answers_are_asked_for_again_and_pauses_are_kept(world: World) -> None:
    world.write("hoth")
    told("apply", NAME)
    world.work()
    assert told("ask", NAME, "--entity", "hoth.txt", "--reason", "doubt")["asked"] == 1
    assert ran("derive", "ask", NAME, "--entity", "nowhere.txt", "--reason", "doubt")[0] == 2
    assert told("pause", NAME, "--reason", "later")["changed"]
    assert Derivation.objects.get().pause_reason == "later"
    code, _out, err = ran("derive", "apply", NAME)
    assert (code, "paused" in err) == (2, True)
    assert told("resume", NAME)["changed"]
    assert not told("resume", NAME, code=1)["changed"]
    assert told("apply", NAME)["queued"] == 1
    assert Job.objects.count() == 2


def test_an_unknown_derivation_is_an_error_that_names_the_known(world: World) -> None:
    code, _out, err = ran("derive", "plan", "planet")
    assert (code, f"did you mean {NAME}" in err) == (2, True)


def test_without_a_file_there_are_none(world: World, settings: Any) -> None:
    settings.SOURCES_FILE = None
    assert told("list") == []
    assert "no derivations" in ran("derive", "list")[1]
