"""``manage.py sources``: what it shows of the declared sources, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from derive.interrogations.registry import Registry

CONTENT = """
[[source]]
name = "letters"
kind = "files"
entity_type = "letter"
folder = "letters"

[[source.rule]]
name = "drafts"
glob = "draft*"
skip = "a draft"
"""


@pytest.fixture
def letters(tmp_path: Path, settings: Settings) -> Path:
    """A declared source of three letters."""
    settings.SOURCES_FILE = tmp_path / "sources.toml"
    settings.SOURCES_FILE.write_text(CONTENT, "utf-8")
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("Write to ada@example.com.\x1b[31m")
    (folder / "draft.txt").write_text("draft")
    return folder


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        call_command("sources", *arguments)
    said = capsys.readouterr()
    return int(str(caught.value.code)), said.out, said.err


def test_without_a_file_it_says_what_to_do(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.SOURCES_FILE = None
    assert ran(capsys)[:2] == (
        0,
        "no sources: declare some in a file and name it by HOLOCRON_SOURCES (docs/sources.md)\n",
    )
    assert ran(capsys, "--json")[:2] == (0, "[]\n")


def test_it_lists_the_sources_and_what_is_wrong_with_which(letters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys)[:2] == (0, "letters  files\n")
    (letters.parent / "sources.toml").write_text(f'{CONTENT}[[source]]\nname = "b"\nkind = "x"\n')
    code, out, _ = ran(capsys, "list", "--json")
    good, bad = json.loads(out)
    assert code == 1
    assert good == {"name": "letters", "kind": "files", "broken": None}
    assert "kind: write" in bad["broken"]


def test_the_preview_shows_evidence_as_a_model_will_see_it(letters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "preview", "letters", "--json")
    shown: dict[str, Any] = json.loads(out)
    (subject,) = shown["subjects"]
    (item,) = subject["items"]
    assert code == 0
    assert "ada@example.com" not in out
    assert item["text"].startswith("Write to [redacted:")
    assert subject["extractions"][0]["tool"] == "utf-8"
    assert [one["reason"] for one in shown["skipped"]] == ["a draft"]
    assert shown["is_whole"] is True


def test_the_preview_on_a_terminal_sends_it_no_control_characters(
    letters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ran(capsys, "preview", "letters")
    assert code == 0
    assert "\x1b" not in out
    assert "letter a.txt" in out
    assert "skipped: draft.txt: a draft (drafts)" in out
    assert "That is all of it." in out


def test_the_preview_stops_after_ten(letters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        (letters / f"{number}.txt").write_text("text")
    shown = json.loads(ran(capsys, "preview", "letters", "--json")[1])
    assert len(shown["subjects"]) == 10
    assert shown["is_whole"] is False


def test_what_cannot_be_read_is_counted_by_reason(letters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (letters / "b.txt").symlink_to("a.txt")
    (letters / "c.txt").symlink_to("a.txt")
    code, out, _ = ran(capsys, "count", "letters")
    assert code == 1
    assert out.startswith("1 subjects (")
    assert "1 skipped by rules, 2 unreadable" in out
    assert "  2 × it is a symbolic link" in out
    counted = json.loads(ran(capsys, "count", "letters", "--json")[1])
    assert (counted["subjects"], counted["skipped"], counted["unreadable"]) == (1, 1, 2)


@pytest.mark.parametrize("action", ["preview", "count"])
def test_a_source_that_cannot_be_read_ends_with_two_and_one_line(
    letters: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    code, _, err = ran(capsys, action, "lettres")
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean letters?" in err
    for file in letters.iterdir():
        file.unlink()
    letters.rmdir()
    code, _, err = ran(capsys, action, "letters")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("sources: letters: the folder ")


def test_the_preview_is_cut_to_the_bounds_of_an_interrogation(
    letters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (letters / "a.txt").write_text("word " * 20_000)
    shown = json.loads(ran(capsys, "preview", "letters", "--interrogation", "sw_entity_facts_v1", "--json")[1])
    bounds = Registry.load(None).get("sw_entity_facts_v1").bounds
    assert len(shown["subjects"][0]["items"][0]["text"].encode()) <= bounds.max_item_bytes
    code, _, err = ran(capsys, "preview", "letters", "--interrogation", "none_such")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no interrogation 'none_such'" in err
