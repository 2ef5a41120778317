from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from derive.lake_stores.paths import run_folder
from derive.models import Artifact, Job, JobEvent, LakeDeletion, Run
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import ENDED, JobStatus
from tests.contract.scenes import (
    ACTOR,
    an_artifact,
    claimed,
    in_state,
    job_of,
    pass_time,
    queued,
    ref,
    success,
)
from tests.contract.sessions import a_session, is_free

DAY = 86_400


def yesterday() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


def purge(queue: JobQueue, **options: object) -> set[object]:
    rows = queue.purge(**{"finished_before_utc": yesterday(), "statuses": sorted(ENDED), "actor": ACTOR, **options})  # type: ignore[arg-type]
    return {row.job_id for row in rows}


def options_of_a_dry_run() -> dict[str, object]:
    """It chooses and locks like any purge, and leaves the jobs where a test can look at them."""
    return {"finished_before_utc": yesterday(), "statuses_json": '["FAILED"]', "actor": ACTOR, "dry_run": True}


def test_an_old_ended_job_goes_with_all_its_rows_and_its_files_are_listed(queue: JobQueue) -> None:
    claim = claimed(queue)
    artifacts = (an_artifact("manifest"), an_artifact("prompt_text"))
    queue.complete(success(claim, artifacts=artifacts))
    pass_time(2 * DAY)
    rows = queue.purge(finished_before_utc=yesterday(), statuses=[JobStatus.SUCCEEDED], actor=ACTOR, reason="old")
    assert {row.job_id for row in rows} == {claim.job_id}
    assert {row.lake_uri for row in rows} == {artifact.lake_uri for artifact in artifacts}
    assert [model.objects.count() for model in (Job, Run, Artifact)] == [0, 0, 0]
    (left,) = JobEvent.objects.all()
    assert (left.job_id, left.event, left.from_status, left.to_status) == (
        claim.job_id,
        *("purged", "SUCCEEDED", "SUCCEEDED"),
    )
    assert (left.actor, left.reason) == (ACTOR, "old")
    assert left.detail_json == '{"runs": 1, "artifacts": 2, "facts": 0}'
    deletions = list(LakeDeletion.objects.all())
    assert {row.lake_uri for row in deletions} == {artifact.lake_uri for artifact in artifacts}
    assert {(row.job_id, row.run_id, row.attempts, row.deleted_utc) for row in deletions} == {
        (claim.job_id, claim.run_id, 0, None)
    }


