"""When a file appears in the lake, and what survives then."""

import errno
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from derive.errors import LakeConflict, LakeError, LakeFileMissing, LakeUnavailable
from derive.lake import Lake
from derive.lake_stores import directory, staging
from derive.lake_stores.directory import Directory
from tests.unit.lake.scene import FOLDER, all_files, fail_with, manifest_of


def lacks(number: int) -> Callable[..., None]:
    def raise_it(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return raise_it


@pytest.fixture(params=["renameat2", "links", "no links: EPERM", "no links: EOPNOTSUPP"])
def any_file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows one way alone to name a file exclusively."""
    way: str = request.param
    if way == "renameat2" and directory._renameat2 is None:
        pytest.skip("this platform has no renameat2")
    if way != "renameat2":
        monkeypatch.setattr(directory, "_renameat2", None)
    if way != "links":
        monkeypatch.setattr(os, "link", lacks(errno.EPERM if way.endswith("EPERM") else errno.EOPNOTSUPP))
    if not way.startswith("no links"):
        monkeypatch.setattr(os, "rename", lacks(errno.EPERM))


@pytest.mark.usefixtures("any_file_system")
def test_a_file_is_written_once_whatever_the_file_system_knows(
    any_file_system: str, local_lake: Lake, root: Path
) -> None:
    local_lake.write(FOLDER, "request.json", b"first")
    local_lake.write(FOLDER, "request.json", b"first")
    with pytest.raises(LakeConflict):
        local_lake.write(FOLDER, "request.json", b"other")
    (root / FOLDER / "prompt.txt").symlink_to("request.json")
    with pytest.raises(LakeError):
        local_lake.write(FOLDER, "prompt.txt", b"first")
    assert all_files(root) == [f"{FOLDER}/prompt.txt", f"{FOLDER}/request.json"]
    assert (root / FOLDER / "request.json").read_bytes() == b"first"


def test_a_kernel_without_the_call_is_not_an_error(local_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    def unknown(*_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(directory, "_renameat2", unknown)
    local_lake.write(FOLDER, "request.json", b"x")
    with pytest.raises(LakeConflict):
        local_lake.write(FOLDER, "request.json", b"y")


def test_all_before_the_manifest_is_durable_when_it_appears(
    local_lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_publish = os.fsync, Directory.publish

    def fsync(descriptor: int) -> None:
        steps.append("sync " + str(Path(f"/proc/self/fd/{descriptor}").readlink()).removeprefix(str(root)).strip("/"))
        real_fsync(descriptor)

    def publish(self: Directory, hidden: str, name: str) -> None:
        steps.append("publish " + name)
        real_publish(self, hidden, name)

    if not Path("/proc/self/fd").exists():
        pytest.skip("what is synced cannot be seen without /proc")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Directory, "publish", publish)
    with local_lake.spool(FOLDER, "response.ndjson") as spool:
        local_lake.write_run(FOLDER, {"request.json": b"x"}, spool=spool, manifest=manifest_of)
    steps = [step.rsplit(".", 1)[0] if "/." in step else step for step in steps]
    assert steps == [
        f"sync {FOLDER}/.response.ndjson",
        f"sync {FOLDER}/.request.json",
        f"sync {FOLDER}/.manifest.json",
        "sync ",
        "sync llm_runs",
        "sync llm_runs/2026",
        "sync llm_runs/2026/11",
        "sync llm_runs/2026/11/23",
        "publish response.ndjson",
        "publish request.json",
        f"sync {FOLDER}",
        "publish manifest.json",
        f"sync {FOLDER}",
    ]
    steps.clear()
    other = Lake.run_folder(datetime(2026, 11, 23, tzinfo=UTC), uuid4())
    local_lake.write(other, "prompt.txt", b"?")
    assert [step for step in steps if not step.startswith(f"sync {other}/.")] == [
        "sync llm_runs/2026/11/23",
        "publish prompt.txt",
        f"sync {other}",
    ]


def test_every_file_of_a_run_is_begun_before_the_first_is_synced(
    local_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    synced: list[int] = []
    real_start, real_fsync = directory.start_writing, os.fsync

    def start_writing(descriptor: int) -> None:
        assert synced == []
        begun.append(descriptor)
        real_start(descriptor)

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        real_fsync(descriptor)

    monkeypatch.setattr(staging, "start_writing", start_writing)
    monkeypatch.setattr(os, "fsync", fsync)
    with local_lake.spool(FOLDER, "response.ndjson") as spool:
        spool.write(b"{}")
        local_lake.write_run(FOLDER, {"request.json": b"x"}, spool=spool, manifest=manifest_of)
    assert len(begun) == 3
    assert synced[:3] == begun


@pytest.mark.parametrize("files", [1, 70])
def test_a_system_that_cannot_begin_to_write_syncs_all_the_same(
    files: int, local_lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = 0
    real = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal synced
        synced += stat.S_ISREG(os.fstat(descriptor).st_mode)
        real(descriptor)

    monkeypatch.setattr(directory, "_sync_file_range", None)
    monkeypatch.setattr(os, "fsync", fsync)
    local_lake.write_all(FOLDER, {f"{n}.txt": b"x" * n for n in range(files)})
    assert synced == files
    assert all((root / FOLDER / f"{n}.txt").stat().st_size == n for n in range(files))


def test_folders_that_cannot_be_synced_are_no_error(local_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    local_lake.write(FOLDER, "prompt.txt", b"?")


def test_no_descriptor_stays_open(local_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("open descriptors cannot be counted without /proc")

    def act() -> None:
        folder = Lake.run_folder(datetime(2026, 11, 23, tzinfo=UTC), uuid4())
        with local_lake.spool(folder, "response.ndjson") as spool:
            spool.write(b"x")
        local_lake.write_run(folder, {"prompt.txt": b"?"}, spool=(spool := local_lake.spool(folder, "response.ndjson")))
        local_lake.read(f"{folder}/prompt.txt")
        with pytest.raises(LakeConflict):
            local_lake.write(folder, "prompt.txt", b"!")
        with pytest.raises(LakeFileMissing):
            local_lake.read(f"{folder}/missing")
        local_lake.delete_folder(folder)
        list(local_lake.run_folders())
        local_lake.probe()
        with monkeypatch.context() as patch:
            fail_with(errno.ENOSPC, patch, "write")
            with pytest.raises(LakeUnavailable):
                local_lake.write(folder, "prompt.txt", b"?")

    act()
    before = len(list(descriptors.iterdir()))
    for _ in range(5):
        act()
    assert len(list(descriptors.iterdir())) == before
