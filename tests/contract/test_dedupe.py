from uuid import uuid4

import pytest

from derive.models import Job
from derive.queue import JobQueue
from derive.states import HOLDS_DEDUPE_KEY, JobStatus
from tests.contract.scenes import ACTOR, a_job, in_state, queued, ref, status_of


@pytest.mark.parametrize("status", sorted(HOLDS_DEDUPE_KEY))
def test_a_live_or_succeeded_job_holds_its_key(queue: JobQueue, status: JobStatus) -> None:
    holder = in_state(queue, status, dedupe_key="luke")
    answer = queued(queue, dedupe_key="luke")
    assert (answer.job_id, answer.is_duplicate, answer.status) == (holder.job_id, True, status)
    assert Job.objects.filter(parent_job_id=None).count() == 1


@pytest.mark.parametrize("status", sorted(set(JobStatus) - HOLDS_DEDUPE_KEY))
def test_a_job_that_ended_without_an_answer_lets_its_key_go(queue: JobQueue, status: JobStatus) -> None:
    ended = in_state(queue, status, dedupe_key="luke")
    answer = queued(queue, dedupe_key="luke")
    assert not answer.is_duplicate
    assert answer.job_id != ended.job_id


def test_equal_keys_of_different_interrogations_are_different_keys(queue: JobQueue) -> None:
    assert not queued(queue, dedupe_key="luke").is_duplicate
    assert not queued(queue, dedupe_key="luke", interrogation_key="another").is_duplicate


def test_of_equal_keys_in_one_batch_the_second_is_the_firsts_duplicate(queue: JobQueue) -> None:
    jobs = [a_job(dedupe_key="a"), a_job(dedupe_key="b"), a_job(dedupe_key="a"), a_job()]
    first, other, second, free = queue.enqueue_many(jobs, actor=ACTOR)
    assert (first.is_duplicate, other.is_duplicate, free.is_duplicate) == (False, False, False)
    assert (second.is_duplicate, second.job_id) == (True, first.job_id)


def test_a_batch_finds_the_holders_of_earlier_calls(queue: JobQueue) -> None:
    holder = queued(queue, dedupe_key="a")
    first, second = queue.enqueue_many([a_job(dedupe_key="a"), a_job(dedupe_key="b")], actor=ACTOR)
    assert (first.job_id, first.is_duplicate) == (holder.job_id, True)
    assert not second.is_duplicate


def test_a_duplicate_returns_the_live_holder_of_the_same_key_and_interrogation(queue: JobQueue) -> None:
    pairs = [(key, interrogation) for key in ("a", "b") for interrogation in ("x", "y")]
    jobs = [a_job(dedupe_key=key, interrogation_key=interrogation) for key, interrogation in pairs]
    ended = queue.enqueue_many(jobs, actor=ACTOR)
    queue.cancel([ref(one) for one in ended], actor=ACTOR)
    live = queue.enqueue_many(jobs, actor=ACTOR)
    again = queue.enqueue_many(jobs[::-1], actor=ACTOR)
    assert [(answer.job_id, answer.is_duplicate) for answer in again] == [(one.job_id, True) for one in live[::-1]]


def test_a_repeated_batch_is_stored_once(queue: JobQueue) -> None:
    jobs = [a_job(job_id=uuid4(), dedupe_key=str(n)) for n in range(5)]
    queue.enqueue_many(jobs, actor=ACTOR)
    again = queue.enqueue_many(jobs, actor=ACTOR)
    assert [answer.is_duplicate for answer in again] == [False] * 5
    assert [answer.job_id for answer in again] == [job.job_id for job in jobs]
    assert Job.objects.count() == 5


def test_requeueing_a_job_whose_key_another_holds_changes_nothing(queue: JobQueue) -> None:
    ended = in_state(queue, JobStatus.FAILED, dedupe_key="luke")
    queued(queue, dedupe_key="luke")
    (change,) = queue.requeue([ref(ended)], actor=ACTOR)
    assert not change.changed
    assert change.why
    assert "key" in change.why
    assert status_of(ended) == JobStatus.FAILED


def test_a_requeue_that_is_refused_names_the_job_that_holds_the_key(queue: JobQueue) -> None:
    ended = in_state(queue, JobStatus.FAILED, dedupe_key="luke")
    queued(queue, dedupe_key="luke", interrogation_key="another")
    queued(queue, dedupe_key="leia")
    holder = queued(queue, dedupe_key="luke")
    (change,) = queue.requeue([ref(ended)], actor=ACTOR)
    assert change.why == f"job {holder.job_id} holds its dedupe key"


def test_of_two_ended_jobs_with_one_key_only_the_first_is_requeued(queue: JobQueue) -> None:
    first = in_state(queue, JobStatus.FAILED, dedupe_key="luke")
    second = in_state(queue, JobStatus.CANCELLED, dedupe_key="luke")
    changes = queue.requeue([ref(first), ref(second)], actor=ACTOR)
    assert sorted(change.changed for change in changes) == [False, True]
