"""A folder as a source: its files become subjects, and what cannot be read is listed with the reason."""

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import ValidationError

from derive.errors import SourceError
from derive.evidence.references import Extraction
from derive.sources.contract import Source, SourceSubject, SubjectEvidence, Unreadable
from derive.sources.file_tree import LocalTree
from derive.sources.files import FilesKeys, files_source
from derive.sources.globs import compile_globs

LATER = 4_000_000_000.0
"""A clock long after any file of a test was written."""


def source_of(folder: Path, *globs: str, clock: float = LATER, columns: Mapping[str, object] | None = None) -> Source:
    keys = {"entity_type": "document", "folder": "unused"} | ({"globs": globs} if globs else {}) | dict(columns or {})
    return files_source("docs", FilesKeys.model_validate(keys), LocalTree(folder, clock=lambda: clock))


def subjects_of(source: Source) -> dict[str, SourceSubject]:
    return {one.entity_id: one for one in source.subjects() if isinstance(one, SourceSubject)}


def unreadable(source: Source) -> dict[str, str]:
    found: Iterator[object] = iter([*source.subjects(), *source.read_all()])
    return {one.address.rsplit("/", 1)[-1]: one.reason for one in found if isinstance(one, Unreadable)}


def text_of(source: Source, entity_id: str) -> str | None:
    (item,) = source.evidence(subjects_of(source)[entity_id])
    return item.text


