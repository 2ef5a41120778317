"""Retention: what goes, what never does, and that files follow their rows, however often it takes."""

import shutil
from datetime import UTC, datetime, timedelta
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from derive import retention
from derive.deadline import Deadline
from derive.errors import LakeUnavailable
from derive.lake import Lake, artifact_facts
from derive.models import Job, JobEvent, LakeDeletion, Run, Seal
from derive.queue import JobQueue
from derive.retention import HistoryUnsettled, PurgeReport, delete_files, purge
from derive.sealing.chain import seal_history
from derive.sealing.verification import AuditVerification
from derive.sql.clock import database_now
from derive.states import ENDED, JobStatus
from tests.contract.scenes import ACTOR, claimed, in_state, pass_time, queued, ref, success
from tests.contract.test_sealing import OpenTransaction

EVERYTHING = dict.fromkeys(ENDED, timedelta(0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def lake(root: Path) -> Lake:
    lake = Lake.open(str(root))
    lake.probe()
    return lake


def purge_all(lake: Lake, **options: Any) -> PurgeReport:
    return purge(**{"ages": EVERYTHING, "actor": ACTOR, "reason": "old", "lake": lake, **options})


def answered(queue: JobQueue, lake: Lake) -> Path:
    """Return the folder, below the lake's root, of a run that succeeded and left two files."""
    claim = claimed(queue)
    run = Run.objects.get(run_id=claim.run_id)
    folder = lake.run_folder(run.started_utc, run.run_id)
    files = lake.write_all(folder, {"prompt.txt": b"what?", "output.json": b"{}"})
    queue.complete(success(claim, artifacts=artifact_facts(run.run_id, folder, files)))
    return Path(folder)


def verified(lake: Lake) -> list[str]:
    return [finding.line() for finding in AuditVerification(lake).found()]


def test_rows_and_files_go_a_sealed_tombstone_stays_and_all_verifies(queue: JobQueue, lake: Lake, root: Path) -> None:
    folder = answered(queue, lake)
    report = purge_all(lake)
    assert (report.job_count, report.files, report.files_deleted, report.files_waiting) == (1, 2, 2, 0)
    assert not (root / folder).exists()
    assert Job.objects.count() == 0
    (left,) = JobEvent.objects.all()
    assert (left.event, left.actor, left.reason) == ("purged", ACTOR, "old")
    assert Seal.objects.latest("seal_seq").last_event_seq == left.event_seq
    assert {(row.attempts, row.last_error, row.deleted_utc is not None) for row in LakeDeletion.objects.all()} == {
        (1, None, True)
    }
    assert verified(lake) == []


def test_the_hours_are_counted_before_anything_goes(
    queue: JobQueue, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far the counting lies behind: here so far that the procedure's own step does not get there."""
    counted = JobQueue.roll_up_hours
    monkeypatch.setattr(
        JobQueue, "roll_up_hours", lambda own, max_steps: counted(own, max_events=2, max_steps=max_steps)
    )
    for _job in range(4):
        in_state(queue, JobStatus.CANCELLED)
    seen: list[int] = []
    purge_all(lake, ages={}, on_batch=lambda _: seen.append(count_of("enqueued")))
    assert seen == [1, 2, 3]
    assert count_of("enqueued") == count_of("cancelled") == 4


def count_of(move: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT SUM({move}) FROM llm.stat_hour")
        return int(cursor.fetchone()[0])


def test_each_state_has_its_own_age_and_one_without_stays(queue: JobQueue, lake: Lake) -> None:
    jobs = {status: in_state(queue, status) for status in sorted(JobStatus)}
    pass_time(2 * 86_400)
    ages = {JobStatus.SUCCEEDED: timedelta(days=1), JobStatus.FAILED: timedelta(days=3)}
    for dry_run in (True, False):
        report = purge_all(lake, ages=ages, dry_run=dry_run)
        assert +report.jobs == {JobStatus.SUCCEEDED: 1}
    assert set(Job.objects.filter(parent_job_id=None).values_list("job_id", flat=True)) == {
        job.job_id for status, job in jobs.items() if status != JobStatus.SUCCEEDED
    }


def test_a_dry_run_counts_what_a_purge_takes_and_changes_nothing(queue: JobQueue, lake: Lake) -> None:
    folders = [answered(queue, lake) for _ in range(2)]
    held, run_again = in_state(queue, JobStatus.FAILED), claimed(queue)
    queue.complete(success(run_again))
    queued(queue, repeats_run_id=run_again.run_id)
    queue.set_hold([ref(held)], actor=ACTOR, hold=True)
    counted = purge_all(lake, dry_run=True)
    assert (Seal.objects.count(), LakeDeletion.objects.count()) == (0, 0)
    assert lake.list_folder(str(folders[0]))
    purged = purge_all(lake)
    assert (counted.job_count, counted.files) == (purged.job_count, purged.files) == (2, 4)
    assert verified(lake) == []


def test_a_bounded_dry_run_counts_the_files_of_the_jobs_that_a_bounded_purge_takes(queue: JobQueue, lake: Lake) -> None:
    answered(queue, lake)
    claim = claimed(queue)
    queue.complete(success(claim))
    for _ in range(2):
        in_state(queue, JobStatus.FAILED)
    for most in (1, 3):
        counted = purge_all(lake, dry_run=True, max_rows=most)
        purged = purge_all(lake, max_rows=most)
        assert (counted.jobs, counted.files) == (purged.jobs, purged.files)


class OverAfter(Deadline):
    """A deadline that is over once it was asked so many times."""

    def __init__(self, asked: int) -> None:
        super().__init__(60)
        self._asked = asked

    @property
    def is_over(self) -> bool:
        self._asked -= 1
        return self._asked < 0


@pytest.mark.parametrize("batch", ["BATCH_JOBS", "BATCH_FILES", "SEAL_EVENTS", "ROLL_UP_EVENTS"])
def test_a_purge_in_many_short_calls_does_the_same_and_loses_no_count(
    queue: JobQueue, lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch, batch: str
) -> None:
    """Sealing, counting, rows and files: each of them is the long one once."""
    folders = [answered(queue, lake) for _ in range(3)]
    patch = {
        "BATCH_JOBS": lambda: monkeypatch.setattr(retention, "BATCH_JOBS", 1),
        "BATCH_FILES": lambda: None,
        "SEAL_EVENTS": lambda: monkeypatch.setattr(retention, "seal_history", partial(seal_history, batch_events=2)),
        "ROLL_UP_EVENTS": lambda: monkeypatch.setattr(
            JobQueue, "roll_up_hours", partialmethod(JobQueue.roll_up_hours, max_events=2)
        ),
    }
    patch[batch]()
    reports: list[PurgeReport] = []
    while not reports or not reports[-1].is_finished:
        reports.append(purge_all(lake, deadline=Deadline(0)))
        assert len(reports) < 100
    assert len(reports) > 2
    assert sum(report.job_count for report in reports) == 3
    assert sum(report.files_deleted for report in reports) == 6
    assert not any((root / folder).exists() for folder in folders)
    assert (Job.objects.count(), LakeDeletion.objects.filter(deleted_utc=None).count()) == (0, 0)
    seal_history(lake)
    assert verified(lake) == []


def test_a_purge_looks_at_the_clock_after_each_file_and_not_only_after_each_batch(queue: JobQueue, lake: Lake) -> None:
    for _ in range(3):
        answered(queue, lake)
    queue.purge(finished_before_utc=database_now(), statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    report = PurgeReport(dry_run=False)
    delete_files(lake, report, deadline=OverAfter(1))
    assert (report.files_deleted, report.is_finished) == (2, False)


def test_a_bounded_purge_takes_no_more_and_goes_on_with_the_next(queue: JobQueue, lake: Lake) -> None:
    for _ in range(5):
        in_state(queue, JobStatus.CANCELLED)
    told: list[int] = []
    assert purge_all(lake, max_rows=3, on_batch=lambda report: told.append(report.job_count)).job_count == 3
    assert told[0] == 3
    assert purge_all(lake).job_count == 2


def test_a_held_job_is_never_purged_and_a_requeued_one_neither(queue: JobQueue, lake: Lake) -> None:
    held, requeued = in_state(queue, JobStatus.FAILED), in_state(queue, JobStatus.FAILED)
    queue.set_hold([ref(held)], actor=ACTOR, hold=True)
    queue.requeue([ref(requeued)], actor=ACTOR)
    assert purge_all(lake).job_count == 0
    assert Job.objects.count() == 2


@pytest.mark.parametrize("column", ["hold_utc", "status"])
def test_what_somebody_is_just_holding_or_requeueing_is_passed_over(queue: JobQueue, lake: Lake, column: str) -> None:
    """Its row is locked and not committed: the purge neither waits for that nor takes the job."""
    job, other = in_state(queue, JobStatus.FAILED), in_state(queue, JobStatus.FAILED)
    change = "status = 'NEW', finished_utc = NULL" if column == "status" else "hold_utc = finished_utc"
    held = OpenTransaction(f"UPDATE llm.job SET {change} WHERE job_id = %s", [str(job.job_id)])
    held.begin()
    try:
        assert purge_all(lake).job_count == 1
    finally:
        held.commit()
    assert purge_all(lake).job_count == 0
    assert Job.objects.get().job_id == job.job_id
    assert not Job.objects.filter(job_id=other.job_id)
    if column == "status":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE llm.job SET status = 'FAILED', finished_utc = available_utc")


def test_nothing_is_purged_while_an_open_transaction_keeps_history_from_its_seal(queue: JobQueue, lake: Lake) -> None:
    job = in_state(queue, JobStatus.FAILED)
    held = OpenTransaction.inserting_an_event(JobEvent.objects.filter(job_id=job.job_id).last())
    held.begin()
    try:
        with pytest.raises(HistoryUnsettled):
            purge_all(lake)
        assert Job.objects.count() == 1
    finally:
        held.roll_back()


def test_files_that_cannot_be_deleted_are_tried_again(
    queue: JobQueue, lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = answered(queue, lake)

    def away(*_: Any) -> None:
        raise LakeUnavailable("The lake is away.")

    with monkeypatch.context() as broken:
        broken.setattr(Lake, "delete_folder", away)
        report = purge_all(lake)
        assert (report.job_count, report.files_deleted, report.files_waiting) == (1, 0, 2)
        assert report.last_error == "The lake is away."
    assert (root / folder).exists()
    assert verified(lake) == []
    report = purge_all(lake)
    assert (report.files_deleted, report.files_waiting) == (2, 0)
    assert not (root / folder).exists()
    assert [row.attempts for row in LakeDeletion.objects.order_by("deletion_seq")] == [2, 1]


def test_a_purge_that_dies_between_rows_and_files_is_ended_by_the_next(
    queue: JobQueue, lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = answered(queue, lake)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    for of, name in ((Lake, "delete_folder"), (JobQueue, "record_lake_deletions")):
        with monkeypatch.context() as dying:
            dying.setattr(of, name, die)
            with pytest.raises(KeyboardInterrupt):
                purge_all(lake)
    assert not (root / folder).exists()
    report = purge_all(lake)
    assert (report.files_deleted, report.files_waiting) == (2, 0)
    assert verified(lake) == []


def test_a_lake_that_is_away_from_the_start_purges_nothing(queue: JobQueue, lake: Lake, tmp_path: Path) -> None:
    in_state(queue, JobStatus.FAILED)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no folder")
    with pytest.raises(LakeUnavailable):
        purge_all(Lake.open(str(in_the_way)))
    assert Job.objects.count() == 1


@pytest.mark.parametrize("uri", ["../../etc", "llm_runs/2026/01/02/../../x", "/etc/passwd", "seals/2026/01/01/1.json"])
def test_a_forged_path_is_refused_and_said(queue: JobQueue, lake: Lake, root: Path, uri: str) -> None:
    answered(queue, lake)
    purge_all(lake)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.lake_deletion SET deleted_utc = NULL, lake_uri = %s", [uri])
    before = sorted(root.rglob("*"))
    report = purge_all(lake)
    assert report.files_waiting == 2
    assert "was not touched" in str(report.last_error)
    assert sorted(root.rglob("*")) == before


def test_the_folder_of_another_run_or_of_a_living_one_is_not_touched(queue: JobQueue, lake: Lake, root: Path) -> None:
    answered(queue, lake)
    purge_all(lake)
    stays = answered(queue, lake)
    run = Run.objects.get()
    for run_id in ("run_id", f"'{run.run_id}'"):
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE llm.lake_deletion SET deleted_utc = NULL, run_id = {run_id}, lake_uri = %s",
                [str(stays)],
            )
        assert purge_all(lake, ages={}).files_waiting == 2
        assert (root / stays / "prompt.txt").exists()


def test_a_link_in_the_place_of_a_folder_is_removed_and_not_followed(
    queue: JobQueue, lake: Lake, root: Path, tmp_path: Path
) -> None:
    folder = answered(queue, lake)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept.txt").write_text("kept")
    shutil.rmtree(root / folder)
    (root / folder).symlink_to(elsewhere)
    purge_all(lake)
    assert (elsewhere / "kept.txt").exists()


def test_only_ends_have_an_age(queue: JobQueue, lake: Lake) -> None:
    with pytest.raises(ValueError, match="only ended jobs"):
        purge_all(lake, ages={JobStatus.RUNNING: timedelta(0)})


def test_jobs_that_ended_after_the_seal_began_wait_for_the_next_purge(queue: JobQueue, lake: Lake) -> None:
    in_state(queue, JobStatus.FAILED)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE llm.job SET finished_utc = %s", [datetime.now(UTC) + timedelta(minutes=5)])
    assert purge_all(lake).job_count == 0
