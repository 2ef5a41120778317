"""Exports as a person runs the command: what is in a file, column by column, and which rows."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from derive.contracts import JudgedFact, RunFacts
from derive.export import reading
from derive.export.columns import COLUMNS, Rows
from derive.export.selection import ExportSelection
from derive.queue import JobQueue
from derive.sql.clock import database_now
from derive.states import JobStatus, Verdict
from tests.contract.babelfish import Lack, lacks
from tests.contract.exports import answered, exported, lines_of, number_of, records_of
from tests.contract.scenes import KEY, an_artifact, claimed, failure, queued, ref, run_of, success
from tests.contract.test_views import FACTS, rows_of

HOSTILE = '=HYPERLINK("http://x","y"),\n"quoted"\u2028<script>\u202e'


def test_an_answer_comes_with_its_whole_lineage(queue: JobQueue, tmp_path: Path) -> None:
    claim = claimed(queue, entity_type="character", entity_id="luke")
    artifact = an_artifact("parsed_output")
    facts = RunFacts(
        output_json='{ "n": 1.50,\n "big": 123456789012345678901234567890 }',
        model_name="llama3.2",
        model_tag="latest",
        model_digest="ab" * 32,
        options_json='{"seed":0}',
        prompt_tokens=5,
        output_tokens=7,
        total_ms=9,
        interrogation_version="1.0.0",
        definition_sha256="cd" * 32,
        evidence_sha256="ef" * 32,
    )
    queue.complete(success(claim, run=facts, artifacts=(an_artifact(), artifact)))

    assert exported(str(tmp_path / "out.jsonl")) == 0

    text = (tmp_path / "out.jsonl").read_text("utf-8")
    assert text.count("\n") == 1
    assert '"output": { "n": 1.50,  "big": 123456789012345678901234567890 }' in text
    row = json.loads(text)
    assert list(row) == [column.name for column in COLUMNS[Rows.OUTPUTS]]
    run = run_of(claim)
    assert (row["job_id"], row["run_id"], row["run_seq"]) == (str(claim.job_id), str(claim.run_id), run.run_seq)
    assert (row["lake_uri"], row["content_sha256"]) == (artifact.lake_uri, artifact.content_sha256)
    assert (row["model_digest"], row["definition_sha256"], row["evidence_sha256"]) == ("ab" * 32, "cd" * 32, "ef" * 32)
    assert (row["entity_type"], row["entity_id"], row["interrogation_key"]) == ("character", "luke", KEY)
    assert row["options"] == {"seed": 0}
    assert row["completed_utc"] == run.completed_utc.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_facts_are_the_rows_of_the_view(queue: JobQueue, tmp_path: Path) -> None:
    answered(queue, json.dumps({"facts": FACTS}), entity_id="luke")
    assert exported(str(tmp_path / "out.jsonl"), "--facts") == 0
    first, second = lines_of(tmp_path / "out.jsonl")
    assert (first["fact_key"], first["value"], first["confidence"]) == ("home", "Tatooine", 90)
    assert first["evidence_ids"] == ["e1", "e2"]
    shown = sorted(rows_of("v_entity_fact"), key=lambda row: row["fact_index"])
    for row, of_view in zip((first, second), shown, strict=True):
        assert {name: row[name] for name in ("fact_index", "fact_key", "value", "confidence", "quote")} == {
            name: of_view[name] for name in ("fact_index", "fact_key", "value", "confidence", "quote")
        }


def test_only_admitted_facts_are_exported_unless_all_are_asked_for(queue: JobQueue, tmp_path: Path) -> None:
    good, *bad = (
        JudgedFact(fact_index=place, path=f"facts[{place}]", value=str(verdict), proof="words", verdict=verdict)
        for place, verdict in enumerate(Verdict)
    )
    queue.complete(success(claimed(queue), facts=(good, *bad)))
    for name, option in (("some", "--facts"), ("all", "--all-facts")):
        for form in ("jsonl", "csv"):
            assert exported(str(tmp_path / f"{name}.{form}"), option) == 0
    assert [(row["value"], row["admitted"]) for row in lines_of(tmp_path / "some.jsonl")] == [("SUPPORTED", True)]
    assert [row["admitted"] for row in lines_of(tmp_path / "all.jsonl")] == [True, False, False]
    assert [row["admitted"] for row in records_of(tmp_path / "all.csv")] == ["true", "false", "false"]
    assert {row["review_status"] for row in lines_of(tmp_path / "all.jsonl")} == {"NONE", "OPEN"}


def test_only_succeeded_runs_are_reported_in_the_order_of_their_numbers(queue: JobQueue, tmp_path: Path) -> None:
    queue.complete(failure(claimed(queue), run=RunFacts(output_json="{}")))
    claims = [answered(queue) for _ in range(3)]
    claimed(queue)
    exported(str(tmp_path / "out.jsonl"))
    assert [row["run_id"] for row in lines_of(tmp_path / "out.jsonl")] == [str(claim.run_id) for claim in claims]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--entity", "leia"], {"leia"}),
        (["--entity-type", "planet"], {"hoth"}),
        (["--model", "llama3.2"], {"luke", "leia", "hoth"}),
        (["--model", "llama3.2:latest"], {"luke", "leia", "hoth"}),
        (["--model", "llama3.2:3b"], set()),
        (["--interrogation", KEY, "--interrogation-version", "1.0.0"], {"luke", "leia", "hoth"}),
        (["--interrogation", "' OR 1=1 --"], set()),
        (["--interrogation-version", "2.0.0"], set()),
        (["--since", "1h"], {"luke", "leia", "hoth"}),
        (["--until", "1h"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("rows", [[], ["--facts"]], ids=["outputs", "facts"])
def test_a_filter_narrows(
    queue: JobQueue, tmp_path: Path, rows: list[str], arguments: list[str], told: set[str]
) -> None:
    for kind, name in (("character", "luke"), ("character", "leia"), ("planet", "hoth")):
        answered(queue, '{"facts": [{}]}', entity_type=kind, entity_id=name)
    assert exported(str(tmp_path / "out.jsonl"), *rows, *arguments) == 0
    assert {row["entity_id"] for row in lines_of(tmp_path / "out.jsonl")} == told


def test_jobs_are_chosen_by_their_ids(queue: JobQueue, tmp_path: Path) -> None:
    claims = [answered(queue) for _ in range(3)]
    exported(str(tmp_path / "out.jsonl"), "--job", str(claims[0].job_id), "--job", str(claims[2].job_id))
    assert [row["job_id"] for row in lines_of(tmp_path / "out.jsonl")] == [
        str(claims[place].job_id) for place in (0, 2)
    ]


def test_csv_keeps_hostile_text_as_data_and_runs_nothing_in_a_spreadsheet(queue: JobQueue, tmp_path: Path) -> None:
    facts = [{"fact_key": HOSTILE, "value": "-5", "quote": "@SUM(A1)", "confidence": 3}]
    answered(queue, json.dumps({"facts": facts}), entity_id="+1-800")
    exported(str(tmp_path / "guarded.csv"), "--facts")
    exported(str(tmp_path / "exact.csv"), "--facts", "--exact")
    (guarded,), (exact,) = records_of(tmp_path / "guarded.csv"), records_of(tmp_path / "exact.csv")
    assert list(guarded) == [column.name for column in COLUMNS[Rows.FACTS]]
    assert (guarded["fact_key"], guarded["quote"]) == (f"'{HOSTILE}", "'@SUM(A1)")
    assert (guarded["value"], guarded["confidence"], guarded["entity_id"]) == ("-5", "3", "'+1-800")
    assert (exact["fact_key"], exact["quote"], exact["entity_id"]) == (HOSTILE, "@SUM(A1)", "+1-800")
    assert exact["entity_type"] == ""


@pytest.mark.parametrize("rows", [[], ["--facts"]], ids=["outputs", "facts"])
def test_parquet_contains_the_same_rows_as_jsonl(queue: JobQueue, tmp_path: Path, rows: list[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("luke", HOSTILE):
        answered(queue, json.dumps({"facts": FACTS}), entity_id=name.strip())
    assert exported(str(tmp_path / "out.parquet"), *rows) == 0
    assert exported(str(tmp_path / "out.jsonl"), *rows) == 0
    table = parquet.read_table(tmp_path / "out.parquet")
    assert str(table.schema.field("completed_utc").type) == "timestamp[us, tz=UTC]"
    lines = lines_of(tmp_path / "out.jsonl")
    for row, line in zip(table.to_pylist(), lines, strict=True):
        assert list(row) == list(line)
        for name in ("run_id", "entity_id", "run_seq", "lake_uri", "content_sha256"):
            assert row[name] == line[name]
        told = "evidence_ids" if rows else "output"
        assert (json.loads(row[told]) if row[told] else None) == line[told]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.parquet"]


def test_an_export_of_nothing_is_an_empty_file(queue: JobQueue, tmp_path: Path) -> None:
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        assert exported(str(tmp_path / name)) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert (tmp_path / "out.csv").read_text("utf-8").startswith("run_seq,job_id,")
    assert (tmp_path / "out.parquet").read_bytes()[:4] == b"PAR1"


def test_parquet_without_its_package_prints_what_to_install(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert exported(str(tmp_path / "out.parquet")) == 2
    assert "pip install 'pyarrow>=17'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(queue: JobQueue, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.jsonl").write_bytes(b"mine")
    assert exported(str(tmp_path / "out.jsonl")) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_bytes() == b"mine"
    assert exported(str(tmp_path / "out.jsonl"), "--overwrite") == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["no/such/folder/out.jsonl"], "cannot be written"),
        (["-", "--format", "parquet"], "standard output"),
        (["out.jsonl", "--exact"], "--exact"),
        (["out.jsonl", "--resume"], "omit --resume"),
        (["out.jsonl", "--interrogation", " x"], "--interrogation"),
    ],
)
def test_a_bad_wish_is_one_line(
    queue: JobQueue, in_folder: None, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert exported(*arguments) == 2
    told = capsys.readouterr().err
    assert word in told
    assert told.count("\n") == 1, told


def test_the_numbers_of_purged_runs_are_passed_at_one_stride(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answered(queue)
    for _ in range(8):
        answered(queue)
    last = answered(queue)
    queue.set_hold([ref(first), ref(last)], actor="ada", hold=True)
    moment = run_of(last).completed_utc + timedelta(days=1)
    queue.purge(finished_before_utc=moment, statuses=[JobStatus.SUCCEEDED], actor="ada")
    monkeypatch.setattr(reading, "WINDOW_RUNS", 1)
    steps = reading.read_range(
        ExportSelection(), after=number_of(first) - 1, through=number_of(last), ended_by=database_now()
    )
    assert [position for position, batch in steps if not batch] == [
        number_of(first),
        number_of(last) - 1,
        number_of(last),
    ]


@lacks(Lack.LONG_JSON_STRINGS)
def test_large_answers_are_read_in_small_portions(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [answered(queue, json.dumps({"text": "x" * size})) for size in (10, 5_000, 10, 10)]
    monkeypatch.setattr(reading, "MAX_WINDOW_BYTES", 1_000)
    ranges: list[str] = []
    real = reading._rows

    def read(chosen: Any, where: str) -> Any:
        ranges.append(where)
        return real(chosen, where)

    monkeypatch.setattr(reading, "_rows", read)
    exported(str(tmp_path / "out.jsonl"))
    assert [row["run_id"] for row in lines_of(tmp_path / "out.jsonl")] == [str(claim.run_id) for claim in claims]
    assert len(ranges) >= 3, "the large answer is read by itself"


def test_standard_output_contains_only_rows(
    queue: JobQueue, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    claim = answered(queue)
    queued(queue)
    assert exported("-") == 0
    out, _err = capfdbinary.readouterr()
    assert [json.loads(line)["run_id"] for line in out.splitlines()] == [str(claim.run_id)]


@pytest.mark.parametrize(("name", "code"), [("answers.xlsx", 2), ("answers.txt", 2), ("answers", 0), ("a.NDJSON", 0)])
def test_an_unknown_file_extension_is_refused(
    queue: JobQueue, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    answered(queue)
    assert exported(str(tmp_path / name)) == code
    assert (tmp_path / name).exists() is (code == 0)
    assert ("no format is known for ." in "".join(capsys.readouterr())) is (code == 2)
    assert exported(str(tmp_path / name), "--format", "csv", "--overwrite") == 0


@pytest.mark.parametrize("option", ["--facts", "--all-facts"])
def test_an_export_without_facts_says_why(
    queue: JobQueue, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    answered(queue)
    assert exported(str(tmp_path / "facts.csv"), option) == 0
    said = "".join(capsys.readouterr())
    assert "0 rows of runs" in said
    assert "no stored fact matched" in said
    assert ("--all-facts also" in said) is (option == "--facts")
