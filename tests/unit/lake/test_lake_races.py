"""Several writers of one lake at the same moment, and writers that are killed."""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from derive.errors import LakeConflict
from derive.lake import Lake
from derive.lake_stores.directory import Directory
from tests.unit.lake.scene import FOLDER, all_files

WRITERS = 4
NAMES = [f"{number:03}.txt" for number in range(40)]

RACE = """
import sys
from derive.errors import LakeConflict
from derive.lake import Lake
from derive.lake_stores import directory
url, folder, word, way, *names = sys.argv[1:]
if way != "renameat2":
    directory._renameat2 = None
if way == "no links":
    def link(*_, **__):
        raise PermissionError(1, "no links here")
    directory.os.link = link
lake = Lake.open(url)
print("ready", flush=True)
sys.stdin.readline()
for name in names:
    try:
        lake.write(folder, name, (word + name).encode() * 500)
        print("won", name)
    except LakeConflict:
        print("lost", name)
"""

FOREVER = """
import hashlib, sys
from datetime import UTC, datetime
from uuid import uuid4
from derive.lake import Lake
lake = Lake.open(sys.argv[1])
from tests.unit.lake.scene import manifest_of
while True:
    folder = lake.run_folder(datetime.now(UTC), uuid4())
    files = {f"{number}.txt": (folder + str(number)).encode() * 3000 for number in range(4)}
    with lake.spool(folder, "response.ndjson") as spool:
        for _ in range(30):
            spool.write(folder.encode() * 100)
        lake.write_run(folder, files, spool=spool, manifest=manifest_of)
    print(folder, flush=True)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in (str(Path.cwd()), *sys.path) if path)},
    )


@pytest.fixture
def racing(tmp_path: Path) -> Iterator[Callable[[list[str], str], list[list[str]]]]:
    """Let a process for each word write all the names at once, and return what each says of each name."""
    started: list[subprocess.Popen[str]] = []

    def race(words: list[str], way: str) -> list[list[str]]:
        started.extend(start(RACE, str(tmp_path), FOLDER, word, way, *NAMES) for word in words)
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[0].splitlines() for process in started]
        assert [process.returncode for process in started] == [0] * len(words)
        return said

    yield race
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("way", ["renameat2", "links", "no links"])
def test_of_processes_with_other_bytes_one_wins_each_name_whole(
    way: str, racing: Callable[[list[str], str], list[list[str]]], tmp_path: Path
) -> None:
    words = [f"writer {number} " for number in range(WRITERS)]
    said = racing(words, way)
    for name in NAMES:
        winners = [word for word, lines in zip(words, said, strict=True) if f"won {name}" in lines]
        assert len(winners) == 1
        assert (tmp_path / FOLDER / name).read_bytes() == (winners[0] + name).encode() * 500
        assert sum(f"lost {name}" in lines for lines in said) == WRITERS - 1
    assert all_files(tmp_path) == [f"{FOLDER}/{name}" for name in NAMES]


def test_of_processes_with_the_same_bytes_all_win(
    racing: Callable[[list[str], str], list[list[str]]], tmp_path: Path
) -> None:
    said = racing(["same "] * WRITERS, "renameat2")
    assert said == [[f"won {name}" for name in NAMES]] * WRITERS
    assert all_files(tmp_path) == [f"{FOLDER}/{name}" for name in NAMES]


@pytest.mark.parametrize("scheme", ["local", "memory"])
@pytest.mark.parametrize("same", [True, False], ids=["same bytes", "other bytes"])
def test_threads_that_share_a_lake_write_each_name_once(scheme: str, same: bool, tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path) if scheme == "local" else f"memory://{tmp_path.name}")
    together = threading.Barrier(8)

    def write_all(number: int) -> set[str]:
        won = set()
        together.wait(timeout=30)
        for name in NAMES:
            try:
                lake.write(FOLDER, name, b"same" if same else b"%d" % number)
                won.add(name)
            except LakeConflict:
                assert not same
        return won

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(write_all, range(8)))
    for name in NAMES:
        winners = [number for number in range(8) if name in won[number]]
        if same:
            assert len(winners) == 8
        else:
            assert [b"%d" % number for number in winners] == [lake.read(f"{FOLDER}/{name}")]
    assert [entry.name for entry in lake.list_folder(FOLDER)] == NAMES


def test_threads_write_and_delete_runs_side_by_side(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    together = threading.Barrier(4)

    def come_and_go(number: int) -> None:
        folder = FOLDER[:-1] + str(number)
        together.wait(timeout=30)
        for _ in range(20):
            lake.write_all(folder, {"prompt.txt": b"?", "request.json": b"{}"})
            assert len(lake.list_folder(folder)) == 2
            lake.delete_folder(folder)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(come_and_go, range(4)))
    assert all_files(tmp_path) == []


def meet_at(together: threading.Barrier, real: Callable[..., object]) -> Callable[..., object]:
    """Let two callers that are in a call at the same time leave it together; one that is alone goes on."""

    def call(*args: object, **kwargs: object) -> object:
        try:
            return real(*args, **kwargs)
        finally:
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(timeout=0.5)

    return call


def count_winners(lake: Lake) -> int:
    def write(number: int) -> bool:
        try:
            lake.write(FOLDER, "prompt.txt", b"%d" % number)
        except LakeConflict:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        return sum(threads.map(write, range(2)))


def test_without_links_two_concurrent_writers_do_not_both_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Directory, "_rename_exclusively", Directory._rename_under_lock)
    monkeypatch.setattr(Directory, "_lstat", meet_at(threading.Barrier(2), Directory._lstat))
    assert count_winners(Lake.open(str(tmp_path))) == 1


def test_in_memory_two_concurrent_writers_do_not_both_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFileSystem, "exists", meet_at(threading.Barrier(2), MemoryFileSystem.exists))
    assert count_winners(Lake.open(f"memory://{tmp_path.name}")) == 1


@pytest.mark.parametrize("runs_before", [1, 3, 7, 12, 20, 31])
def test_a_writer_that_is_killed_leaves_no_torn_file(runs_before: int, tmp_path: Path) -> None:
    process = start(FOREVER, str(tmp_path))
    assert process.stdout is not None
    reported = [process.stdout.readline().strip() for _ in range(runs_before)]
    process.kill()
    reported += process.communicate()[0].split()
    lake = Lake.open(str(tmp_path))
    for uri in all_files(tmp_path):
        folder, _, name = uri.rpartition("/")
        if name.startswith("."):
            continue
        if name == "manifest.json":
            assert len(lake.read_manifest(folder).files) == 5
            continue
        text = folder * 3000 if name == "response.ndjson" else (folder + name.removesuffix(".txt")) * 3000
        assert (tmp_path / uri).read_bytes() == text.encode()
    for folder in lake.run_folders():
        names = {entry.name for entry in lake.list_folder(folder)}
        assert "manifest.json" not in names or len(names) == 6
        if folder in reported:
            for facts in lake.read_manifest(folder).files:
                data = lake.read(f"{folder}/{facts.name}")
                assert hashlib.sha256(data).hexdigest() == facts.content_sha256
    assert set(reported) <= set(lake.run_folders())
