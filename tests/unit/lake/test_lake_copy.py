"""A lake copied to another: everything arrives, it can be interrupted, and damage is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from derive import lake_copy
from derive.errors import LakeUnavailable
from derive.lake import Lake
from derive.lake_copy import copy_lake, missing_at
from tests.unit.lake.scene import FOLDER, manifest_of

OTHER = FOLDER.replace("0f8fad5b", "1f8fad5b")
FILES = {"request.json": b"{}", "prompt.txt": b"What is it?", "response.ndjson": b"x" * 300}


@pytest.fixture
def source(tmp_path: Path) -> Lake:
    lake = Lake.open(str(tmp_path / "the old lake"))
    for folder in (FOLDER, OTHER):
        lake.write_run(folder, FILES, manifest=manifest_of)
    lake.write("notes/of people", "hoth.txt", b"Hoth is cold.")
    lake.write_at_root("luke.txt", b"Luke")
    lake.write("seals/2026/11/23", "000000000001.json", b"{}")
    return lake


@pytest.fixture(params=["local", "memory"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    MemoryFileSystem.store.clear()
    lake = Lake.open("memory://new/lake" if request.param == "memory" else str(tmp_path / "the new lake"))
    lake.probe()
    yield lake
    MemoryFileSystem.store.clear()


def test_every_file_arrives_byte_for_byte_and_a_second_copy_writes_nothing(source: Lake, target: Lake) -> None:
    summary = copy_lake(source, target)
    assert (summary.files, summary.skipped, summary.faults) == (11, 0, [])
    for uri in (f"{FOLDER}/manifest.json", f"{OTHER}/response.ndjson", "notes/of people/hoth.txt", "luke.txt"):
        assert target.read(uri) == source.read(uri)
    assert list(missing_at(source, target)) == []
    again = copy_lake(source, target)
    assert (again.files, again.skipped, again.faults) == (0, 11, [])


def test_a_great_file_is_streamed(source: Lake, target: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_copy, "WHOLE_BYTES", 100)
    monkeypatch.setattr(lake_copy, "_CHUNK_BYTES", 64)
    copy_lake(source, target)
    assert target.read(f"{FOLDER}/response.ndjson") == FILES["response.ndjson"]


def test_the_id_is_not_copied(source: Lake, target: Lake) -> None:
    source.write_at_root("lake.json", b"{}")
    copy_lake(source, target)
    assert "lake.json" not in {entry.name for entry in target.list_root()}
    assert list(missing_at(source, target)) == []


def test_a_copy_that_was_stopped_goes_on(source: Lake, target: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Lake.write

    def stops(lake: Lake, folder: str, name: str, data: bytes) -> object:
        if lake is target and (folder, name) == (OTHER, "request.json"):
            raise LakeUnavailable("the network is gone")
        return real(lake, folder, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "write", stops)
        with pytest.raises(LakeUnavailable):
            copy_lake(source, target, threads=1)
    assert f"{OTHER}/manifest.json" in set(missing_at(source, target))
    copy_lake(source, target)
    assert list(missing_at(source, target)) == []


def test_a_file_with_other_bytes_at_the_target_stays_and_is_told(source: Lake, target: Lake) -> None:
    target.write(FOLDER, "prompt.txt", b"What was it?")
    summary = copy_lake(source, target)
    (fault,) = summary.faults
    assert fault.startswith(f"{FOLDER}/prompt.txt: the target has a file of this name with other bytes")
    assert target.read(f"{FOLDER}/prompt.txt") == b"What was it?"
    assert list(missing_at(source, target)) == [f"{FOLDER}/prompt.txt"]


def test_a_target_that_stores_something_else_is_told(
    source: Lake, target: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Lake.hash_file
    monkeypatch.setattr(Lake, "hash_file", lambda lake, uri: ("0" * 64, real(lake, uri)[1]))
    assert all("it is another file" in fault for fault in copy_lake(source, target).faults)


def test_a_name_that_not_every_store_takes_is_told_and_the_rest_is_copied(
    source: Lake, target: Lake, tmp_path: Path
) -> None:
    (tmp_path / "the old lake" / "notes" / "a:b.txt").write_bytes(b"?")
    summary = copy_lake(source, target)
    (fault,) = summary.faults
    assert fault.startswith("notes/a:b.txt: ")
    assert summary.files == 11
