"""Exports that stop, go on, and follow one another: a file is whole or not there, no run is missed or told twice."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import RawIOBase
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from derive.contracts import RunFacts
from derive.export import exporting, horizon, progress, reading
from derive.management.import_progress import InterruptGuard
from derive.queue import JobQueue
from tests.contract.babelfish import Lack, lacks
from tests.contract.exports import answered, exported, lines_of, number_of
from tests.contract.scenes import claimed, failure, success

MOUNT = shutil.which("mount") or ""


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run a query, and a note of the progress after each."""
    monkeypatch.setattr(reading, "WINDOW_RUNS", 1)
    monkeypatch.setattr(exporting, "SAVE_SECONDS", -1.0)


def full_after(writes: int) -> Callable[[RawIOBase, bytes], int]:
    """A disk that takes so many writes, then half of one, then none."""
    real, left = exporting._append, [writes]

    def append(file: RawIOBase, content: bytes) -> int:
        left[0] -= 1
        if left[0] < 0 and content:
            real(file, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, content)

    return append


def all_that_is_shown(terminal: int) -> str:
    """Read a terminal until nobody writes to it any more, and close it."""
    shown = b""
    with os.fdopen(terminal, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        # Linux ends it with an error, others with nothing.
        while piece := screen.read(65_536):
            shown += piece
    return shown.decode()


@pytest.mark.usefixtures("small_steps")
def test_progress_is_shown_on_a_terminal_and_only_the_result_elsewhere(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        answered(queue)
    assert exported(str(tmp_path / "quiet.jsonl")) == 0
    assert capsys.readouterr().err.startswith("3 rows of runs up to number")
    ours, terminal = os.openpty()
    with ThreadPoolExecutor(1) as reader, monkeypatch.context() as patch:
        # Read meanwhile: a terminal holds few kB, and who writes more has to wait.
        shown_later = reader.submit(all_that_is_shown, ours)
        with os.fdopen(terminal, "w") as stderr:
            patch.setenv("TERM", "xterm")
            patch.setattr(sys, "stderr", stderr)
            assert exported(str(tmp_path / "shown.jsonl")) == 0
        shown = shown_later.result(60)
    assert "exporting" in shown
    assert "100%" in shown
    assert "3 rows" in shown


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
def test_an_export_continues_after_a_full_disk(
    queue: JobQueue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    for _ in range(6):
        answered(queue)
    exported(str(tmp_path / f"whole-{name}"))
    out = tmp_path / name
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_append", full_after(6))
        assert exported(str(out)) == 2
    told = capsys.readouterr().err
    assert "No space left on device" in told
    assert "continue with --resume" in told
    assert not out.exists()
    assert exported(str(out), "--resume") == 0
    assert out.read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {name, f"whole-{name}"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not MOUNT or subprocess.run([MOUNT, "-t", "tmpfs", "-o", "size=64k", "none", disk], check=False).returncode:
        pytest.skip("only who may mount has a small disk; the injected fault above holds the same")
    yield disk
    subprocess.run([Path(MOUNT).with_name("umount"), disk], check=True)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
@lacks(Lack.LONG_JSON_STRINGS)
def test_a_really_full_disk_is_reported_and_the_export_continues_when_there_is_space(
    queue: JobQueue, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for n in range(6):
        answered(queue, output=json.dumps({"facts": [], "n": n, "text": "x" * 20_000}))
    exported(str(tmp_path / name))
    out = small_disk / name
    assert exported(str(out)) == 2
    told = capsys.readouterr().err
    assert "No space left on device" in told
    assert not out.exists()
    subprocess.run([MOUNT, "-o", "remount,size=4m", small_disk], check=True)
    assert exported(str(out), "--resume") == 0
    assert out.read_bytes() == (tmp_path / name).read_bytes()
    assert {path.name for path in small_disk.iterdir()} == {name}


@pytest.mark.usefixtures("small_steps")
def test_ctrl_c_stops_between_steps_and_the_export_can_continue(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        answered(queue)
    exported(str(tmp_path / "whole.jsonl"))
    with monkeypatch.context() as patch:
        patch.setattr(InterruptGuard, "asked", lambda _stop: True)
        assert exported(str(tmp_path / "out.jsonl")) == 130
    assert "continue with --resume" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()
    assert exported(str(tmp_path / "out.jsonl"), "--resume") == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.usefixtures("small_steps")
def test_a_process_that_dies_writes_what_was_not_yet_noted_again(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        answered(queue)
    exported(str(tmp_path / "whole.jsonl"))

    class Died(BaseException):
        pass

    real = progress.save
    saves = iter(range(100))

    def save(*given: Any) -> None:
        if next(saves) == 3:
            raise Died
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "save", save)
        with pytest.raises(Died):
            call_command("export_outputs", str(tmp_path / "out.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()
    assert exported(str(tmp_path / "out.jsonl"), "--resume") == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.usefixtures("small_steps")
def test_jobs_that_succeed_later_do_not_change_a_started_export(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = claimed(queue)
    for _ in range(3):
        answered(queue)
    exported(str(tmp_path / "whole.jsonl"))
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_append", full_after(2))
        exported(str(tmp_path / "out.jsonl"))
    queue.complete(success(late, run=RunFacts(output_json="{}")))
    answered(queue)
    assert exported(str(tmp_path / "out.jsonl"), "--resume") == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.usefixtures("small_steps")
def test_another_filter_is_no_going_on(
    queue: JobQueue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answered(queue)
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_append", full_after(0))
        exported(str(tmp_path / "out.csv"), "--since", "7d")
    assert exported(str(tmp_path / "out.csv"), "--facts", "--since", "7d", "--resume") == 2
    assert "another filter" in capsys.readouterr().err
    assert exported(str(tmp_path / "out.csv")) == 2
    assert "--resume" in capsys.readouterr().err
    assert exported(str(tmp_path / "out.csv"), "--since", "7d", "--resume") == 0


# A feed.


@pytest.fixture
def feed(tmp_path: Path) -> Callable[..., list[str]]:
    """Export what is new to a file of its own; the run ids told."""
    numbers = iter(range(100))

    def next_of_feed(*arguments: str) -> list[str]:
        out = tmp_path / f"{next(numbers)}.jsonl"
        assert exported(str(out), "--cursor", str(tmp_path / "cursor"), *arguments) == 0
        return [row["run_id"] for row in lines_of(out)]

    return next_of_feed


@pytest.fixture
def nothing_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every missing number is an old one: tests' numbers do not begin with 1."""
    first = horizon._recent

    def recent(since: Any) -> list[int]:
        numbers = first(since)
        return numbers[1:] or [0] if numbers[0] == 0 else numbers

    monkeypatch.setattr(horizon, "_recent", recent)


@pytest.mark.usefixtures("nothing_settles")
def test_a_feed_exports_each_run_once_however_late_it_ends(queue: JobQueue, feed: Callable[..., list[str]]) -> None:
    first = answered(queue)
    late = claimed(queue)
    after = answered(queue)
    assert feed() == [str(first.run_id)]
    assert feed() == []
    queue.complete(success(late, run=RunFacts(output_json="{}")))
    running = claimed(queue)
    assert feed() == [str(late.run_id), str(after.run_id)]
    queue.complete(failure(running))
    last = answered(queue)
    assert feed() == [str(last.run_id)]
    assert feed() == []


@pytest.mark.usefixtures("nothing_settles")
def test_a_feed_waits_for_a_number_that_may_still_come(
    queue: JobQueue, feed: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = answered(queue), answered(queue)
    real = horizon._recent
    # As when a claim has its number and has not been committed.
    monkeypatch.setattr(horizon, "_recent", lambda since: [n for n in real(since) if n != number_of(second)])
    third = answered(queue)
    assert feed() == [str(first.run_id)]
    monkeypatch.setattr(horizon, "_recent", real)
    assert feed() == [str(second.run_id), str(third.run_id)]


def test_the_first_numbers_of_all_are_waited_for_as_well(queue: JobQueue) -> None:
    answered(queue)
    assert horizon.settled_number(after=0) in {0, 1}, "numbers below the first run may be claims under way"


@pytest.mark.usefixtures("nothing_settles")
def test_a_feed_killed_between_file_and_cursor_exports_nothing_twice(
    queue: JobQueue,
    feed: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    first = answered(queue)

    def died(*_given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(exporting.Export, "_end", died)
        assert exported(str(tmp_path / "a.jsonl"), "--cursor", str(tmp_path / "cursor")) == 130
    assert [row["run_id"] for row in lines_of(tmp_path / "a.jsonl")] == [str(first.run_id)]
    second = answered(queue)
    assert feed() == [str(second.run_id)]


@pytest.mark.usefixtures("nothing_settles")
@pytest.mark.usefixtures("small_steps")
def test_a_feed_is_not_restarted_while_its_last_export_is_incomplete(
    queue: JobQueue,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    claims = [answered(queue) for _ in range(3)]
    cursor = ("--cursor", str(tmp_path / "cursor"))
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_append", full_after(2))
        assert exported(str(tmp_path / "a.jsonl"), *cursor) == 2
    assert exported(str(tmp_path / "b.jsonl"), *cursor) == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert exported(str(tmp_path / "a.jsonl"), *cursor, "--resume") == 0
    assert [row["run_id"] for row in lines_of(tmp_path / "a.jsonl")] == [str(claim.run_id) for claim in claims]


def test_a_feed_of_something_else_is_refused(
    queue: JobQueue, feed: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed()
    assert exported(str(tmp_path / "x.jsonl"), "--facts", "--cursor", str(tmp_path / "cursor")) == 2
    assert "another filter or format" in capsys.readouterr().err


def test_a_cursor_that_is_no_cursor_is_reported(
    queue: JobQueue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cursor").write_text("{}")
    assert exported(str(tmp_path / "x.jsonl"), "--cursor", str(tmp_path / "cursor")) == 2
    assert "cannot be read" in capsys.readouterr().err
