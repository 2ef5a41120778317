"""The lake when the disk fails it."""

import contextlib
import errno
import os
from pathlib import Path

import pytest

from derive.errors import LakePathRefused, LakeUnavailable
from derive.lake import Lake
from tests.unit.lake.scene import FOLDER, all_files, fail_with, manifest_of


@pytest.mark.parametrize(
    ("number", "call", "says"),
    [
        (errno.ENOSPC, "write", "disk is full; make room"),
        (errno.EDQUOT, "write", "quota"),
        (errno.EIO, "fsync", "check the disk"),
        (errno.ENOSPC, "fsync", "disk is full"),
        (errno.EROFS, "mkdir", "read-only; mount it writable"),
        (errno.ENOSPC, "mkdir", "disk is full"),
        (errno.EROFS, "open", "read-only"),
        (errno.ESTALE, "open", "mount it again"),
        (errno.ETIMEDOUT, "open", "no answer in time"),
        (errno.EMFILE, "open", "ulimit"),
        (errno.ENOTCONN, "open", "not connected"),
    ],
)
def test_a_failing_disk_is_unavailable_and_leaves_nothing_half_done(
    number: int, call: str, says: str, local_lake: Lake, root: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fail_with(number, patch, call)
        with pytest.raises(LakeUnavailable, match=f"(?i){says}") as caught:
            local_lake.write_all(FOLDER, {"request.json": b"x" * 1000, "prompt.txt": b"y"})
        assert str(root) in str(caught.value)
    assert all_files(root) == []
    local_lake.write_all(FOLDER, {"request.json": b"x" * 1000, "prompt.txt": b"y"})


@pytest.mark.parametrize("after", range(8))
@pytest.mark.parametrize("call", ["write", "fsync", "open"])
def test_whenever_the_disk_fails_no_file_is_torn_and_no_manifest_is_early(
    call: str, after: int, local_lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"request.json": b"x" * 1000, "prompt.txt": b"y" * 1000}
    with monkeypatch.context() as patch, contextlib.suppress(LakeUnavailable):
        fail_with(errno.ENOSPC, patch, call, after=after)
        with local_lake.spool(FOLDER, "response.ndjson") as spool:
            spool.write(b"z" * 1000)
            local_lake.write_run(FOLDER, files, spool=spool, manifest=manifest_of)
    seen = all_files(root)
    assert not [name for name in seen if "/." in name]
    assert all((root / name).stat().st_size >= 1000 for name in seen)
    if f"{FOLDER}/manifest.json" in seen:
        assert len(seen) == 4
    local_lake.write_all(FOLDER, files)


def test_a_full_disk_stops_a_spool_and_the_probe(local_lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_lake.spool(FOLDER, "response.ndjson") as spool:
        spool.write(b"first")
        with monkeypatch.context() as patch:
            fail_with(errno.ENOSPC, patch, "write")
            with pytest.raises(LakeUnavailable, match="disk is full"):
                spool.write(b"second")
            with pytest.raises(LakeUnavailable, match="disk is full"):
                local_lake.probe()
    assert all_files(root) == []


def test_a_spool_that_lost_bytes_is_never_finished(
    local_lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_lake.spool(FOLDER, "response.ndjson") as spool:
        with monkeypatch.context() as patch:
            fail_with(errno.ENOSPC, patch, "write")
            with pytest.raises(LakeUnavailable):
                spool.write(b"lost")
        with pytest.raises(LakeUnavailable, match="lost before"):
            spool.write(b"more")
        with pytest.raises(LakeUnavailable, match="lost before"):
            local_lake.write_run(FOLDER, {"prompt.txt": b"?"}, spool=spool)
    assert all_files(root) == []
    local_lake.write_run(FOLDER, {"prompt.txt": b"?"})


def test_reading_that_fails_half_way_is_unavailable(local_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    local_lake.write("evidence", "luke.txt", b"x")

    class Failing:
        def __enter__(self) -> "Failing":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, size: int) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def open_failing(descriptor: int, *_: object) -> Failing:
        os.close(descriptor)
        return Failing()

    monkeypatch.setattr(os, "fdopen", open_failing)
    for read in (local_lake.read, local_lake.hash_file):
        with pytest.raises(LakeUnavailable, match="check the disk"):
            read("evidence/luke.txt")


def test_a_disk_that_takes_few_bytes_at_a_time_gets_them_all(local_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:7])))
    local_lake.write("evidence", "luke.txt", b"0123456789" * 10)
    assert local_lake.read("evidence/luke.txt") == b"0123456789" * 10


def test_a_name_too_long_for_the_file_system_is_refused(local_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(errno.ENAMETOOLONG, monkeypatch, "open", after=2)
    with pytest.raises(LakePathRefused, match="too long"):
        local_lake.write("evidence", "luke.txt", b"x")
