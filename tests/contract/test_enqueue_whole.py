"""Batches that are queued as a whole: all of them, once, or nothing of them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction

from derive.contracts import Enqueued, JobInput
from derive.errors import BadArgument, CommitUnanswered, DatabaseUnavailable, InsideTransaction
from derive.models import Job, JobEvent
from derive.queue import JobQueue
from derive.sql import calls, payloads, procedures
from tests.contract.scenes import (
    ACTOR,
    THREAD_SECONDS,
    a_job,
    at_once,
    claim_one,
    claimed,
    queued,
    said,
    success,
)

BATCHES, JOBS = 3, 4


class Batches:
    """Batches of jobs with keys; counts how often they were asked for, and does something before one of them is told.

    What comes before batch 2, say, comes after the first two were sent.
    """

    def __init__(self, before: Callable[[int], object] = lambda _number: None) -> None:
        self.asked = 0
        self.jobs = [a_job(job_id=uuid4(), dedupe_key=f"k{n}", entity_id=str(n)) for n in range(BATCHES * JOBS)]
        self._before = before

    def __call__(self) -> Iterator[Sequence[JobInput]]:
        self.asked += 1
        for number in range(BATCHES):
            self._before(number)
            yield self.jobs[number * JOBS : (number + 1) * JOBS]


def whole(queue: JobQueue, batches: Callable[[], Iterable[Sequence[JobInput]]]) -> list[Enqueued]:
    return queue.enqueue_whole(batches, actor=ACTOR, reason="asked for")


def refused_at_the_last() -> Batches:
    batches = Batches()
    batches.jobs[-1] = batches.jobs[-1].model_copy(update={"input_json": "no object"})
    return batches


def nothing_is_left() -> None:
    """No job, no event, no key: what is queued under one of the keys is no duplicate."""
    assert not Job.objects.exists()
    assert not JobEvent.objects.exists()
    assert not any(answer.is_duplicate for answer in JobQueue().enqueue_many(Batches().jobs, actor=ACTOR))


def all_is_queued_once(batches: Batches, answers: list[Enqueued]) -> None:
    assert [answer.job_id for answer in answers] == [job.job_id for job in batches.jobs]
    assert not any(answer.is_duplicate for answer in answers)
    stored = list(Job.objects.order_by("job_seq").values_list("job_id", "entity_id"))
    assert stored == [(job.job_id, job.entity_id) for job in batches.jobs]
    assert list(JobEvent.objects.values_list("event", "reason")) == [("enqueued", "asked for")] * len(stored)


def once(number: int, act: Callable[[], object]) -> Callable[[int], object]:
    """Act before this batch is told for the first time."""
    left = [1]

    def before(told: int) -> None:
        if told == number and left:
            left.clear()
            act()

    return before


def lose_the_connection() -> None:
    connection.connection.close()


def test_all_batches_are_queued_in_their_order_with_the_reason(queue: JobQueue) -> None:
    batches = Batches()
    all_is_queued_once(batches, whole(queue, batches))


def test_no_job_is_visible_before_the_last_batch_is_queued(queue: JobQueue) -> None:
    seen: list[Any] = []

    def look() -> tuple[list[Any], int]:
        return queue.claim("eager"), Job.objects.count()

    batches = Batches(once(BATCHES - 1, lambda: seen.extend(at_once(look))))
    whole(queue, batches)
    assert seen == [([], 0)]
    assert len(queue.claim("eager", max_jobs=BATCHES * JOBS)) == BATCHES * JOBS


def test_a_batch_that_is_refused_undoes_those_before_it(queue: JobQueue) -> None:
    batches = refused_at_the_last()
    with pytest.raises(BadArgument):
        whole(queue, batches)
    assert batches.asked == 1
    nothing_is_left()


def test_an_error_in_a_later_batch_rolls_back_earlier_ones(queue: JobQueue) -> None:
    def torn() -> None:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        whole(queue, Batches(once(BATCHES - 1, torn)))
    nothing_is_left()


def test_the_answers_are_reported_before_the_commit_which_can_then_still_be_undone(queue: JobQueue) -> None:
    told: list[int] = []

    def refuse(answers: list[Enqueued]) -> None:
        told.append(len(answers))
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        queue.enqueue_whole(Batches(), actor=ACTOR, before_commit=refuse)
    assert told == [BATCHES * JOBS]
    nothing_is_left()


@pytest.mark.parametrize("number", range(BATCHES))
def test_after_a_lost_connection_all_is_queued_once(queue: JobQueue, number: int) -> None:
    batches = Batches(once(number, lose_the_connection))
    all_is_queued_once(batches, whole(queue, batches))
    assert batches.asked == 1, "what is staged already is not sent again"


CALLS = 1 + BATCHES + 1 + 1
"""Beginning, a call for each batch, publishing, clearing."""


def fail_at(sent: list[str], *numbers: int, error: Exception) -> Callable[..., Any]:
    """Send as ever, but raise an error instead of sending these calls; counts from 1."""
    send = calls._send

    def failing(*arguments: Any) -> Any:
        sent.append(arguments[1].name)
        if len(sent) in numbers:
            raise error
        return send(*arguments)

    return failing


@pytest.mark.parametrize("number", range(1, CALLS))
def test_a_call_that_stays_unanswered_leaves_nothing(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    sent: list[str] = []
    lost = OperationalError("server closed the connection unexpectedly")
    with monkeypatch.context() as patch:
        patch.setattr(calls, "_send", fail_at(sent, number, number + 1, error=lost))
        with pytest.raises(DatabaseUnavailable) as raised:
            whole(queue, Batches())
    assert not isinstance(raised.value, CommitUnanswered)
    assert nothing_is_staged()
    nothing_is_left()


@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_only_the_deadlock_victim_is_retried(queue: JobQueue, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    sent: list[str] = []
    victim = OperationalError("the transaction was chosen as the deadlock victim")
    monkeypatch.setattr(calls, "_send", fail_at(sent, number, error=victim))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    batches = Batches()
    all_is_queued_once(batches, whole(queue, batches))
    assert (batches.asked, len(sent)) == (1, CALLS + 1), "one call more, and no other"


def staged(where: str = "") -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM llm.staged_jobs{where}")
        return int(cursor.fetchone()[0])


def nothing_is_staged() -> bool:
    return staged() == 0


def test_other_calls_do_not_wait_while_batches_arrive(queue: JobQueue) -> None:
    """Others queue under the very keys, complete and claim, while the whole is staged; then those hold the keys."""
    theirs: list[Any] = []

    def meanwhile() -> Any:
        one = queue.enqueue(a_job(dedupe_key="k0"), actor="others")
        queue.complete(success(claim_one(queue, "others")))
        return one.job_id

    batches = Batches(once(BATCHES - 1, lambda: theirs.extend(at_once(meanwhile))))
    answers = whole(queue, batches)
    assert [answer.job_id for answer in answers if answer.is_duplicate] == theirs
    assert Job.objects.count() == len(batches.jobs)


def test_nothing_stays_staged(queue: JobQueue) -> None:
    whole(queue, Batches())
    assert nothing_is_staged()
    with pytest.raises(BadArgument):
        whole(queue, refused_at_the_last())
    assert nothing_is_staged()


def test_what_was_staged_and_left_behind_goes_a_day_later(queue: JobQueue) -> None:
    stage = uuid4()
    for part in range(2):
        said(procedures.STAGE_JOBS, stage_id=stage, part_no=part, jobs_json="[]")
    whole(queue, Batches())
    assert staged() == 2
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.staged_jobs SET staged_utc = '2026-01-01' WHERE part_no = 0")
    whole(queue, Batches())
    assert staged() == 1


def test_concurrent_stages_are_independent(queue: JobQueue) -> None:
    mine, theirs = uuid4(), uuid4()
    for stage, names in ((mine, ("a", "b")), (theirs, ("c",))):
        for part, name in enumerate(names):
            jobs_json = payloads.jobs_json([a_job(job_id=uuid4(), entity_id=name)], first_n=part)
            said(procedures.STAGE_JOBS, stage_id=stage, part_no=part, jobs_json=jobs_json)
    said(procedures.PUBLISH_JOBS, stage_id=mine)
    assert set(Job.objects.values_list("entity_id", flat=True)) == {"a", "b"}
    assert said(procedures.STAGE_JOBS, stage_id=mine) == [(0,)]
    assert said(procedures.STAGE_JOBS, stage_id=theirs, part_no=1, jobs_json="[]") == [(2,)]


def test_a_part_that_is_staged_again_is_there_once(queue: JobQueue) -> None:
    stage = uuid4()
    for name in ("first", "last"):
        part = payloads.jobs_json([a_job(job_id=uuid4(), entity_id=name)])
        assert said(procedures.STAGE_JOBS, stage_id=stage, part_no=0, jobs_json=part) == [(1,)]
    said(procedures.PUBLISH_JOBS, stage_id=stage)
    assert [job.entity_id for job in Job.objects.all()] == ["last"]


@pytest.fixture
def commits_unanswered(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Carry out the next commits, and break the connection before they are answered."""

    def lose(count: int) -> None:
        commit, left = connection.commit, [count]

        def commit_and_break() -> None:
            commit()
            if left[0]:
                left[0] -= 1
                connection.connection.close()
                raise OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(connection, "commit", commit_and_break)

    return lose


