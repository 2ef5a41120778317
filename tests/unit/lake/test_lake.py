"""What the lake promises, on a folder and on an object store alike."""

import hashlib
import os
import resource
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from derive.contracts import Manifest, ManifestFile
from derive.errors import (
    LakeConflict,
    LakeError,
    LakeFileMissing,
    LakeFileTooLarge,
    LakePathRefused,
)
from derive.lake import ARTIFACTS, Lake, artifact_facts
from derive.lake_stores import local
from derive.lake_stores.directory import NamedDirectory
from tests.unit.lake.scene import FOLDER, RUN_ID, STARTED, manifest_of


@pytest.fixture(params=["local", "local, by name", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    if request.param == "memory":
        MemoryFileSystem.store.clear()
        yield Lake.open("memory://lake/below")
        MemoryFileSystem.store.clear()
        return
    if request.param == "local, by name":
        monkeypatch.setattr(local, "open_directory", NamedDirectory)
        monkeypatch.setattr(os, "rename", rename_as_windows_does)
    yield Lake.open(str(tmp_path / "a lake"))


def rename_as_windows_does(old: str, new: str) -> None:
    """Rename, but never over another file."""
    os.link(old, new)
    Path(old).unlink()


def test_what_was_written_is_read_back_byte_for_byte(lake: Lake) -> None:
    data = bytes(range(256)) * 300
    facts = lake.write(FOLDER, "request.json", data)
    assert facts.content_sha256 == hashlib.sha256(data).hexdigest()
    assert (facts.name, facts.byte_count) == ("request.json", len(data))
    assert (facts.artifact_type, facts.media_type) == ("request_json", "application/json")
    assert lake.read(f"{FOLDER}/request.json") == data
    assert lake.hash_file(f"{FOLDER}/request.json") == (facts.content_sha256, facts.byte_count)
    with lake.open_file(f"{FOLDER}/request.json") as stream:
        assert stream.read(3) == data[:3]


def test_an_empty_file_is_a_file(lake: Lake) -> None:
    lake.write(FOLDER, "prompt.txt", b"")
    assert lake.read(f"{FOLDER}/prompt.txt") == b""
    with pytest.raises(LakeConflict):
        lake.write(FOLDER, "prompt.txt", b"x")


def test_the_same_bytes_may_be_written_again(lake: Lake) -> None:
    assert lake.write(FOLDER, "prompt.txt", b"same") == lake.write(FOLDER, "prompt.txt", b"same")
    assert [entry.name for entry in lake.list_folder(FOLDER)] == ["prompt.txt"]


@pytest.mark.parametrize("other", [b"sane", b"sam", b"same ", b""])
def test_other_bytes_never_overwrite(lake: Lake, other: bytes) -> None:
    lake.write(FOLDER, "prompt.txt", b"same")
    with pytest.raises(LakeConflict, match=r"prompt\.txt"):
        lake.write(FOLDER, "prompt.txt", other)
    assert lake.read(f"{FOLDER}/prompt.txt") == b"same"


def test_a_batch_keeps_its_order_and_may_be_repeated(lake: Lake) -> None:
    files = {"response.json": b"2", "request.json": b"1", "model.json": b"3", "prompt.txt": b"4"}
    written = lake.write_all(FOLDER, files)
    assert [facts.name for facts in written] == list(files)
    assert lake.write_all(FOLDER, files) == written


def test_a_conflict_in_a_batch_leaves_what_was_there(lake: Lake) -> None:
    lake.write(FOLDER, "request.json", b"first")
    with pytest.raises(LakeConflict):
        lake.write_all(FOLDER, {"model.json": b"m", "request.json": b"second", "prompt.txt": b"p"})
    assert lake.read(f"{FOLDER}/request.json") == b"first"
    assert [entry.name for entry in lake.list_folder(FOLDER)] == ["model.json", "request.json"]


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/dev/fd")))  # noqa: PTH208 - a listing of numbers, no paths
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 60, hard))
    yield 60
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_large_batch_does_not_use_up_the_open_files(lake: Lake, few_descriptors: int) -> None:
    files = {f"{number:04}.txt": str(number).encode() for number in range(few_descriptors * 3)}
    lake.write_all("evidence", files)
    assert len(lake.list_folder("evidence")) == len(files)
    assert lake.read("evidence/0123.txt") == b"123"


def test_a_name_outside_the_table_is_a_plain_file(lake: Lake) -> None:
    facts = lake.write("evidence", "luke.txt", b"A farm boy")
    assert (facts.artifact_type, facts.media_type) == ("file", "application/octet-stream")