def test_each_matching_file_is_a_subject_named_by_its_relative_path(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in ("one.txt", "a/two.md", "a/b/three.TXT", "a/b/four.txt", ".hidden.txt", "a/picture.png"):
        (tmp_path / path).write_text(path)
    assert sorted(subjects_of(source_of(tmp_path))) == ["a/b/four.txt", "a/two.md", "one.txt"]
    assert sorted(subjects_of(source_of(tmp_path, "a/*"))) == ["a/two.md"]
    assert sorted(subjects_of(source_of(tmp_path, "**/*.TXT"))) == ["a/b/three.TXT"]


def test_a_subject_has_the_address_of_its_file_and_its_text_without_the_mark(tmp_path: Path) -> None:
    (tmp_path / "Größe 1%.txt").write_bytes(b"\xef\xbb\xbfl\xc3\xa4nger\r\n")
    source = source_of(tmp_path)
    (subject,) = subjects_of(source).values()
    assert subject.address == (tmp_path / "Größe 1%.txt").as_uri()
    (item,) = source.evidence(subject)
    assert (item.evidence_id, item.source_uri, item.text) == ("document", subject.address, "länger\r\n")


def test_the_change_token_stays_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    before = subjects_of(source_of(tmp_path))["a.txt"].change_token
    assert before is not None
    assert subjects_of(source_of(tmp_path))["a.txt"].change_token == before
    file.write_text("two")
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert subjects_of(source_of(tmp_path))["a.txt"].change_token != before


def test_a_file_written_a_moment_ago_has_no_change_token_yet(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    written = file.stat().st_mtime
    assert subjects_of(source_of(tmp_path, clock=written + 1))["a.txt"].change_token is None
    assert subjects_of(source_of(tmp_path, clock=written + 3))["a.txt"].change_token is not None
    assert subjects_of(source_of(tmp_path, clock=written - 3600))["a.txt"].change_token is not None


def test_evidence_carries_the_token_of_what_was_read(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    source = source_of(tmp_path)
    old = subjects_of(source)["a.txt"]
    file.write_text("twice")
    (found,) = source.with_evidence([old])
    assert isinstance(found, SubjectEvidence)
    assert found.subject == subjects_of(source)["a.txt"] != old


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("text")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "wide.txt").write_text("text", "utf-16")
    (tmp_path / "binary.txt").write_bytes(b"a\x00b")
    (tmp_path / "large.txt").write_bytes(b"x" * 4_194_305)
    (tmp_path / "long.txt").write_bytes(b"x" * 1_000_001)
    (tmp_path / "link.txt").symlink_to(tmp_path / "good.txt")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / f"{'a' * 200}").mkdir()
    (tmp_path / f"{'a' * 200}" / f"{'b' * 200}.txt").write_text("text")
    source = source_of(tmp_path)
    reasons = unreadable(source)
    assert reasons.keys() == {
        *("empty.txt", "latin.txt", "wide.txt", "binary.txt", "large.txt", "long.txt", "link.txt", "loop", "pipe.txt"),
        "b" * 200 + ".txt",
    }
    assert reasons["empty.txt"] == "it has no text"
    assert reasons["latin.txt"] == "it is not UTF-8 (byte 3): save it as UTF-8"
    assert reasons["wide.txt"] == "it is UTF-16: save it as UTF-8"
    assert "U+0000" in reasons["binary.txt"]
    assert reasons["large.txt"] == "it is larger than 4,194,304 bytes: split it"
    assert reasons["long.txt"] == "its text is longer than 1,000,000 characters: split it"
    assert "symbolic link" in reasons["link.txt"]
    assert "symbolic link" in reasons["loop"]
    assert reasons["pipe.txt"] == "it is no plain file"
    assert "longer than 400 characters" in reasons["b" * 200 + ".txt"]
    assert [one.subject.entity_id for one in source.read_all() if isinstance(one, SubjectEvidence)] == ["good.txt"]


def test_a_name_that_is_not_unicode_is_listed(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("text")
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    (reason,) = unreadable(source_of(tmp_path)).values()
    assert reason == "its name is not UTF-8: rename it"


def test_a_file_that_changes_while_it_is_read_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    source = source_of(tmp_path)
    subject = subjects_of(source)["a.txt"]
    tree = LocalTree(tmp_path)
    with tree.open_file("a.txt") as opened:
        assert opened.is_unchanged()
        file.write_text("longer")
        assert not opened.is_unchanged()
        monkeypatch.setattr("derive.sources.files.LocalTree.open_file", lambda *_: _Again(opened))
        (found,) = source.with_evidence([subject])
    assert isinstance(found, Unreadable)
    assert found.subject == subject
    assert found.reason == "it changed while it was read; it is read again the next time"


class _Again:
    def __init__(self, opened: object) -> None:
        self._opened = opened

    def __enter__(self) -> object:
        return self._opened

    def __exit__(self, *_: object) -> None:
        pass


def test_a_file_that_is_gone_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    source = source_of(tmp_path)
    subject = subjects_of(source)["a.txt"]
    (tmp_path / "a.txt").unlink()
    (found,) = source.with_evidence([subject])
    assert isinstance(found, Unreadable)
    with pytest.raises(SourceError, match="No such file"):
        source.evidence(subject)


@pytest.mark.parametrize(
    "path", ["../secret.txt", "%2e%2e/secret.txt", "a/../../secret.txt", "link/secret.txt", ".a.txt"]
)
def test_no_address_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / ".a.txt").write_text("secret")
    (root / "link").symlink_to(tmp_path)
    subject = SourceSubject("document", path, None, f"{root.as_uri()}/{path}")
    (found,) = source_of(root).with_evidence([subject])
    assert isinstance(found, Unreadable)


def test_a_folder_that_is_gone_is_an_error_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        list(source_of(tmp_path / "none").subjects())


def test_a_tree_that_is_too_deep_is_listed_where_it_is_left(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(66):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("text")
    (reason,) = unreadable(source_of(tmp_path)).values()
    assert reason == "it lies deeper than 64 folders: move it up"


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("**/*.md", "a.md x/a.md x/y/a.md", "a.mdx a.md/x"),
        ("*.md", "a.md", "x/a.md"),
        ("a/**", "a/b a/b/c", "a b/a"),
        ("a/**/b.txt", "a/b.txt a/x/y/b.txt", "a/xb.txt"),
        ("[a-c]?.txt", "b1.txt", "d1.txt b/.txt b.txt"),
        ("[!a].txt", "b.txt", "a.txt /.txt"),
        ("a+(b).txt", "a+(b).txt", "aab.txt"),
        ("[.txt", "[.txt", "a.txt"),
    ],
)
def test_globs_match_whole_paths(glob: str, matching: str, other: str) -> None:
    matches = compile_globs([glob])
    assert [path for path in matching.split() if not matches(path)] == []
    assert [path for path in other.split() if matches(path)] == []


def test_the_extraction_is_recorded_with_the_hash_of_the_original(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"<p>text")
    (tmp_path / "b.txt").write_bytes(b"text")
    source = source_of(tmp_path)
    (page,) = source.evidence(subjects_of(source)["a.html"])
    (plain,) = source.evidence(subjects_of(source)["b.txt"])
    assert page.extraction is not None
    assert (page.extraction.tool, page.text) == ("selectolax", "text")
    assert page.extraction.original_sha256 == sha256(b"<p>text").hexdigest()
    assert plain.extraction == Extraction(tool="utf-8", version="1", original_sha256=sha256(b"text").hexdigest())


