"""``backup`` and ``restore`` as real processes: a world comes back as it was, and nothing is overwritten."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command_world import World, count, migrated
from tests.fake_ollama import FakeOllama, behaviours


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated_cluster: Path) -> Iterator[World]:
    with migrated(tmp_path_factory.mktemp("world with a space"), migrated_cluster) as made, FakeOllama() as fake:
        made.environment |= {"OLLAMA_BASE_URL": fake.url, "LAKE_URL": str(made.folder / "lake")}
        for entity in ("tala", "umber"):
            ask = ("--interrogation", "sw_entity_facts_v1", "--entity-type", "character", "--entity-id", entity)
            code, _, complained = made.run("enqueue_jobs", *ask, "--evidence", "Tala Venn was born on Corvessa.")
            assert code == 0, complained
        fake.next(behaviours.answer())
        code, _, complained = made.run("run_llm_worker", "--max-jobs", "1")
        assert code == 0, complained
        yield made


@pytest.fixture(scope="module")
def backup(world: World) -> Path:
    """Two backups into one folder: the second has only the lake's new files to copy."""
    folder = world.folder / "the backup"
    code, printed, complained = world.run("backup", str(folder))
    assert (code, complained) == (0, "")
    assert printed.startswith("backed up 2 jobs and 1 runs")
    code, printed, complained = world.run("backup", str(folder))
    assert (code, complained) == (0, "")
    assert " 0 new files of the lake" in printed
    assert len(list(folder.glob("database-*.dump"))) == 1
    return folder


def empty_world(tmp_path: Path) -> World:
    made = World(tmp_path / "restored world")
    made.environment["LAKE_URL"] = str(tmp_path / "restored lake")
    return made


def test_a_backup_is_restored_verifies_and_goes_on_working(world: World, backup: Path, tmp_path: Path) -> None:
    made = empty_world(tmp_path)
    code, printed, complained = made.run("restore", str(backup))
    assert (code, complained) == (0, "")
    assert "The sealed history and a sample of the runs verify." in printed
    with made.connect() as database, world.connect() as old:
        assert count(database) == count(old) == 2
        assert database.execute("SELECT event_seq, job_id, event FROM llm.job_event ORDER BY 1").fetchall() == (
            old.execute("SELECT event_seq, job_id, event FROM llm.job_event ORDER BY 1").fetchall()
        )
        assert made.run("verify_runs")[0] == 0
        assert made.run("verify_audit")[0] == 0
        code, _, complained = made.run("migrate", "--check")
        assert code == 0, complained
        # Rights came along, and the next job gets a number of its own.
        (may,) = database.execute("SELECT has_table_privilege('llm_reader', 'llm.v_job_status', 'SELECT')").fetchone()  # type: ignore[misc]
        assert may
        ask = ("--interrogation", "sw_entity_facts_v1", "--entity-type", "character", "--entity-id", "new")
        assert made.run("enqueue_jobs", *ask, "--evidence", "x")[0] == 0
        assert count(database) == 3
        code, _, complained = made.run("restore", str(backup))
        assert (code, "the database at DATABASE_URL is not empty" in complained) == (2, True)
        assert count(database) == 3


def test_a_restoration_that_was_stopped_goes_on(backup: Path, tmp_path: Path) -> None:
    made = empty_world(tmp_path)
    there = next((backup / "lake").rglob("prompt.txt"))
    half = tmp_path / "restored lake" / there.relative_to(backup / "lake")
    half.parent.mkdir(parents=True)
    shutil.copy(there, half)
    code, _, complained = made.run("restore", str(backup), "--json")
    assert (code, complained) == (0, "")


MOMENTS = (0.2, 0.5, 0.9, 1.4)
"""Seconds after which a command is killed, wherever it is then."""


def killed_after(world: World, seconds: float, *arguments: str) -> None:
    process = world.start(*arguments)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    process.kill()
    process.communicate()


def test_a_backup_that_is_killed_leaves_the_one_before_or_the_new_one(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "killed backup"
    for seconds in MOMENTS:
        killed_after(world, seconds, "backup", str(folder))
        document = folder / "backup.json"
        if document.exists():
            assert (folder / json.loads(document.read_text())["database"]["name"]).exists()
    assert world.run("backup", str(folder))[0] == 0
    made = empty_world(tmp_path)
    code, _, complained = made.run("restore", str(folder))
    assert (code, complained) == (0, "")


def test_a_restoration_that_is_killed_is_all_or_nothing(backup: Path, tmp_path: Path) -> None:
    made = empty_world(tmp_path)
    for seconds in MOMENTS:
        killed_after(made, seconds, "restore", str(backup), "--no-verify")
    code, _, complained = made.run("restore", str(backup))
    # It had finished before it was killed, or it has now.
    assert code == 0 or "is not empty" in complained
    with made.connect() as database:
        assert count(database) == 2
    assert made.run("verify_runs")[0] == 0


def damaged(backup: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backup, tmp_path / "copy"))


def without_document(folder: Path) -> None:
    (folder / "backup.json").unlink()


def without_lake(folder: Path) -> None:
    shutil.rmtree(folder / "lake")


def with_another_dump(folder: Path) -> None:
    (dump,) = folder.glob("database-*.dump")
    dump.write_bytes(dump.read_bytes()[:-1])


def with_another_path(folder: Path) -> None:
    document = json.loads((folder / "backup.json").read_text())
    document["database"]["name"] = "../../etc/passwd"
    (folder / "backup.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (without_document, "holds no finished backup"),
        (without_lake, "the backup lacks its lake"),
        (with_another_dump, "is not the file that was backed up"),
        (with_another_path, "is not a backup's document"),
    ],
)
def test_a_backup_that_is_not_whole_is_refused(harm: object, why: str, backup: Path, tmp_path: Path) -> None:
    folder = damaged(backup, tmp_path)
    assert callable(harm)
    harm(folder)
    code, _, complained = empty_world(tmp_path).run("restore", str(folder))
    assert (code, why in complained) == (2, True), complained
    assert not (tmp_path / "restored lake").exists()


def test_a_lake_that_is_another_is_not_written_to(world: World, backup: Path, tmp_path: Path) -> None:
    other = tmp_path / "restored lake"
    other.mkdir()
    (other / "lake.json").write_text((backup / "lake" / "lake.json").read_text().replace("1", "2").replace("3", "4"))
    code, _, complained = empty_world(tmp_path).run("restore", str(backup))
    assert (code, "is another one" in complained) == (2, True), complained
