"""Retention policies and sealing as the scheduler runs them."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from derive.deadline import Deadline
from derive.lake import Lake, artifact_facts
from derive.models import Job, LakeDeletion, RetentionPolicy, ScheduleRun, Seal, TaskState
from derive.queue import JobQueue
from derive.schedules import retention_policies
from derive.schedules.due import run_due
from derive.schedules.retention_policies import count_old, delete_purged_files, retain, seal
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sealing.chain import seal_history
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.contract.scenes import ACTOR, claimed, in_state, pass_time, ref, success

pytestmark = pytest.mark.usefixtures("lake")
DAY = 86_400


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> Path:
    settings.LAKE_URL = str(tmp_path)
    return tmp_path


def a_retention(**values: Any) -> RetentionPolicy:
    now = database_now()
    given = {"cron": "0 4 * * *", "changed_by": ACTOR, "changed_utc": now, **values}
    return RetentionPolicy.objects.create(name="yearly", next_utc=now - timedelta(minutes=1), **given)


def run_retention(*, seconds: float = 60) -> TaskResult:
    return run_due(RetentionPolicy, retain, Deadline(seconds))


def told() -> str:
    return TaskState.objects.get(name="retention:yearly").told


def left() -> set[str]:
    return set(Job.objects.values_list("status", flat=True))


def test_a_policy_purges_what_is_old_enough_by_state_and_leaves_what_is_held(queue: JobQueue) -> None:
    for status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED):
        in_state(queue, status)
    held = in_state(queue, JobStatus.FAILED)
    queue.set_hold([ref(held)], actor=ACTOR, hold=True)
    pass_time(40 * DAY)
    policy = a_retention(succeeded_days=365, failed_days=30, cancelled_days=30)
    assert count_old(policy) == (2, True)
    run_retention()
    assert told().startswith("2 jobs purged")
    assert Job.objects.count() == 2
    assert left() == {"SUCCEEDED", "FAILED"}
    policy.refresh_from_db()
    assert policy.next_utc is not None
    assert policy.next_utc > database_now()


def test_a_policy_that_finds_nothing_says_so(queue: JobQueue) -> None:
    in_state(queue, JobStatus.FAILED)
    a_retention(failed_days=30)
    run_retention()
    assert told() == "no job was old enough"
    assert not ScheduleRun.objects.exists()


def test_a_policy_takes_so_many_at_a_time(queue: JobQueue) -> None:
    for _job in range(3):
        in_state(queue, JobStatus.FAILED)
    pass_time(40 * DAY)
    a_retention(failed_days=30, max_jobs=2)
    run_retention()
    assert Job.objects.count() == 1


def test_a_purge_that_takes_too_long_stops_between_its_batches(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("derive.retention.BATCH_JOBS", 1)
    for _job in range(3):
        in_state(queue, JobStatus.FAILED)
    pass_time(40 * DAY)
    policy = a_retention(failed_days=30)
    seal(Deadline(60))
    outcome = retain(policy, database_now(), Deadline(0))
    assert outcome.text.startswith("1 job purged")
    assert "the rest wait for the next run" in outcome.text
    assert Job.objects.count() == 2


def test_sealing_a_long_history_first_ends_in_time_too(queue: JobQueue) -> None:
    in_state(queue, JobStatus.FAILED)
    pass_time(40 * DAY)
    policy = a_retention(failed_days=30)
    said = retain(policy, policy.next_utc, Deadline(0))
    assert said.outcome is TaskOutcome.DONE
    assert said.text == ("0 jobs purged, 0 files deleted from the lake; out of time, the rest wait for the next run")
    assert Seal.objects.count() == Job.objects.count() == 1
    run_retention()
    assert not Job.objects.exists()


def test_a_count_ends_at_its_bound(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_policies, "COUNT_TO", 2)
    for status in (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.CANCELLED):
        in_state(queue, status)
    pass_time(40 * DAY)
    assert count_old(a_retention(failed_days=30, cancelled_days=30)) == (2, False)


def test_the_history_is_sealed_and_its_head_told(queue: JobQueue, lake: Path) -> None:
    in_state(queue, JobStatus.SUCCEEDED)
    sealed = seal(Deadline(60))
    assert sealed.outcome is TaskOutcome.DONE
    assert sealed.text.startswith("3 events sealed; the head is 1:")
    assert list(lake.rglob("seals/**/*.json"))
    assert seal(Deadline(60)) == TaskResult(TaskOutcome.IDLE)


def test_a_lake_that_is_away_is_reported_and_nothing_is_lost(
    queue: JobQueue, settings: Settings, tmp_path: Path
) -> None:
    in_state(queue, JobStatus.FAILED)
    pass_time(40 * DAY)
    a_retention(failed_days=30)
    (tmp_path / "file").write_text("no folder")
    settings.LAKE_URL = str(tmp_path / "file")
    run_retention()
    assert TaskState.objects.get(name="retention:yearly").outcome == "failed"
    assert left() == {"FAILED"}


def test_files_that_a_purge_could_not_delete_go_with_the_next_look(queue: JobQueue, lake: Path) -> None:
    claim = claimed(queue)
    store = Lake.open(str(lake))
    folder = store.run_folder(claim.started_utc, claim.run_id)
    files = store.write_all(folder, {"prompt.txt": b"asked"})
    queue.complete(success(claim, artifacts=artifact_facts(claim.run_id, folder, files)))
    pass_time(40 * DAY)
    queue.purge(finished_before_utc=database_now(), statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    assert (lake / folder / "prompt.txt").exists()
    assert delete_purged_files(Deadline(60)).outcome is TaskOutcome.DONE
    assert not (lake / folder / "prompt.txt").exists()
    assert delete_purged_files(Deadline(60)) == TaskResult(TaskOutcome.IDLE)


def test_sealing_that_takes_too_long_stops_after_a_seal_and_goes_on_the_next_time(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_policies, "seal_history", partial(seal_history, batch_events=1))
    in_state(queue, JobStatus.SUCCEEDED)
    assert seal(Deadline(0)) == TaskResult(TaskOutcome.DONE, "1 seal; out of time, the rest wait for the next run")
    assert Seal.objects.count() == 1
    assert seal(Deadline(60)).text.startswith("2 events sealed")


def test_deleting_that_takes_too_long_stops_after_a_batch_and_goes_on_the_next_time(
    queue: JobQueue, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("derive.retention.BATCH_FILES", 1)
    claim = claimed(queue)
    store = Lake.open(str(lake))
    folder = store.run_folder(claim.started_utc, claim.run_id)
    files = store.write_all(folder, {"prompt.txt": b"asked", "output.json": b"{}"})
    queue.complete(success(claim, artifacts=artifact_facts(claim.run_id, folder, files)))
    pass_time(40 * DAY)
    queue.purge(finished_before_utc=database_now(), statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    assert "1 file deleted" in delete_purged_files(Deadline(0)).text
    assert LakeDeletion.objects.filter(deleted_utc__isnull=True).count() == 1
    assert "1 file deleted" in delete_purged_files(Deadline(60)).text
