"""``manage.py report_facts``: a file that is whole or not there, with the evidence as it was recorded."""

import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from derive.errors import LakeUnavailable
from derive.fact_report import report
from derive.fact_report.document import ReportDocument
from derive.lake import Lake
from derive.models import Artifact
from derive.queue import JobQueue
from tests.admin.facts_scene import KEY, QUOTES, a_fact, three_facts, told


@pytest.fixture
def lake(queue: JobQueue, settings: Settings, tmp_path: Path) -> Lake:
    settings.LAKE_URL = str(tmp_path / "lake")
    (tmp_path / "lake").mkdir()
    call_command("set_up_lake")
    return Lake.open(settings.LAKE_URL)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "facts.html"


def reported(*arguments: Any) -> int:
    """Run the command; its exit code."""
    with pytest.raises(SystemExit) as ended:
        call_command("report_facts", *map(str, arguments))
    return int(ended.value.code or 0)


def runs_in(page: Path) -> list[str]:
    return re.findall(r"<dt>Run</dt>\s*<dd>\s*<bdi>([0-9a-f-]{36})</bdi>", page.read_text("utf-8"))


def test_a_job_is_reported_with_its_facts_marked_in_the_evidence(
    lake: Lake, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, run_id = told(lake, three_facts())
    assert reported("--job", job_id, "--output", out) == 0
    page = out.read_text("utf-8")
    assert runs_in(out) == [str(run_id)]
    assert "llama3.2:latest" in page
    assert "sw_entity_facts_v1 1.0.0" in page
    assert re.search(r'<mark class="is-refuted has-refuted"[^>]*> in 19 BBY<', page)
    assert "The quote says 19 BBY, the value 41 BBY." in page
    assert f"3 facts of 1 answer in {out}" in capsys.readouterr().out
    assert list(out.parent.glob(".*")) == []


def test_entities_and_interrogations_find_their_answers_newest_first(lake: Lake, out: Path) -> None:
    _job, first = told(lake, three_facts())
    _job, second = told(lake, three_facts(), evidence_sha256="cd" * 32)
    _job, other = told(lake, three_facts(), entity_id="umber/droid", interrogation_key="other_v1")
    assert reported("--entity", "character/tala-venn", "--output", out) == 0
    assert runs_in(out) == [str(second), str(first)]
    both = ("--entity", "character/umber/droid", "--entity", "character/tala-venn", "--overwrite")
    assert reported(*both, "--output", out) == 0
    assert runs_in(out) == [str(other), str(second), str(first)]
    assert reported("--interrogation", KEY, "--output", out, "--overwrite") == 0
    assert runs_in(out) == [str(second), str(first)]


def test_superseded_answers_are_left_out_unless_asked_for_or_named_by_their_job(lake: Lake, out: Path) -> None:
    old_job, old = told(lake, three_facts())
    _job, new = told(lake, three_facts())
    entity = ("--entity", "character/tala-venn", "--overwrite", "--output", out)
    reported(*entity)
    assert runs_in(out) == [str(new)]
    reported(*entity, "--superseded")
    assert runs_in(out) == [str(new), str(old)]
    reported("--job", old_job, "--overwrite", "--output", out)
    assert runs_in(out) == [str(old)]
    assert "Superseded" in out.read_text("utf-8")


def test_many_answers_are_walked_a_batch_at_a_time(lake: Lake, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_BATCH_RUNS", 2)
    runs = [told(lake, (a_fact(0, QUOTES[0]),), entity_id=f"e{number}")[1] for number in range(5)]
    assert reported("--interrogation", KEY, "--output", out) == 0
    assert runs_in(out) == [str(run_id) for run_id in reversed(runs)]


def test_an_answer_of_very_many_facts_is_cut_and_says_so(
    lake: Lake, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MAX_FACTS", 2)
    job_id, _run = told(lake, three_facts())
    assert reported("--job", job_id, "--output", out) == 0
    assert "1 more facts of this answer are not shown." in out.read_text("utf-8")


def test_evidence_that_is_missing_or_changed_is_told_in_the_report_and_never_shown(lake: Lake, out: Path) -> None:
    jobs = [told(lake, three_facts(), entity_id=f"e{number}") for number in range(3)]
    uris = [Artifact.objects.get(run_id=run, artifact_type="evidence_bundle").lake_uri for _job, run in jobs]
    root = out.parent / "lake"
    (root / uris[0]).unlink()
    (root / uris[1]).chmod(0o600)
    (root / uris[1]).write_text("forged evidence")
    arguments = [argument for job_id, _run in jobs for argument in ("--job", job_id)]
    assert reported(*arguments, "--output", out) == 0
    page = out.read_text("utf-8")
    assert page.count('class="problem"') == 2
    assert "The evidence cannot be read" in page
    assert "NOT what was recorded" in page
    assert "forged evidence" not in page
    assert page.count("that evidence is not at hand") == 6
    assert page.count('<article class="item">') == 1


@pytest.mark.parametrize(
    "arguments",
    [("--job", UUID(int=7)), ("--entity", "character/nobody"), ("--interrogation", "unheard_of")],
)
def test_nothing_found_is_exit_code_1_and_no_file(
    arguments: tuple[Any, ...], lake: Lake, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(lake, None)
    assert reported(*arguments, "--output", out) == 1
    assert not out.exists()
    assert "no facts found" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--job", "x"),
        ("--entity", "tala-venn"),
        ("--entity", "/x"),
        ("--entity", "x/"),
        ("--entity", "a\udcff/b"),
        ("--interrogation", "a\udcff"),
        ("--job", uuid4(), "--interrogation", "k"),
        (),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_parser(arguments: tuple[Any, ...], out: Path) -> None:
    with pytest.raises(CommandError):
        call_command("report_facts", *map(str, arguments), "--output", str(out))


def test_a_file_that_is_there_is_kept_unless_told_otherwise(
    lake: Lake, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, _run = told(lake, three_facts())
    out.write_text("mine")
    assert reported("--job", job_id, "--output", out) == 2
    assert out.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    assert reported("--job", job_id, "--output", out.parent / "no" / "such.html") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_what_stops_halfway_leaves_what_was_there(
    lake: Lake, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, _run = told(lake, three_facts())
    out.write_text("mine")
    real = ReportDocument.write_to

    def broken(error: BaseException) -> Any:
        def write(self: ReportDocument, sink: Any, **named: Any) -> None:
            real(self, sink, **named)
            raise error

        return write

    for error, code in ((OSError(28, "No space left on device"), 2), (KeyboardInterrupt(), 130)):
        monkeypatch.setattr(ReportDocument, "write_to", broken(error))
        assert reported("--job", job_id, "--output", out, "--overwrite") == code
        assert out.read_text() == "mine"
        assert list(out.parent.glob(".*")) == []
    assert "No space left" in capsys.readouterr().err


def test_a_lake_that_is_away_is_one_line_and_no_file(
    lake: Lake, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, _run = told(lake, three_facts())

    def away(*_arguments: Any, **_named: Any) -> bytes:
        raise LakeUnavailable("the lake is away")

    monkeypatch.setattr(Lake, "read", away)
    assert reported("--job", job_id, "--output", out) == 2
    assert "the lake is away" in capsys.readouterr().err
    assert not out.exists()