def test_a_spool_takes_bytes_as_they_come_and_shows_them_only_when_finished(lake: Lake) -> None:
    with lake.spool(FOLDER, "response.ndjson") as spool:
        for number in range(100):
            spool.write(b"%d\n" % number)
        assert lake.list_folder(FOLDER) == []
        with pytest.raises(LakeFileMissing):
            lake.read(f"{FOLDER}/response.ndjson")
        facts = spool.finish()
    data = b"".join(b"%d\n" % number for number in range(100))
    assert lake.read(f"{FOLDER}/response.ndjson") == data
    assert (facts.content_sha256, facts.byte_count) == (hashlib.sha256(data).hexdigest(), len(data))
    assert facts.artifact_type == "response_stream"


def test_a_folder_shows_what_a_spool_has_written_so_far_and_an_object_store_nothing(
    lake: Lake, request: pytest.FixtureRequest
) -> None:
    def seen(max_bytes: int = 100) -> tuple[bytes, int] | None:
        return lake.read_unfinished(FOLDER, "response.ndjson", max_bytes=max_bytes)

    lake.probe()
    assert seen() is None
    with lake.spool(FOLDER, "response.ndjson") as spool:
        spool.write(b"half an ")
        spool.write(b"answer")
        in_a_folder = "memory" not in request.node.callspec.id
        assert seen() == ((b"half an answer", 14) if in_a_folder else None)
        assert seen(6) == ((b"answer", 14) if in_a_folder else None)
        assert lake.read_unfinished(FOLDER, "response.sse", max_bytes=100) is None
        spool.finish()
    assert seen() is None
    with pytest.raises(LakePathRefused):
        lake.read_unfinished("llm_runs/../..", "response.ndjson", max_bytes=1)


def test_an_abandoned_spool_leaves_nothing(lake: Lake) -> None:
    with lake.spool(FOLDER, "response.ndjson") as spool:
        spool.write(b"half an ans")
    spool.abandon()
    assert lake.list_folder(FOLDER) == []


def test_a_spent_spool_takes_nothing_more(lake: Lake) -> None:
    spool = lake.spool(FOLDER, "response.ndjson")
    spool.finish()
    with pytest.raises(ValueError, match="before"):
        spool.write(b"more")
    with pytest.raises(ValueError, match="before"):
        spool.finish()
    assert lake.read(f"{FOLDER}/response.ndjson") == b""


def test_a_spool_does_not_overwrite(lake: Lake) -> None:
    lake.write(FOLDER, "response.ndjson", b"first")
    spool = lake.spool(FOLDER, "response.ndjson")
    spool.write(b"second")
    with pytest.raises(LakeConflict):
        spool.finish()
    assert lake.read(f"{FOLDER}/response.ndjson") == b"first"


def test_two_spools_of_one_name_with_the_same_bytes_both_finish(lake: Lake) -> None:
    spools = [lake.spool(FOLDER, "response.ndjson") for _ in range(2)]
    for spool in spools:
        spool.write(b"same")
    assert spools[0].finish() == spools[1].finish()


def test_a_run_is_written_in_one_go_with_its_manifest_last(lake: Lake) -> None:
    spool = lake.spool(FOLDER, "response.ndjson")
    spool.write(b"{}\n")
    seen: list[tuple[ManifestFile, ...]] = []

    def build(files: tuple[ManifestFile, ...]) -> Manifest:
        seen.append(files)
        assert lake.list_folder(FOLDER) == []
        return manifest_of(files)

    written = lake.write_run(FOLDER, {"request.json": b"{}", "prompt.txt": b"?"}, spool=spool, manifest=build)
    assert [facts.name for facts in written] == ["response.ndjson", "request.json", "prompt.txt", "manifest.json"]
    assert seen == [tuple(written[:3])]
    assert lake.read_manifest(FOLDER) == manifest_of(tuple(written[:3]))
    assert lake.hash_file(f"{FOLDER}/manifest.json") == (written[3].content_sha256, written[3].byte_count)


def test_a_manifest_that_cannot_be_built_leaves_nothing(lake: Lake) -> None:
    spool = lake.spool(FOLDER, "response.ndjson")

    def build(files: tuple[ManifestFile, ...]) -> Manifest:
        raise RuntimeError("no manifest")

    with pytest.raises(RuntimeError, match="no manifest"):
        lake.write_run(FOLDER, {"request.json": b"{}"}, spool=spool, manifest=build)
    assert lake.list_folder(FOLDER) == []


def test_a_conflict_keeps_the_manifest_from_appearing(lake: Lake) -> None:
    lake.write(FOLDER, "request.json", b"first")
    with pytest.raises(LakeConflict):
        lake.write_run(FOLDER, {"request.json": b"second"}, manifest=manifest_of)
    with pytest.raises(LakeFileMissing):
        lake.read_manifest(FOLDER)


def test_a_manifest_is_not_both_given_and_built(lake: Lake) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json"):
        lake.write_run(FOLDER, {"manifest.json": b"{}"}, manifest=manifest_of)


def test_a_spool_belongs_to_its_folder(lake: Lake) -> None:
    with lake.spool(FOLDER, "response.ndjson") as spool, pytest.raises(ValueError, match="spool is of"):
        lake.write_run("evidence", {}, spool=spool)


