"""``move_lake``: the lake is handed over when everything is there and nobody writes any more."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command

from derive.lake import Lake
from derive.lake_identity import open_own_lake, settle_lake
from derive.queue import JobQueue
from tests.contract.scenes import claim_one, queued, success


@pytest.fixture
def old(queue: JobQueue, settings: LazySettings, tmp_path: Path) -> Lake:
    settings.LAKE_URL = str(tmp_path / "old")
    lake = open_own_lake(settings.LAKE_URL)
    queued(queue)
    claim = claim_one(queue)
    queue.complete(success(claim))
    lake.write(Lake.run_folder(claim.started_utc, claim.run_id), "prompt.txt", b"What?")
    return lake


def move(to: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as ended:
        call_command("move_lake", str(to), "--json")
    printed = capsys.readouterr().out
    return int(ended.value.code or 0), json.loads(printed) if printed else {}


def test_a_lake_is_moved_with_its_id_and_is_then_the_databases(
    old: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = move(tmp_path / "new", capsys)
    assert (code, said["files"], said["moved"], said["left"]) == (0, 1, True, [])
    new = Lake.open(str(tmp_path / "new"))
    assert new.read_identity() == old.read_identity()
    settle_lake(new)
    code, said = move(tmp_path / "new", capsys)
    assert (code, said["files"], said["already_there"]) == (0, 0, 1)


def test_while_a_worker_is_alive_all_is_copied_and_nothing_handed_over(
    old: Lake, queue: JobQueue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.heartbeat("w", [])
    code, said = move(tmp_path / "new", capsys)
    assert (code, said["files"], said["moved"]) == (1, 1, False)
    assert said["left"] == ["1 worker may still write: stop them, and run this again to finish"]
    assert Lake.open(str(tmp_path / "new")).read_identity() is None


def test_another_lake_is_not_written_to(old: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Lake.open(str(tmp_path / "other"))
    other.probe()
    other.write_at_root(
        "lake.json", (tmp_path / "old" / "lake.json").read_bytes().replace(b"0", b"1").replace(b"2", b"3")
    )
    assert other.read_identity() != old.read_identity()
    with pytest.raises(SystemExit) as ended:
        call_command("move_lake", str(tmp_path / "other"))
    assert ended.value.code == 2
    assert "is another lake" in capsys.readouterr().err
    assert {entry.name for entry in other.list_root()} == {"lake.json"}
