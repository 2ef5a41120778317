"""What object stores do that a folder does not."""

import errno
from collections.abc import Callable, Iterator

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from derive.errors import LakeConflict, LakeFileMissing, LakeUnavailable
from derive.lake import Lake
from tests.unit.lake.scene import FOLDER


@pytest.fixture
def lake() -> Iterator[Lake]:
    MemoryFileSystem.store.clear()
    yield Lake.open("memory://bucket/lake")
    MemoryFileSystem.store.clear()


class VendorError(Exception):
    """As botocore's and Azure's: no OSError."""


def raises(error: Exception) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


@pytest.mark.parametrize(
    "refusal",
    [FileExistsError(), OSError(errno.EINVAL, "PreconditionFailed"), OSError(errno.EBUSY, "Conflict")],
    ids=["exists", "412", "409"],
)
def test_a_put_that_lost_the_race_is_judged_by_the_bytes_that_won(
    refusal: Exception, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(FOLDER, "prompt.txt", b"won")
    monkeypatch.setattr(MemoryFileSystem, "exists", lambda *_: False)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", raises(refusal))
    lake.write(FOLDER, "prompt.txt", b"won")
    with pytest.raises(LakeConflict):
        lake.write(FOLDER, "prompt.txt", b"lost")


def test_a_store_that_ignores_the_condition_is_still_looked_at_first(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = MemoryFileSystem.pipe_file
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", lambda self, path, data, mode: put(self, path, data))
    lake.write(FOLDER, "prompt.txt", b"first")
    with pytest.raises(LakeConflict):
        lake.write(FOLDER, "prompt.txt", b"second")
    assert lake.read(f"{FOLDER}/prompt.txt") == b"first"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError("The specified bucket does not exist"), "mount it or create it"),
        (PermissionError("Forbidden"), "permission denied"),
        (TimeoutError(), "no answer in time"),
        (OSError(errno.ENOSPC, "quota"), "disk is full"),
        (VendorError("NoCredentialsError"), "VendorError; check the store, the network and the credentials"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_store_that_fails_is_unavailable_whatever_its_package_raises(
    error: Exception, says: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", raises(error))
    with pytest.raises(LakeUnavailable, match=says):
        lake.write(FOLDER, "prompt.txt", b"?")
    with pytest.raises(LakeUnavailable, match=says):
        lake.probe()


def test_reading_from_a_store_that_fails_is_unavailable(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(FOLDER, "prompt.txt", b"?")
    monkeypatch.setattr(MemoryFileSystem, "cat_file", raises(VendorError()))
    with pytest.raises(LakeUnavailable):
        lake.read(f"{FOLDER}/prompt.txt")


def test_a_folder_is_no_file_to_read(lake: Lake) -> None:
    lake.write(FOLDER, "prompt.txt", b"?")
    with pytest.raises(LakeFileMissing, match="is a folder"):
        lake.read(FOLDER)


def test_a_message_names_the_store_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake.open("memory://user:hunter2@bucket/lake?token=hunter2")
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", raises(VendorError("hunter2")))
    with pytest.raises(LakeUnavailable, match="bucket/lake") as caught:
        lake.probe()
    assert "hunter2" not in str(caught.value)
