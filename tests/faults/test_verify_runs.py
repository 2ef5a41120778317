"""A verification finds each thing that was changed after the run, and nothing else."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from derive.contracts import JobInput
from derive.errors import LakeUnavailable
from derive.lake import ARTIFACTS, Lake
from derive.models import Artifact
from derive.queue import JobQueue
from derive.verify.checkers import Checkers, CheckersLost
from derive.verify.checking import RunChecker
from derive.verify.findings import Orphan, RunResult
from tests.fake_ollama import FakeOllama, behaviours
from tests.fake_ollama.answers import METRICS
from tests.faults.dying import die
from tests.faults.verify_scene import (
    Scene,
    change_artifact,
    change_definition,
    change_job,
    change_run,
    delete_artifact_rows,
    delete_run,
    execute,
    facts_answer,
    flip_byte,
)

# The worker's heartbeat has a way of its own to the database.
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "lease"], available_apps=["derive"])

OF_A_SUCCESS = sorted(ARTIFACTS.keys() - {"correction.json", "response.sse", "parts.json"})


@pytest.fixture
def scene(empty_queue: None, tmp_path: Path) -> Iterator[Scene]:
    with FakeOllama() as fake:
        yield Scene(tmp_path / "lake", fake)


@pytest.mark.parametrize("tail", [b"", b'{"cut'], ids=["whole", "and more"])
def test_a_last_line_without_its_end_is_taken_alike_by_worker_and_verification(tail: bytes, scene: Scene) -> None:
    last = json.dumps(behaviours.final_line()).encode()
    lines = behaviours.lines(behaviours.piece_line('{"facts": []}'), last + (b"\n" + tail if tail else b""), ends=False)
    (run,) = scene.work(lines, max_attempts=1)
    assert run.output_tokens == METRICS["eval_count"]
    assert scene.findings() == []


def test_runs_of_every_end_verify_as_they_were_left(scene: Scene) -> None:
    before, after = scene.corrected()
    assert scene.file(after, "correction.json").exists()
    (no_evidence,) = scene.work(
        runs=1, input_json='{"entity_type": "character", "entity_id": "tala", "source_refs": []}'
    )
    (crashed,) = scene.work(behaviours.crashed(), max_attempts=1)
    (cut,) = scene.work(behaviours.answer(facts_answer(), done_reason="length"), max_attempts=1)
    (broken,) = scene.work(behaviours.answer(facts_answer(), done_reason=None), max_attempts=1)
    (unknown,) = scene.work(runs=1, interrogation_key="nobody_asks_this")
    kinds = [run.error_kind for run in (before, after, no_evidence, crashed, cut, broken, unknown)]
    assert kinds == [
        *("ungrounded_output", None, "evidence_missing", "model_crashed", "truncated_output", "model_crashed"),
        "unknown_interrogation",
    ]
    assert scene.verify() == []
    assert scene.verify(quick=True) == []


@pytest.mark.parametrize("quote", ["born on\u00a0Corvessa", "Tala\u200b Venn", "took com-\nmand"])
def test_folded_quotes_are_judged_alike_by_worker_and_verification(quote: str, scene: Scene) -> None:
    (run,) = scene.work(behaviours.answer(facts_answer(quote, value=quote)), max_attempts=1)
    assert run.status == "SUCCEEDED", run.error
    told = json.loads(scene.file(run, "validation.json").read_bytes()).get("folded_quotes", [])
    assert told == ([] if "\u00a0" in quote else ["facts[0].quote"])
    assert scene.findings() == []


@pytest.mark.parametrize("quote", ["\u200b\u2060", "T"])
def test_a_quote_that_proves_nothing_is_refused_by_worker_and_verification(quote: str, scene: Scene) -> None:
    (run,) = scene.work(behaviours.answer(facts_answer(quote, value=quote)), max_attempts=1)
    assert run.error_kind == "ungrounded_output"
    assert scene.findings() == []


def test_a_repeated_run_verifies(scene: Scene) -> None:
    first = scene.succeeded()
    (again,) = scene.work(behaviours.answer(facts_answer()), repeats_run_id=first.run_id)
    assert again.status == "SUCCEEDED"
    assert scene.verify() == []


@pytest.mark.parametrize("name", OF_A_SUCCESS)
def test_one_flipped_byte_in_any_file_is_found(scene: Scene, name: str) -> None:
    run, other = scene.succeeded(), scene.succeeded()
    flip_byte(scene.file(run, name))
    assert scene.findings() == [(run.run_id, name, "bytes")]
    assert other.status == "SUCCEEDED"


def test_one_flipped_byte_in_a_correction_is_found(scene: Scene) -> None:
    _, run = scene.corrected()
    flip_byte(scene.file(run, "correction.json"))
    assert scene.findings() == [(run.run_id, "correction.json", "bytes")]


@pytest.mark.parametrize("name", OF_A_SUCCESS)
def test_a_deleted_file_is_found(scene: Scene, name: str) -> None:
    run = scene.succeeded()
    scene.file(run, name).unlink()
    assert scene.findings() == [(run.run_id, name, "missing")]
    assert scene.findings(quick=True) == [(run.run_id, name, "missing")]


@pytest.mark.parametrize("name", OF_A_SUCCESS)
def test_a_longer_and_a_shorter_file_are_found_without_reading_them(scene: Scene, name: str) -> None:
    longer, shorter = scene.succeeded(), scene.succeeded()
    with scene.file(longer, name).open("ab") as file:
        file.write(b" ")
    path = scene.file(shorter, name)
    path.write_bytes(path.read_bytes()[:-1])
    expected = [(longer.run_id, name, "size"), (shorter.run_id, name, "size")]
    assert scene.findings(quick=True) == expected
    assert scene.findings() == expected


@pytest.mark.parametrize("name", OF_A_SUCCESS)
def test_a_deleted_artifact_row_is_found(scene: Scene, name: str) -> None:
    run = scene.succeeded()
    delete_artifact_rows(run, ARTIFACTS[name][0])
    assert scene.findings(quick=True) == [(run.run_id, name, "row")]
    assert scene.findings() == [(run.run_id, name, "row")]


def test_a_run_without_any_artifact_row_is_found_and_is_no_orphan(scene: Scene) -> None:
    run = scene.succeeded()
    (failed,) = scene.work(behaviours.crashed(), max_attempts=1)
    delete_artifact_rows(run)
    delete_artifact_rows(failed)
    assert scene.findings() == [(run.run_id, "", "row"), (failed.run_id, "", "row")]


def test_a_missing_folder_is_one_finding(scene: Scene) -> None:
    run = scene.succeeded()
    scene.lake.delete_folder(scene.lake.run_folder(run.started_utc, run.run_id))
    assert scene.findings() == [(run.run_id, "", "missing")]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("artifact_type", "another"),
        ("media_type", "text/html"),
        ("content_sha256", "ab" * 32),
        ("byte_count", 1),
        ("lake_uri", "llm_runs/2026/01/02/elsewhere/prompt.txt"),
    ],
)
def test_a_changed_column_of_an_artifact_is_found(scene: Scene, column: str, value: Any) -> None:
    run = scene.succeeded()
    change_artifact(run, "prompt_text", **{column: value})
    assert scene.findings(quick=True) == [(run.run_id, "prompt.txt", "row")]
    assert scene.findings() == [(run.run_id, "prompt.txt", "row")]


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("media_type", "text/html", "row"),
        ("content_sha256", "ab" * 32, "bytes"),
        ("byte_count", 1, "size"),
        ("lake_uri", "llm_runs/2026/01/02/elsewhere/manifest.json", "row"),
    ],
)
def test_a_changed_column_of_the_manifests_row_is_found(scene: Scene, column: str, value: Any, check: str) -> None:
    run = scene.succeeded()
    change_artifact(run, "manifest", **{column: value})
    found = [one for one in scene.verify() if not isinstance(one, Orphan)]
    assert [(one.run_id, one.file, one.check.value) for one in found] == [(run.run_id, "manifest.json", check)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("attempt", 7),
        ("worker_id", "somebody"),
        ("interrogation_version", "9.9.9"),
        ("definition_sha256", "ab" * 32),
        ("evidence_sha256", "ab" * 32),
        ("error_kind", "internal"),
    ],
)
def test_a_changed_fact_of_the_run_is_found_once(scene: Scene, column: str, value: Any) -> None:
    run = scene.succeeded()
    change_run(run, **{column: value})
    assert scene.findings(quick=True) == [(run.run_id, "manifest.json", "facts")]
    assert scene.findings() == [(run.run_id, "manifest.json", "facts")]


@pytest.mark.parametrize("days", [0, 3])
def test_a_changed_start_is_found_once(scene: Scene, days: int) -> None:
    run = scene.succeeded()
    change_run(run, started_utc=run.started_utc - timedelta(days=days, microseconds=1))
    assert scene.findings() == [(run.run_id, "manifest.json", "facts")]


def test_a_failed_run_called_a_success_is_found(scene: Scene) -> None:
    (run,) = scene.work(behaviours.crashed(), max_attempts=1)
    change_run(run, status="SUCCEEDED", error_kind=None)
    expected = [(run.run_id, "manifest.json", "facts")] * 2
    assert scene.findings() == expected


def test_a_run_moved_to_another_job_is_found(scene: Scene) -> None:
    run, other = scene.succeeded(), scene.succeeded()
    delete_run(other)
    change_run(run, job_id=other.job_id)
    (finding, orphan) = scene.verify()
    assert not isinstance(finding, Orphan)
    assert (finding.run_id, finding.file, finding.check.value) == (run.run_id, "manifest.json", "facts")
    assert isinstance(orphan, Orphan)
    assert (orphan.run_id, orphan.why) == (other.run_id, "SQL does not know this run")


@pytest.mark.parametrize(
    ("column", "value", "file", "check"),
    [
        ("model_name", "other", "request.json", "request"),
        ("model_tag", "other", "request.json", "request"),
        ("model_digest", "ab" * 32, "model.json", "model"),
        ("options_json", '{"num_ctx": 1}', "request.json", "request"),
        ("metrics_json", "{}", "response.json", "metrics"),
        ("prompt_tokens", 5, "response.json", "metrics"),
        ("output_tokens", 5, "response.json", "metrics"),
        ("output_json", '{"facts": []}', "output.json", "output"),
        ("output_json", None, "output.json", "output"),
    ],
)
def test_a_column_that_the_files_know_better_is_found(
    scene: Scene, column: str, value: Any, file: str, check: str
) -> None:
    run = scene.succeeded()
    change_run(run, **{column: value})
    assert scene.findings() == [(run.run_id, file, check)]


def test_an_error_that_the_report_does_not_say_is_found(scene: Scene) -> None:
    before, _ = scene.corrected()
    change_run(before, error="all was well")
    assert scene.findings() == [(before.run_id, "validation.json", "validation")]


def test_an_output_of_a_run_without_a_valid_answer_is_found(scene: Scene) -> None:
    before, _ = scene.corrected()
    change_run(before, output_json='{"facts": []}')
    assert scene.findings() == [(before.run_id, "output.json", "output")]


def test_a_changed_input_of_the_job_is_found_by_the_prompt(scene: Scene) -> None:
    run = scene.succeeded()
    job_input = json.loads(run.job.input_json)
    change_job(run, input_json=json.dumps(job_input | {"entity_id": "somebody else"}))
    assert scene.findings() == [(run.run_id, "prompt.txt", "prompt")]


def test_a_changed_interrogation_of_the_job_is_found(scene: Scene) -> None:
    run = scene.succeeded()
    change_job(run, interrogation_key="another")
    assert scene.findings() == [(run.run_id, "manifest.json", "facts")]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("prompt_template", "Say yes. $evidence"),
        ("output_schema_json", '{"type": "object"}'),
        ("rubric", "be kind"),
        ("version", "9.9.9"),
        ("interrogation_key", "another"),
    ],
)
def test_an_edited_definition_is_found(scene: Scene, column: str, value: str) -> None:
    run = scene.succeeded()
    change_definition(**{column: value})
    assert scene.findings() == [(run.run_id, "", "definition")]
    assert scene.findings(quick=True) == []


def test_a_missing_definition_is_found(scene: Scene) -> None:
    run = scene.succeeded()
    execute("DELETE FROM llm.interrogation")
    assert scene.findings() == [(run.run_id, "", "definition")]


def test_two_swapped_files_are_both_found(scene: Scene) -> None:
    run = scene.succeeded()
    one, other = scene.file(run, "prompt.txt"), scene.file(run, "output.json")
    prompt, output = one.read_bytes(), other.read_bytes()
    one.write_bytes(output)
    other.write_bytes(prompt)
    assert sorted(scene.findings()) == [(run.run_id, "output.json", "size"), (run.run_id, "prompt.txt", "size")]


def test_two_runs_whose_folders_were_swapped_are_both_found(scene: Scene) -> None:
    one, other = scene.succeeded(), scene.succeeded()
    aside = scene.root / "aside"
    scene.folder(one).rename(aside)
    scene.folder(other).rename(scene.folder(one))
    aside.rename(scene.folder(other))
    found = scene.findings(quick=True)
    assert {(run_id, file) for run_id, file, _ in found} >= {
        (one.run_id, "manifest.json"),
        (other.run_id, "manifest.json"),
    }


@pytest.mark.parametrize("name", ["notes.txt", "correction.json"])
def test_an_added_file_is_found(scene: Scene, name: str) -> None:
    run = scene.succeeded()
    scene.file(run, name).write_text("{}")
    assert scene.findings(quick=True) == [(run.run_id, name, "extra")]
    assert scene.findings() == [(run.run_id, name, "extra")]


def test_an_added_artifact_row_is_found(scene: Scene) -> None:
    run = scene.succeeded()
    row = Artifact.objects.get(run_id=run.run_id, artifact_type="prompt_text")
    execute(
        "INSERT INTO llm.artifact (artifact_id, run_id, artifact_type, media_type, content_sha256, byte_count, "
        "lake_uri, created_utc) VALUES (%s, %s, 'correction', 'application/json', %s, 1, %s, %s)",
        *(uuid4(), run.run_id, "ab" * 32, row.lake_uri.replace("prompt.txt", "correction.json"), row.created_utc),
    )
    assert scene.findings(quick=True) == [(run.run_id, "correction.json", "row")]


def test_a_file_still_being_written_is_no_finding(scene: Scene) -> None:
    run = scene.succeeded()
    scene.file(run, ".response.ndjson.1234").write_text("half")
    assert scene.findings() == []


def test_running_runs_are_skipped(scene: Scene) -> None:
    scene.work(behaviours.answer(facts_answer()))
    JobQueue().enqueue(_job(), actor="test")
    (claim,) = JobQueue().claim("worker")
    scene.lake.write(scene.lake.run_folder(claim.started_utc, claim.run_id), "prompt.txt", b"half")
    assert scene.verify() == []


def test_runs_that_died_between_lake_and_sql_are_orphans_and_no_faults(scene: Scene) -> None:
    run = scene.succeeded()
    unknown = uuid4()
    JobQueue().enqueue(_job(), actor="test")
    (claim,) = JobQueue().claim("worker")
    folder = scene.lake.run_folder(claim.started_utc, claim.run_id)
    scene.lake.write(folder, "prompt.txt", b"asked")
    JobQueue().release(claim.run_id, reason="test")
    elsewhere = scene.lake.run_folder(run.started_utc - timedelta(days=400), run.run_id)
    scene.lake.write(elsewhere, "prompt.txt", b"asked")
    scene.lake.write(scene.lake.run_folder(claim.started_utc, unknown), "prompt.txt", b"asked")
    found = scene.verify()
    assert all(isinstance(one, Orphan) for one in found)
    assert {one.run_id: one.why for one in found if isinstance(one, Orphan)} == {
        claim.run_id: "the run ended CANCELLED (released) before its files were handed in",
        run.run_id: "SQL says that the files of this run are in " + scene.lake.run_folder(run.started_utc, run.run_id),
        unknown: "SQL does not know this run",
    }


def test_only_the_runs_asked_for_are_verified(scene: Scene) -> None:
    one, other = scene.succeeded(), scene.succeeded()
    flip_byte(scene.file(one, "prompt.txt"))
    flip_byte(scene.file(other, "prompt.txt"))
    (finding,) = scene.verify(run_id=other.run_id)
    assert finding.run_id == other.run_id
    (finding,) = scene.verify(since=other.started_utc)
    assert finding.run_id == other.run_id


def test_a_run_purged_while_it_is_verified_is_no_finding(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    run = scene.succeeded()
    checked = RunChecker.check

    def purge_first(self: RunChecker, stored: Any, definitions: Any) -> RunResult:
        with closing(connection):  # of the checking thread
            delete_run(run)
        scene.lake.delete_folder(scene.lake.run_folder(run.started_utc, run.run_id))
        result = checked(self, stored, definitions)
        assert result.findings
        return result

    monkeypatch.setattr(RunChecker, "check", purge_first)
    assert scene.verify() == []


def test_an_unavailable_lake_ends_the_verification_without_findings(scene: Scene) -> None:
    scene.succeeded()
    scene.root.rename(scene.root.with_name("unmounted"))
    with pytest.raises(LakeUnavailable):
        scene.verify()


def test_a_lake_in_an_object_store_verifies(scene: Scene) -> None:
    run = scene.succeeded()
    elsewhere = Lake.open(f"memory://{uuid4()}")
    folder = scene.lake.run_folder(run.started_utc, run.run_id)
    elsewhere.write_run(folder, {path.name: path.read_bytes() for path in scene.folder(run).iterdir()})
    scene.lake = elsewhere
    assert scene.verify() == []


def test_processes_find_the_same_as_threads(scene: Scene) -> None:
    scene.corrected()
    damaged, _ = scene.succeeded(), scene.succeeded()
    flip_byte(scene.file(damaged, "prompt.txt"))
    assert scene.verify_in_processes() == scene.verify()
    scene.root.rename(scene.root.with_name("unmounted"))
    with pytest.raises(LakeUnavailable):
        scene.verify_in_processes()


def test_a_process_that_dies_ends_the_verification(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.succeeded()
    monkeypatch.setattr("derive.verify.checkers._check_here", die)
    with pytest.raises(CheckersLost):
        scene.verify_in_processes()


@pytest.mark.parametrize(
    ("runs", "processors", "quick", "lake_url", "in_processes"),
    [
        (1_999, 8, False, "lake", False),
        (2_000, 8, False, "lake", True),
        (2_000, 1, False, "lake", False),
        (2_000, 8, True, "lake", False),
        (2_000, 8, False, "memory://lake", False),
    ],
)
def test_processes_are_started_only_where_they_are_worth_it(
    runs: int, processors: int, quick: bool, lake_url: str, in_processes: bool
) -> None:
    with Checkers.fitting(lake_url, None, quick=quick, runs=runs, processors=processors) as checkers:
        assert (checkers.ahead == 24) == in_processes


def _job() -> JobInput:
    return JobInput(interrogation_key="sw_entity_facts_v1", input_json="{}")