def test_another_version_of_the_tool_changes_the_token_of_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.html").write_text("<p>text")
    (tmp_path / "b.txt").write_text("text")
    before = subjects_of(source_of(tmp_path))
    monkeypatch.setattr("derive.sources.file_texts.tool_of", lambda _: ("selectolax", "99"))
    after = subjects_of(source_of(tmp_path))
    assert before["a.html"] != after["a.html"]
    assert before["b.txt"] == after["b.txt"]


ROWS = {"entity": "id", "text": ["title", "body"], "uri": "link"}


def test_the_rows_of_csv_and_jsonl_files_are_subjects(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,title,body,link\n1,T,"two\nlines",https://u:canary@x/1\n2,,B,\n', "utf-8-sig")
    (tmp_path / "b.jsonl").write_text('{"id": 3, "title": "größer"}\n\n{"id": "4", "body": "x", "link": null}\n')
    (tmp_path / "c.txt").write_text("not rows")
    source = source_of(tmp_path, columns=ROWS)
    subjects = subjects_of(source)
    assert sorted(subjects) == ["1", "2", "3", "4"]
    assert subjects["2"].address == (tmp_path / "a.csv").as_uri() + "#line=4"
    found = {one.subject.entity_id: one for one in source.read_all() if isinstance(one, SubjectEvidence)}
    assert [(item.evidence_id, item.text) for item in found["1"].items] == [("title", "T"), ("body", "two\nlines")]
    assert found["1"].items[0].source_uri == "https://x/1"
    assert found["4"].items[0].source_uri == subjects["4"].address
    assert list(source.with_evidence(subjects.values())) == list(found.values())
    assert list(source.with_evidence(reversed(subjects.values()))) == list(reversed(found.values()))


def test_a_row_that_cannot_be_read_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = [
        '{"id": "1", "title": "x"}',
        "no json",
        '{"title": "x"}',
        '{"id": "1", "title": "again"}',
        '{"id": "2", "title": " "}',
        '{"id": " 3", "title": "x"}',
        f'{{"id": "4", "title": "{"x" * 1_000_001}"}}',
        f'{{"id": "{"5" * 401}", "title": "x"}}',
        '{"id": "6", "title": "good"}',
        '{"id": "7", "title": ["x"]}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (tmp_path / "b.csv").write_text("id,id\n1,2\n")
    source = source_of(tmp_path, columns=ROWS)
    assert sorted(subjects_of(source)) == ["1", "6"]
    reasons = unreadable(source)
    assert reasons["a.jsonl#line=2"].startswith("line 2 is not JSON")
    assert reasons["a.jsonl#line=3"] == "it has no entity: id is empty"
    assert reasons["a.jsonl#line=4"] == "an earlier row has this entity, and this one is not read"
    assert reasons["a.jsonl#line=5"] == "it has no text: title and body is empty"
    assert reasons["a.jsonl#line=6"] == "its entity has blanks at an end"
    assert reasons["a.jsonl#line=7"] == "title is longer than 1,000,000 characters: split it"
    assert reasons["a.jsonl#line=8"] == "its entity is longer than 400 characters"
    assert reasons["a.jsonl#line=10"] == "title is no text"
    assert reasons["b.csv#line=1"].startswith("line 1 the header names a column twice")


def test_a_row_that_has_moved_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": "1", "title": "x"}\n{"id": "2", "title": "y"}\n')
    source = source_of(tmp_path, columns=ROWS)
    subjects = subjects_of(source)
    file.write_text('{"id": "2", "title": "y"}\n')
    first, second = source.with_evidence(subjects.values())
    assert isinstance(first, Unreadable)
    assert isinstance(second, Unreadable)
    assert first.reason == "another row is in its place: it is read again the next time"
    assert second.reason == "its row is no longer in the file"


@pytest.mark.parametrize("columns", [{"entity": "id"}, {"text": "body"}, {"uri": "link"}, {"entity": "id", "text": []}])
def test_columns_are_declared_together(tmp_path: Path, columns: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        source_of(tmp_path, columns=columns)
