"""Completions that wait together are handed in by one call; each is judged, and answered, as if it came alone."""

import pytest

from derive.contracts import Outcome, RunFacts
from derive.errors import BadArgument
from derive.models import Artifact, JobEvent
from derive.queue import JobQueue
from derive.states import JobStatus, RunStatus
from tests.contract.scenes import a_job, an_artifact, failure, job_of, run_of, success

ODD = 'it "broke" at C:\\temp\nand ä€🚀'


def claimed_together(queue: JobQueue, count: int) -> list:  # type: ignore[type-arg]
    queue.enqueue_many([a_job(priority=2_000_000) for _ in range(count)], actor="ada")
    claims = queue.claim("worker-1", max_jobs=count)
    assert len(claims) == count
    return claims


def test_each_outcome_is_answered_by_its_own_row_in_order(queue: JobQueue) -> None:
    done, tried_again, failed, lost = claimed_together(queue, 4)
    queue.release(lost.run_id)
    artifact = an_artifact("prompt_text")
    outcomes = [
        success(lost),
        failure(tried_again, retry_after_seconds=0, count_attempt=False, error=ODD),
        success(done, run=RunFacts(output_json='{"facts": ["\\"ä€🚀\\""]}'), artifacts=(artifact,)),
        failure(failed),
    ]
    answers = queue.complete_all(outcomes)
    assert [(one.accepted, one.final_status) for one in answers] == [
        (False, JobStatus.NEW),
        (True, JobStatus.NEW),
        (True, JobStatus.SUCCEEDED),
        (True, JobStatus.FAILED),
    ]
    assert run_of(done).output_json == '{"facts": ["\\"ä€🚀\\""]}'
    assert Artifact.objects.get(run_id=done.run_id).lake_uri == artifact.lake_uri
    assert (run_of(tried_again).error, run_of(tried_again).counted) == (ODD, False)
    assert job_of(failed).status == JobStatus.FAILED


def test_repeating_the_call_returns_the_same_rows(queue: JobQueue) -> None:
    outcomes = [success(claim) for claim in claimed_together(queue, 3)]
    first = queue.complete_all(outcomes)
    events = JobEvent.objects.count()
    assert queue.complete_all(list(reversed(outcomes))) == list(reversed(first))
    assert queue.complete(outcomes[0]) == first[0]
    assert JobEvent.objects.count() == events


def test_one_that_is_bad_for_its_content_undoes_all(queue: JobQueue) -> None:
    good, bad = claimed_together(queue, 2)
    twice = (an_artifact("prompt_text"), an_artifact("prompt_text"))
    with pytest.raises(BadArgument):
        queue.complete_all([success(good), success(bad, artifacts=twice)])
    assert [run_of(claim).status for claim in (good, bad)] == [RunStatus.RUNNING] * 2
    assert queue.complete(success(good)).accepted


def test_a_run_that_is_named_with_anothers_job_is_refused(queue: JobQueue) -> None:
    one, other = claimed_together(queue, 2)
    crossed = Outcome(job_id=one.job_id, run_id=other.run_id, status=RunStatus.SUCCEEDED)
    (answer,) = queue.complete_all([crossed])
    assert (answer.accepted, answer.final_status) == (False, JobStatus.RUNNING)
    assert [run_of(claim).status for claim in (one, other)] == [RunStatus.RUNNING] * 2
