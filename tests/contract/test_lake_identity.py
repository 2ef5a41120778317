"""A lake is used only if it is the one that holds this database's files."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from pytest_django import Settings

from derive.contracts import Outcome, RunFacts
from derive.errors import LakeUnavailable
from derive.health import check_all, check_lake
from derive.lake import Lake, artifact_facts
from derive.lake_identity import check_lake_identity, open_own_lake, settle_lake
from derive.lake_stores.identity import IDENTITY_NAME
from derive.models import LakeDeletion, Seal
from derive.queue import JobQueue
from derive.retention import purge
from derive.states import JobStatus, RunStatus
from tests.contract.scenes import claimed, pass_time

DAY = 86_400


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "mount" / "lake") if request.param == "local" else f"memory://{uuid4()}/lake"


@pytest.fixture
def elsewhere(url: str, tmp_path: Path) -> str:
    """A root of the same kind that holds nothing."""
    return f"memory://{uuid4()}/lake" if url.startswith("memory") else str(tmp_path / "elsewhere")


def keep_run(queue: JobQueue, lake: Lake) -> str:
    """Run a job to its success, its files in the lake; return the folder."""
    claim = claimed(queue)
    folder = lake.run_folder(claim.started_utc, claim.run_id)
    files = lake.write_all(folder, {"prompt.txt": b"asked", "output.json": b"{}"})
    queue.complete(
        Outcome(
            job_id=claim.job_id,
            run_id=claim.run_id,
            status=RunStatus.SUCCEEDED,
            run=RunFacts(output_json="{}"),
            artifacts=artifact_facts(claim.run_id, folder, files),
        )
    )
    return folder


def identity(url: str) -> UUID | None:
    return Lake.open(url).read_identity()


def test_a_new_lake_gets_an_id_that_sql_knows_too(queue: JobQueue, url: str) -> None:
    open_own_lake(url)
    assert identity(url) is not None
    assert identity(url) == queue.record_lake()
    assert json.loads(Lake.open(url).read(IDENTITY_NAME)) == {"lake_id": str(identity(url))}


def test_a_settled_lake_is_settled_again_without_a_change(queue: JobQueue, url: str) -> None:
    keep_run(queue, open_own_lake(url))
    before = identity(url)
    open_own_lake(url)
    check_lake_identity(Lake.open(url))
    assert identity(url) == before == queue.record_lake()


def test_an_empty_root_in_the_lakes_place_is_refused(queue: JobQueue, url: str, elsewhere: str) -> None:
    keep_run(queue, open_own_lake(url))
    Lake.open(elsewhere).probe()
    for refuse in (settle_lake, check_lake_identity):
        with pytest.raises(LakeUnavailable, match=r"holds 0 of the newest 2 files.*set_up_lake"):
            refuse(Lake.open(elsewhere))
    assert identity(elsewhere) is None


def test_a_missing_root_is_not_recreated(queue: JobQueue, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    keep_run(queue, open_own_lake(str(root)))
    root.rename(tmp_path / "moved")
    with pytest.raises(LakeUnavailable, match="it is not there"):
        open_own_lake(str(root))
    assert not root.exists()
    (tmp_path / "moved").rename(root)
    open_own_lake(str(root)).probe()


def test_the_lake_of_another_database_is_refused(queue: JobQueue, url: str, elsewhere: str) -> None:
    keep_run(queue, open_own_lake(url))
    Lake.open(elsewhere).write_identity(uuid4())
    with pytest.raises(LakeUnavailable, match=r"is not this database's: its lake\.json names"):
        open_own_lake(elsewhere)


def test_the_lake_of_an_earlier_version_is_adopted(queue: JobQueue, url: str) -> None:
    lake = Lake.open(url)
    folders = [keep_run(queue, lake) for _run in range(3)]
    assert (identity(url), queue.record_lake()) == (None, None)
    lake.delete_folder(folders[0])
    check_lake_identity(Lake.open(url))
    assert identity(url) is None, "a check writes nothing"

    open_own_lake(url)

    assert identity(url) == queue.record_lake() is not None


def test_settling_continues_after_a_crash_between_sql_and_the_lake(queue: JobQueue, url: str) -> None:
    recorded = queue.record_lake(uuid4())
    open_own_lake(url)
    assert identity(url) == recorded


def test_a_new_database_takes_the_lake_there_is(queue: JobQueue, url: str) -> None:
    held = uuid4()
    Lake.open(url).write_identity(held)
    open_own_lake(url)
    assert queue.record_lake() == held


def test_of_two_concurrent_callers_the_second_gets_the_firsts_id(queue: JobQueue) -> None:
    first, second = uuid4(), uuid4()
    assert queue.record_lake(first) == first
    assert queue.record_lake(second) == first
    assert queue.record_lake(second, replaces=uuid4()) == first
    assert queue.record_lake(second, replaces=first) == second


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"lake_id": 7}', b"x" * 5_000, b"\xff"])
def test_a_damaged_identity_is_refused(queue: JobQueue, tmp_path: Path, content: bytes) -> None:
    (tmp_path / IDENTITY_NAME).write_bytes(content)
    with pytest.raises(LakeUnavailable, match="holds no id"):
        open_own_lake(str(tmp_path))


def test_a_root_that_is_exchanged_under_a_running_worker_is_refused(queue: JobQueue, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    lake = open_own_lake(str(root))
    keep_run(queue, lake)
    root.rename(tmp_path / "moved")
    root.mkdir()
    acts: list[Callable[[], object]] = [lake.probe, lambda: lake.write("evidence", "a.txt", b"x")]
    for act in acts:
        with pytest.raises(LakeUnavailable, match="another lake than before, or an empty folder"):
            act()
    assert list(root.iterdir()) == []
    shutil.rmtree(root)
    (tmp_path / "moved").rename(root)
    lake.probe()


def test_another_prefix_content_is_seen_by_an_object_stores_probe(queue: JobQueue) -> None:
    url = f"memory://{uuid4()}/lake"
    lake = open_own_lake(url)
    lake.probe()
    lake._store._fs.rm_file(lake._store._path(IDENTITY_NAME))  # type: ignore[attr-defined]
    with pytest.raises(LakeUnavailable, match="another lake"):
        lake.probe()


def test_set_up_lake_takes_an_empty_root_and_the_old_lake_is_refused_from_then_on(
    queue: JobQueue, url: str, elsewhere: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_run(queue, open_own_lake(url))
    settings.LAKE_URL = elsewhere
    call_command("set_up_lake")
    assert str(identity(elsewhere)) in capsys.readouterr().out
    open_own_lake(elsewhere)
    call_command("set_up_lake")
    assert identity(elsewhere) == queue.record_lake()
    with pytest.raises(LakeUnavailable, match="is not this database's"):
        open_own_lake(url)


def test_readiness_reports_a_foreign_lake(queue: JobQueue, settings: Settings, tmp_path: Path) -> None:
    keep_run(queue, open_own_lake(str(tmp_path / "lake")))
    for name, is_ready in (("lake", True), ("empty", False)):
        settings.LAKE_URL = str(tmp_path / name)
        assert check_lake().ok is is_ready
        assert check_all()[-1].ok is is_ready
    assert not (tmp_path / "empty").exists()


def test_nothing_is_purged_or_sealed_into_a_foreign_lake(queue: JobQueue, settings: Settings, tmp_path: Path) -> None:
    keep_run(queue, open_own_lake(str(tmp_path / "lake")))
    settings.LAKE_URL = str(tmp_path / "empty")
    with pytest.raises(LakeUnavailable):
        purge(ages={JobStatus.SUCCEEDED: timedelta(0)}, actor="ada")
    with pytest.raises(SystemExit):
        call_command("seal_audit")
    assert (Seal.objects.count(), LakeDeletion.objects.count()) == (0, 0)


def test_an_empty_root_is_refused_while_files_of_purged_jobs_wait_to_be_deleted(
    queue: JobQueue, url: str, elsewhere: str
) -> None:
    lake = open_own_lake(url)
    keep_run(queue, lake)
    pass_time(DAY)
    queue.purge(finished_before_utc=datetime.now(UTC), statuses=[JobStatus.SUCCEEDED], actor="ada")
    assert LakeDeletion.objects.count() == 2
    for refused in (settle_lake, check_lake_identity):
        with pytest.raises(LakeUnavailable, match=r"holds 0 of the newest 2 files|it is not there"):
            refused(Lake.open(elsewhere))
    settle_lake(Lake.open(url))


def test_verification_reports_a_foreign_lake(
    queue: JobQueue, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_run(queue, open_own_lake(str(tmp_path / "lake")))
    settings.LAKE_URL = str(tmp_path / "empty")
    Path(settings.LAKE_URL).mkdir()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_runs")
    printed, complained = capsys.readouterr()
    assert (ended.value.code, printed) == (2, "")
    (line,) = complained.splitlines()
    assert line.startswith("verify_runs: The lake is not this database's")


def test_verification_and_orphans_do_not_see_the_identity(queue: JobQueue, url: str, settings: Settings) -> None:
    folder = keep_run(queue, open_own_lake(url))
    assert list(Lake.open(url).run_folders()) == [folder]
