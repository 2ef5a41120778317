"""Stored facts are what judging a run's answer again gives; those of earlier runs are made from what these left."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from derive.errors import LakeUnavailable
from derive.fact_rebuilding import RebuildSelection, count_to_rebuild, rebuild_facts
from derive.interrogations.report import Validation, ValidationCheck
from derive.models import Fact, FactSet
from derive.queue import JobQueue
from derive.verify import reading
from derive.verify.findings import Finding
from tests.fake_ollama import FakeOllama, behaviours
from tests.faults.verify_scene import KEY, QUOTE, TEXT, Scene, change_run, execute, facts_answer, flip_byte

TWO = json.dumps(
    {
        "facts": [
            {"fact_key": key, "value": value, "confidence": 95, "evidence_ids": ["e1"], "quote": QUOTE}
            for key, value in (("homeworld", "Corvessa"), ("homeworld", "Tatooine"))
        ]
    }
)


@pytest.fixture
def scene(empty_queue: None, tmp_path: Path) -> Iterator[Scene]:
    with FakeOllama() as fake:
        yield Scene(tmp_path / "lake", fake)


def rows() -> list[dict[str, Any]]:
    return list(Fact.objects.order_by("fact_seq").values())


def forget_facts() -> None:
    """Make every run one from before facts were rows."""
    execute("DELETE FROM llm.fact")
    execute("DELETE FROM llm.fact_set")


def told(scene: Scene) -> list[str]:
    return [one.what for one in scene.verify() if isinstance(one, Finding) and one.check.value == "fact_rows"]


def report_of_then(validation: Validation) -> dict[str, Any]:
    """Return a report as it was before values were judged."""
    checks = [check.model_dump(mode="json", exclude={"why"}) for check in validation.checks]
    return {"valid": True, "error_kind": None, "error": None, "checks": checks}


def rebuild(scene: Scene, **given: Any) -> Any:
    selection = RebuildSelection(**{name: given.pop(name) for name in ("since", "limit", "again") if name in given})
    return rebuild_facts(scene.lake, selection, actor="ada", **given)


def test_the_facts_of_a_run_verify(scene: Scene) -> None:
    (run,) = scene.work(behaviours.answer(TWO), max_attempts=1)
    assert run.status == "SUCCEEDED"
    assert Fact.objects.count() == 2
    assert scene.findings() == []
    assert scene.findings(quick=True) == []


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("verdict", "NOT_ENOUGH_INFO", "fact 0: verdict is NOT_ENOUGH_INFO in SQL, judged again SUPPORTED"),
        ("quote_start", 0, "fact 0: quote_start is 0 in SQL, judged again"),
        ("value", "Hoth", "fact 0: value in SQL is another than the answer's"),
        ("value_key", "x", "fact 0: value_key in SQL is another"),
        ("fact_key", "x", "fact 0: fact_key in SQL is another"),
        ("fact_index", 7, "fact 0 is not stored"),
    ],
)
def test_a_changed_fact_is_found(column: str, value: Any, what: str, scene: Scene) -> None:
    scene.work(behaviours.answer(facts_answer(QUOTE[5:])))
    execute(f"UPDATE llm.fact SET {column} = %s", value)
    found = told(scene)
    assert any(one.startswith(what) for one in found), found
    assert not any("Hoth" in one for one in found)


def test_missing_facts_are_found_unless_they_were_never_stored(scene: Scene) -> None:
    run = scene.succeeded()
    execute("DELETE FROM llm.fact")
    assert told(scene) == ["fact 0 is not stored"]
    execute("DELETE FROM llm.fact_set")
    assert told(scene) == ["the answer's facts (1) are not stored"]
    report = scene.file(run, "validation.json")
    assert json.loads(report.read_bytes())["on_bad_fact"] == "ask_again"


def test_an_answer_judged_only_by_its_quotes_verifies_and_gets_its_facts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as then:
        grounding = ValidationCheck(name="grounding", result="passed")
        then.setattr("derive.interrogations.validation.check_acceptance", lambda _judged, _terms: ((grounding,), None))
        then.setattr(Validation, "report", report_of_then)
        (run,) = scene.work(behaviours.answer(TWO))
    assert run.status == "SUCCEEDED"
    forget_facts()
    assert scene.findings() == []
    assert rebuild(scene).verdicts == {"SUPPORTED": 1, "REFUTED": 1}
    assert scene.findings() == []
    execute("UPDATE llm.fact SET verdict = 'SUPPORTED'")
    assert told(scene) == ["fact 1: verdict is SUPPORTED in SQL, judged again REFUTED"]


def test_what_is_rebuilt_is_what_the_worker_stored(scene: Scene) -> None:
    # Which facts are sampled for review depends on their ids, and a rebuilt fact has an id of its own.
    JobQueue().set_review_policy(KEY, actor="ada", sample_percent=Decimal(0))
    scene.work(behaviours.answer(TWO), max_attempts=1)
    scene.succeeded()
    stored = rows()
    forget_facts()
    report = rebuild(scene)
    assert (report.runs, report.facts, report.failed) == (2, 3, [])
    assert report.verdicts == {"SUPPORTED": 2, "REFUTED": 1}
    made_by_the_database = {"fact_id", "fact_seq"}
    assert [{name: row[name] for name in row if name not in made_by_the_database} for row in rows()] == [
        {name: row[name] for name in row if name not in made_by_the_database} for row in stored
    ]
    assert scene.findings() == []


def test_an_interrupted_rebuild_continues_where_it_stopped(scene: Scene) -> None:
    for _ in range(3):
        scene.succeeded()
    forget_facts()

    def stop_after_the_first(_report: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(scene, on_progress=stop_after_the_first)
    assert (FactSet.objects.count(), count_to_rebuild(RebuildSelection())) == (1, 2)
    assert rebuild(scene, limit=1).runs == 1
    assert rebuild(scene).runs == 1
    assert rebuild(scene).runs == 0
    assert Fact.objects.count() == 3


def test_judging_again_keeps_the_ids_of_unchanged_facts(scene: Scene) -> None:
    scene.succeeded()
    ids = [row["fact_id"] for row in rows()]
    execute("UPDATE llm.fact SET verdict = 'REFUTED'")
    assert rebuild(scene).runs == 0
    assert rebuild(scene, again=True).runs == 1
    assert [(row["fact_id"], row["verdict"]) for row in rows()] == [(ids[0], "SUPPORTED")]


def test_a_dry_run_stores_nothing(scene: Scene) -> None:
    scene.succeeded()
    forget_facts()
    assert rebuild(scene, dry_run=True).facts == 1
    assert (Fact.objects.count(), FactSet.objects.count()) == (0, 0)


@pytest.mark.parametrize("name", ["evidence.json", "output.json"])
def test_changed_files_are_not_judged(name: str, scene: Scene) -> None:
    run = scene.succeeded()
    other = scene.succeeded()
    forget_facts()
    flip_byte(scene.file(run, name))
    report = rebuild(scene)
    ((failed, why),) = report.failed
    assert failed == run.run_id
    assert "does not have the SHA-256 that SQL recorded" in why
    assert [row["run_id"] for row in rows()] == [other.run_id]


def test_a_run_whose_evidence_or_definition_is_another_is_not_judged(scene: Scene) -> None:
    one, other = scene.succeeded(), scene.succeeded()
    forget_facts()
    change_run(one, evidence_sha256="0" * 64)
    change_run(other, definition_sha256=None)
    reasons = dict(rebuild(scene).failed)
    assert "not the evidence that the run names" in reasons[one.run_id]
    assert "no definition None" in reasons[other.run_id]


def test_an_unavailable_lake_ends_the_rebuild(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.succeeded()
    forget_facts()

    def away(*_: Any, **__: Any) -> bytes:
        raise LakeUnavailable("the lake is away")

    monkeypatch.setattr(type(scene.lake), "read", away)
    with pytest.raises(LakeUnavailable):
        rebuild(scene)


def test_many_facts_are_read_a_part_of_the_runs_at_a_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        scene.succeeded()
    monkeypatch.setattr(reading, "BATCH_FACTS", 1)
    batches = list(reading.stored_runs(reading.RunSelection()))
    assert [[len(run.facts or ()) for run in batch] for batch in batches] == [[1], [1], [1]]
    assert scene.findings() == []


def test_the_command_reports_what_it_did_also_by_its_exit_code(
    scene: Scene, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = scene.succeeded()
    forget_facts()
    settings.LAKE_URL = str(scene.root)
    for arguments, line, code in (
        (["--dry-run"], "would store 1 fact (1 SUPPORTED) of 1 run; 0 runs could not be judged\n", 0),
        (["--json"], '{"dry_run": false, "runs": 1, "facts": 1, "verdicts": {"SUPPORTED": 1}, "failed": []}\n', 0),
        ([], "stored 0 facts (none) of 0 runs; 0 runs could not be judged\n", 0),
    ):
        with pytest.raises(SystemExit) as ended:
            call_command("rebuild_facts", *arguments)
        assert (capsys.readouterr().out, ended.value.code) == (line, code)
    flip_byte(scene.file(run, "output.json"))
    with pytest.raises(SystemExit) as ended:
        call_command("rebuild_facts", "--again")
    captured = capsys.readouterr()
    assert (captured.out, ended.value.code) == ("stored 0 facts (none) of 0 runs; 1 run could not be judged\n", 1)
    assert captured.err.startswith(f"{run.run_id}: ")
    assert TEXT not in captured.err
    settings.LAKE_URL = "nowhere://at/all"
    with pytest.raises(SystemExit) as ended:
        call_command("rebuild_facts")
    assert ended.value.code == 2