def test_a_commit_that_is_not_answered_is_retried_and_stores_nothing_twice(
    queue: JobQueue, commits_unanswered: Callable[[int], None]
) -> None:
    commits_unanswered(1)
    batches = Batches()
    all_is_queued_once(batches, whole(queue, batches))


def test_a_lost_commit_is_reported_as_an_unknown_outcome(
    queue: JobQueue, commits_unanswered: Callable[[int], None]
) -> None:
    commits_unanswered(2)
    batches = Batches()
    with pytest.raises(CommitUnanswered, match="whether all was done or nothing is not known"):
        whole(queue, batches)
    all_is_queued_once(batches, whole(queue, batches))


def test_a_commit_that_was_not_answered_stays_unknown_when_the_next_try_breaks_before_its_own(
    queue: JobQueue, commits_unanswered: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    commits_unanswered(1)
    lost = OperationalError("server closed the connection unexpectedly")
    monkeypatch.setattr(calls, "_send", fail_at([], CALLS, error=lost))
    with pytest.raises(CommitUnanswered):
        whole(queue, Batches())


def test_the_whole_retried_later_answers_the_same(queue: JobQueue) -> None:
    holder = queued(queue, dedupe_key="k3")
    batches = Batches()
    first = whole(queue, batches)
    assert [answer.job_id for answer in first if answer.is_duplicate] == [holder.job_id]
    assert whole(queue, batches) == first
    assert Job.objects.count() == BATCHES * JOBS


def test_two_wholes_that_want_each_others_keys_are_both_done(queue: JobQueue) -> None:
    """Neither holds a key while its batches come, and both take them in one order: nobody is a deadlock's victim."""
    both_have_begun = threading.Barrier(2)

    def meet() -> None:
        both_have_begun.wait(THREAD_SECONDS)

    one, other = Batches(once(1, meet)), Batches(once(1, meet))
    other.jobs.reverse()
    answers = at_once(lambda: whole(queue, one), lambda: whole(queue, other))
    assert one.asked + other.asked == 2
    assert Job.objects.count() == len(one.jobs)
    assert sum(answer.is_duplicate for answered in answers for answer in answered) == len(one.jobs)
    # One has them all: nobody's were mixed.
    assert sorted(all(answer.is_duplicate for answer in answered) for answered in answers) == [False, True]


def test_a_whole_joins_no_longer_transaction(queue: JobQueue) -> None:
    batches = Batches()
    with transaction.atomic(), pytest.raises(InsideTransaction):
        whole(queue, batches)
    assert not batches.asked


def test_a_job_without_an_id_is_refused_since_it_could_be_queued_twice(queue: JobQueue) -> None:
    with pytest.raises(ValueError, match="job_id"):
        whole(queue, lambda: [[a_job(job_id=uuid4())], [a_job()]])
    nothing_is_left()


def test_no_batches_at_all_are_nothing_to_do(queue: JobQueue) -> None:
    assert whole(queue, list) == []


def test_the_connection_serves_the_next_call_after_a_whole_that_failed(queue: JobQueue) -> None:
    with pytest.raises(BadArgument):
        whole(queue, refused_at_the_last())
    assert claimed(queue).attempt == 1
