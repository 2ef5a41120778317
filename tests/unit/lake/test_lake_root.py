"""The lake when its root is missing, moved, replaced or closed."""

import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from derive.errors import LakeUnavailable
from derive.lake import Lake
from derive.lake_stores.directory import Directory
from tests.unit.lake.scene import FOLDER, STARTED, all_files, as_ordinary_user


def test_opening_a_lake_touches_nothing(root: Path) -> None:
    lake = Lake.open(str(root))
    assert not root.parent.exists()
    with pytest.raises(LakeUnavailable, match="it is not there"):
        lake.read("evidence/luke.txt")
    assert not root.parent.exists()
    lake.probe()
    assert list(root.iterdir()) == []


def test_a_root_that_disappears_is_unavailable_and_not_recreated(local_lake: Lake, root: Path) -> None:
    local_lake.write(FOLDER, "request.json", b"x")
    moved = root.rename(root.with_name("moved"))
    for act in (
        local_lake.probe,
        lambda: local_lake.write(FOLDER, "prompt.txt", b"x"),
        lambda: local_lake.read(f"{FOLDER}/request.json"),
    ):
        with pytest.raises(LakeUnavailable, match="mount it or create it"):
            act()
    with pytest.raises(LakeUnavailable):
        list(local_lake.run_folders())
    with pytest.raises(LakeUnavailable):
        local_lake.delete_folder(FOLDER)
    assert not root.exists()
    moved.rename(root)
    assert local_lake.read(f"{FOLDER}/request.json") == b"x"


def test_a_root_recreated_by_hand_is_accepted(local_lake: Lake, root: Path) -> None:
    local_lake.write(FOLDER, "request.json", b"x")
    root.rename(root.with_name("moved"))
    root.mkdir()
    local_lake.write(FOLDER, "request.json", b"y")
    assert (root / FOLDER / "request.json").read_bytes() == b"y"


def test_a_root_on_another_file_system_than_before_is_refused(
    local_lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Directory, "identity", (-1, 2))
    with pytest.raises(LakeUnavailable, match="another file system"):
        local_lake.write(FOLDER, "request.json", b"x")
    monkeypatch.undo()
    local_lake.write(FOLDER, "request.json", b"x")
    assert all_files(root) == [f"{FOLDER}/request.json"]


def test_a_file_in_the_roots_place_is_unavailable(root: Path) -> None:
    root.parent.mkdir()
    root.write_bytes(b"")
    with pytest.raises(LakeUnavailable, match="not a folder"):
        Lake.open(str(root)).probe()


def test_a_read_only_root_is_unavailable_and_says_what_to_do(open_to_all: Path) -> None:
    with as_ordinary_user():
        lake = Lake.open(str(open_to_all))
        lake.write("evidence", "luke.txt", b"x")
        open_to_all.chmod(0o555)
        for act in (lake.probe, lambda: lake.write(FOLDER, "request.json", b"x"), lambda: lake.spool(FOLDER, "a.txt")):
            with pytest.raises(LakeUnavailable, match="give this account the right"):
                act()
        assert lake.read("evidence/luke.txt") == b"x"
        open_to_all.chmod(0o755)
        lake.write(FOLDER, "request.json", b"x")


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    lake = Lake.open(str(small_disk / "lake"))
    lake.probe()
    data = os.urandom(40_000)
    folders = [Lake.run_folder(STARTED, uuid4()) for _ in range(10)]

    def write_runs() -> None:
        for folder in folders:
            lake.write(folder, "response.json", data)

    with pytest.raises(LakeUnavailable, match="disk is full"):
        write_runs()
    with pytest.raises(LakeUnavailable, match="disk is full"):
        lake.probe()
    whole = all_files(small_disk)
    assert whole
    assert all((small_disk / name).read_bytes() == data for name in whole)
    for folder in folders:
        lake.delete_folder(folder)
    lake.probe()


def test_a_disk_that_was_unmounted_is_not_written_beneath(small_disk: Path) -> None:
    lake = Lake.open(str(small_disk))
    lake.write("evidence", "luke.txt", b"x")
    subprocess.run([shutil.which("umount") or "umount", small_disk], check=True)
    try:
        with pytest.raises(LakeUnavailable, match="another file system"):
            lake.write("evidence", "leia.txt", b"x")
        assert list(small_disk.iterdir()) == []
    finally:
        subprocess.run([shutil.which("mount") or "mount", "-t", "tmpfs", "tmpfs", small_disk], check=True)