def test_a_dry_run_answers_the_same_and_changes_nothing(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    pass_time(2 * DAY)
    assert purge(queue, dry_run=True) == {job.job_id}
    assert Job.objects.count() == 1
    assert purge(queue) == {job.job_id}
    assert Job.objects.count() == 0


def test_a_held_job_is_never_purged(queue: JobQueue) -> None:
    held, free = in_state(queue, JobStatus.FAILED), in_state(queue, JobStatus.FAILED)
    queue.set_hold([ref(held)], actor=ACTOR, hold=True)
    pass_time(2 * DAY)
    assert purge(queue) == {free.job_id}
    assert Job.objects.get().job_id == held.job_id


def test_jobs_that_live_or_ended_lately_stay(queue: JobQueue) -> None:
    for status in sorted(set(JobStatus) - ENDED):
        in_state(queue, status)
    pass_time(2 * DAY)
    in_state(queue, JobStatus.FAILED)
    assert purge(queue) == set()


@pytest.mark.parametrize("status", sorted(ENDED))
def test_only_the_states_named_are_purged(queue: JobQueue, status: JobStatus) -> None:
    jobs = {ended: in_state(queue, ended) for ended in sorted(ENDED)}
    pass_time(2 * DAY)
    assert purge(queue, statuses=[status]) == {jobs[status].job_id}


def test_a_purge_takes_the_oldest_and_no_more_than_asked(queue: JobQueue) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(in_state(queue, JobStatus.CANCELLED))
        pass_time(2 * DAY)
    assert purge(queue, max_rows=2) == {job.job_id for job in jobs[:2]}
    assert purge(queue, max_rows=2) == {jobs[2].job_id}


def test_a_job_whose_run_is_to_be_repeated_stays_until_that_is_done(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.complete(success(claim))
    pass_time(2 * DAY)
    again = queued(queue, repeats_run_id=claim.run_id)
    assert purge(queue) == set()
    queue.cancel([ref(again)], actor=ACTOR)
    assert purge(queue) == {claim.job_id}


def test_the_folder_of_a_run_that_handed_nothing_in_is_listed_too(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    run = Run.objects.get(job_id=job.job_id)
    pass_time(2 * DAY)
    started_utc = Run.objects.get(run_id=run.run_id).started_utc
    purge(queue)
    assert LakeDeletion.objects.get().lake_uri == run_folder(started_utc, run.run_id)


def test_of_all_states_named_the_oldest_goes_first(queue: JobQueue) -> None:
    jobs = []
    for status in (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.CANCELLED):
        jobs.append(in_state(queue, status))
        pass_time(2 * DAY)
    for job in jobs:
        assert purge(queue, max_rows=1) == {job.job_id}


def test_a_job_that_ended_at_the_moment_named_stays(queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    ended: datetime = job_of(job).finished_utc
    assert purge(queue, finished_before_utc=ended) == set()
    assert purge(queue, finished_before_utc=ended + timedelta(microseconds=1)) == {job.job_id}


@pytest.mark.parametrize("dry_run", [True, False])
def test_files_are_listed_by_job_from_the_oldest_on_and_then_as_they_were_handed_in(
    queue: JobQueue, dry_run: bool
) -> None:
    files = []
    for number in range(5):
        claim = claimed(queue, job_id=UUID(int=9 - number))
        artifacts = tuple(an_artifact(artifact_type) for artifact_type in ("prompt_text", "manifest", "evidence"))
        queue.complete(success(claim, artifacts=artifacts))
        files += [(claim.job_id, artifact.lake_uri) for artifact in artifacts]
        pass_time(2 * DAY)
    rows = queue.purge(finished_before_utc=yesterday(), statuses=sorted(ENDED), actor=ACTOR, dry_run=dry_run)
    assert [(row.job_id, row.lake_uri) for row in rows] == files


@pytest.mark.parametrize("with_files", [True, False])
def test_what_the_lake_must_lose_is_listed_as_it_was_handed_in_or_begun(queue: JobQueue, with_files: bool) -> None:
    """Not by the jobs' ids, which fall here, nor by when the jobs ended."""
    claims = [claimed(queue, job_id=UUID(int=9 - number), priority=number) for number in range(3)]
    if with_files:
        for claim in claims:
            queue.complete(success(claim, artifacts=(an_artifact(), an_artifact("manifest"))))
        runs = [claim.run_id for claim in claims for _file in range(2)]
    else:
        for claim in reversed(claims):
            queue.complete(success(claim))
        runs = [claim.run_id for claim in claims]
    pass_time(2 * DAY)
    purge(queue)
    assert list(LakeDeletion.objects.order_by("deletion_seq").values_list("run_id", flat=True)) == runs


def test_a_purge_passes_over_jobs_that_somebody_holds(queue: JobQueue) -> None:
    held, free = (in_state(queue, JobStatus.FAILED) for _ in range(2))
    pass_time(2 * DAY)
    with a_session() as other, a_session() as session:
        other.hold(held)
        rows = session.call(procedures.PURGE_JOBS, **options_of_a_dry_run())
        assert [str(row[0]).lower() for row in rows] == [str(free.job_id)]


def test_a_purge_locks_no_more_jobs_of_a_state_than_asked(queue: JobQueue) -> None:
    old, young = (in_state(queue, JobStatus.FAILED) for _ in range(2))
    pass_time(2 * DAY)
    with a_session() as session:
        assert len(session.call(procedures.PURGE_JOBS, **options_of_a_dry_run(), max_rows=1)) == 1
        assert (is_free(old), is_free(young)) == (False, True)
