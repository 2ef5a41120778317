"""What the lake on a local folder refuses to follow, to read and to write."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from derive.errors import LakePathRefused, LakeUnavailable
from derive.lake import Lake
from derive.lake_stores import local
from derive.lake_stores.directory import NamedDirectory
from tests.unit.lake.scene import FOLDER, all_files, as_ordinary_user, fail_with


@pytest.mark.parametrize("at", ["llm_runs", "llm_runs/2026", "llm_runs/2026/11/23", FOLDER])
def test_a_link_in_a_folders_place_is_never_followed(at: str, local_lake: Lake, root: Path, outside: Path) -> None:
    below = outside / FOLDER.removeprefix(at).strip("/")
    below.mkdir(parents=True, exist_ok=True)
    (below / "prompt.txt").write_bytes(b"secret")
    (root / at).parent.mkdir(parents=True, exist_ok=True)
    (root / at).symlink_to(outside, target_is_directory=True)
    before = all_files(outside)
    with pytest.raises(LakePathRefused, match="symbolic link"):
        local_lake.write(FOLDER, "request.json", b"x")
    with pytest.raises(LakePathRefused, match="symbolic link"):
        local_lake.spool(FOLDER, "response.ndjson")
    with pytest.raises(LakePathRefused, match="symbolic link"):
        local_lake.read(f"{FOLDER}/prompt.txt")
    with pytest.raises(LakePathRefused, match="symbolic link"):
        local_lake.list_folder(FOLDER)
    with pytest.raises(LakePathRefused, match="symbolic link"):
        local_lake.delete_folder(FOLDER)
    if at != "llm_runs":
        assert list(local_lake.run_folders()) == []
    assert all_files(outside) == before


def test_a_link_in_a_files_place_is_neither_read_nor_written(local_lake: Lake, root: Path, outside: Path) -> None:
    local_lake.write(FOLDER, "request.json", b"x")
    (root / FOLDER / "prompt.txt").symlink_to(outside / "secret.txt")
    (root / FOLDER / "model.json").symlink_to(outside / "new.txt")
    for read in (local_lake.read, local_lake.hash_file, local_lake.open_file):
        with pytest.raises(LakePathRefused, match="link"):
            read(f"{FOLDER}/prompt.txt")
    for name in ("prompt.txt", "model.json"):
        for data in (b"secret", b"other"):
            with pytest.raises(LakePathRefused, match="link"):
                local_lake.write(FOLDER, name, data)
    assert all_files(outside) == ["secret.txt"]
    assert (outside / "secret.txt").read_bytes() == b"secret"
    assert [entry.name for entry in local_lake.list_folder(FOLDER)] == ["request.json"]


def test_deleting_removes_links_and_not_what_they_point_to(local_lake: Lake, root: Path, outside: Path) -> None:
    local_lake.write(FOLDER, "request.json", b"x")
    (root / FOLDER / "file").symlink_to(outside / "secret.txt")
    (root / FOLDER / "folder").symlink_to(outside, target_is_directory=True)
    local_lake.delete_folder(FOLDER)
    assert not (root / FOLDER).exists()
    assert (outside / "secret.txt").read_bytes() == b"secret"


@pytest.mark.parametrize("level", ["root", "parent"])
def test_a_root_that_becomes_a_link_is_refused(level: str, local_lake: Lake, root: Path, outside: Path) -> None:
    local_lake.write("evidence", "luke.txt", b"x")
    swapped = root if level == "root" else root.parent
    moved = swapped.rename(swapped.with_name("moved"))
    (outside / "lake").mkdir()
    swapped.symlink_to(outside, target_is_directory=True)
    for act in (
        lambda: local_lake.write(FOLDER, "request.json", b"x"),
        local_lake.probe,
        lambda: local_lake.read("evidence/luke.txt"),
    ):
        with pytest.raises(LakeUnavailable, match=r"symbolic link|not a folder"):
            act()
    assert all_files(outside) == ["secret.txt"]
    swapped.unlink()
    moved.rename(swapped)
    local_lake.write(FOLDER, "request.json", b"x")


def test_a_root_configured_through_a_link_is_used_where_it_points(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "configured").symlink_to(outside, target_is_directory=True)
    Lake.open(str(tmp_path / "configured/lake")).write("evidence", "luke.txt", b"x")
    assert (outside / "lake/evidence/luke.txt").read_bytes() == b"x"


def test_only_plain_files_are_read_and_nothing_blocks(
    local_lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_lake.write("evidence", "luke.txt", b"x")
    os.mkfifo(root / "evidence/pipe")
    monkeypatch.chdir(root / "evidence")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for uri in ("evidence", "evidence/pipe", "evidence/socket"):
            with pytest.raises(LakePathRefused):
                local_lake.read(uri)
        with pytest.raises(LakePathRefused):
            local_lake.write("evidence", "pipe", b"x")
    assert [entry.name for entry in local_lake.list_folder("evidence")] == ["luke.txt"]


def test_a_file_that_may_not_be_read_is_refused_for_good(open_to_all: Path) -> None:
    with as_ordinary_user():
        lake = Lake.open(str(open_to_all))
        lake.write("evidence", "luke.txt", b"x")
        (open_to_all / "evidence/luke.txt").chmod(0)
        with pytest.raises(LakePathRefused, match="may not be read"):
            lake.read("evidence/luke.txt")
        lake.probe()


def test_files_are_closed_to_others(local_lake: Lake, root: Path) -> None:
    before = os.umask(0o022)
    try:
        local_lake.write(FOLDER, "request.json", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / FOLDER / "request.json").stat().st_mode) == 0o640
    assert stat.S_IMODE((root / FOLDER).stat().st_mode) == 0o750


def test_by_name_too_no_link_is_followed(
    local_lake: Lake, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "open_directory", NamedDirectory)
    local_lake.write("evidence", "luke.txt", b"x")
    (root / "evidence/secret.txt").symlink_to(outside / "secret.txt")
    (root / "elsewhere").symlink_to(outside, target_is_directory=True)
    with pytest.raises(LakePathRefused, match="link"):
        local_lake.read("evidence/secret.txt")
    with pytest.raises(LakePathRefused, match="link"):
        local_lake.read("elsewhere/secret.txt")
    with pytest.raises(LakePathRefused, match="link"):
        local_lake.write("elsewhere", "new.txt", b"x")
    root.rename(root.with_name("moved"))
    root.symlink_to(outside, target_is_directory=True)
    with pytest.raises(LakeUnavailable, match="link"):
        local_lake.probe()
    assert all_files(outside) == ["secret.txt"]


def test_a_folder_that_cannot_be_deleted_says_why(local_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    local_lake.write(FOLDER, "prompt.txt", b"?")
    with monkeypatch.context() as patch:
        fail_with(errno.EROFS, patch, "rmdir")
        with pytest.raises(LakeUnavailable, match="read-only"):
            local_lake.delete_folder(FOLDER)
    with monkeypatch.context() as patch:
        fail_with(errno.ENOTEMPTY, patch, "rmdir")
        with pytest.raises(LakeUnavailable, match="keeps filling"):
            local_lake.delete_folder(FOLDER)
    local_lake.delete_folder(FOLDER)
    assert list(local_lake.run_folders()) == []