def test_a_manifest_is_written_and_read(lake: Lake) -> None:
    files = tuple(lake.write_all(FOLDER, {"request.json": b"{}"}))
    facts = lake.write_manifest(FOLDER, manifest_of(files))
    assert facts.artifact_type == "manifest"
    assert lake.write_manifest(FOLDER, manifest_of(files)) == facts
    assert lake.read_manifest(FOLDER).files == files


def test_a_file_that_is_not_a_manifest_is_reported(lake: Lake) -> None:
    lake.write(FOLDER, "manifest.json", b'{"files": 1}')
    with pytest.raises(LakeError, match="is not a manifest"):
        lake.read_manifest(FOLDER)
    with pytest.raises(LakeFileMissing):
        lake.read_manifest(Lake.run_folder(STARTED, uuid4()))


def test_reading_is_bounded(lake: Lake) -> None:
    lake.write("evidence", "luke.txt", b"0123456789")
    assert lake.read("evidence/luke.txt", max_bytes=10) == b"0123456789"
    with pytest.raises(LakeFileTooLarge, match="larger than 9 bytes"):
        lake.read("evidence/luke.txt", max_bytes=9)
    assert lake.read_start("evidence/luke.txt", max_bytes=4) == (b"0123", 10)
    assert lake.read_start("evidence/luke.txt", max_bytes=40) == (b"0123456789", 10)


def test_what_is_not_there_is_missing(lake: Lake) -> None:
    lake.write("evidence", "luke.txt", b"x")
    for uri in ("evidence/leia.txt", "nowhere/luke.txt", "evidence/luke.txt/deeper", "evidence/luke.txt/deeper/still"):
        with pytest.raises(LakeFileMissing):
            lake.read(uri)
        with pytest.raises(LakeFileMissing):
            lake.hash_file(uri)


def test_a_file_is_no_folder_to_write_in(lake: Lake) -> None:
    lake.write("evidence", "luke.txt", b"x")
    with pytest.raises(LakeConflict):
        lake.write("evidence/luke.txt", "deeper.txt", b"y")


def test_a_folder_that_is_not_there_is_empty(lake: Lake) -> None:
    lake.probe()
    assert lake.list_folder("nowhere") == []
    assert list(lake.run_folders()) == []


def test_run_folders_come_by_day_and_nothing_else_does(lake: Lake) -> None:
    days = [datetime(2025, 12, 31, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)]
    folders = [Lake.run_folder(day, uuid4()) for day in reversed(days)]
    for folder in folders:
        lake.write(folder, "prompt.txt", b"?")
    lake.write("llm_runs/2026/11/23/not-a-run", "x.txt", b"")
    lake.write("llm_runs/2026/11/23", "x.txt", b"")
    lake.write("evidence", "x.txt", b"")
    assert list(lake.run_folders()) == folders[::-1]
    assert list(lake.run_folders(days[1])) == folders[1::-1]
    assert list(lake.run_folders(days[1] + timedelta(hours=23, minutes=59))) == folders[1::-1]
    assert list(lake.run_folders(days[1] + timedelta(hours=24))) == folders[:1]


def test_deleting_a_run_takes_all_of_it_and_may_be_repeated(lake: Lake) -> None:
    other = Lake.run_folder(STARTED, uuid4())
    lake.write_all(FOLDER, dict.fromkeys(ARTIFACTS, b"x"))
    lake.write(f"{FOLDER}/deeper", "x.txt", b"x")
    lake.write(other, "prompt.txt", b"?")
    spool = lake.spool(FOLDER, "response.ndjson")
    lake.delete_folder(FOLDER)
    lake.delete_folder(FOLDER)
    spool.abandon()
    assert list(lake.run_folders()) == [other]
    lake.write(FOLDER, "prompt.txt", b"again")
    assert lake.read(f"{FOLDER}/prompt.txt") == b"again"


def test_a_probe_leaves_nothing_to_be_seen(lake: Lake) -> None:
    lake.probe()
    lake.probe()
    lake.write("evidence", "x.txt", b"")
    assert [entry.name for entry in lake.list_folder("evidence")] == ["x.txt"]


def test_the_rows_of_a_run_are_the_same_each_time(lake: Lake) -> None:
    written = lake.write_all(FOLDER, {"request.json": b"{}", "prompt.txt": b"?"})
    rows = artifact_facts(RUN_ID, FOLDER, written)
    assert rows == artifact_facts(RUN_ID, FOLDER, written)
    assert len({row.artifact_id for row in rows}) == 2
    assert [row.lake_uri for row in rows] == [f"{FOLDER}/request.json", f"{FOLDER}/prompt.txt"]
    assert artifact_facts(uuid4(), FOLDER, written)[0].artifact_id != rows[0].artifact_id
