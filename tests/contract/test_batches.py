"""Batches: jobs queued together, with an end that is counted once and what follows it queued once."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from derive.batch_contracts import BatchInput, FollowUp
from derive.contracts import JobInput, RunFacts
from derive.errors import BadArgument
from derive.models import Batch, BatchCount, BatchEvent, BatchProgress, Job
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import BatchEventName, JobStatus
from tests.contract.scenes import (
    ACTOR,
    WORKER,
    a_job,
    at_once,
    claim_one,
    failure,
    job_of,
    pass_time,
    queued,
    ref,
    said,
    status_of,
    success,
)
from tests.contract.sessions import a_session

FINISHED, PAUSED, CONTINUED = BatchEventName.FINISHED, BatchEventName.PAUSED, BatchEventName.CONTINUED
TOMORROW = datetime(2999, 1, 1, tzinfo=UTC)


def opened(queue: JobQueue, name: str = "letters", **values: Any) -> UUID:
    return queue.open_batch(BatchInput(name=name, **values), actor=ACTOR).batch_id


def filled(queue: JobQueue, jobs: int = 1, name: str = "letters", **values: Any) -> UUID:
    """A batch of so many ready jobs, all of them queued."""
    batch_id = opened(queue, name, **values)
    if jobs:
        queue.enqueue_many([a_job() for _ in range(jobs)], actor=ACTOR, batch_id=batch_id)
    queue.fill_batch(batch_id, actor=ACTOR)
    return batch_id


def swept(queue: JobQueue) -> list[tuple[UUID, BatchEventName | None]]:
    return [(one.batch_id, one.event) for one in queue.sweep_batches()]


def batch_of(batch_id: UUID) -> Any:
    return Batch.objects.get(batch_id=batch_id)


def events_of(batch_id: UUID) -> list[str]:
    return list(BatchEvent.objects.filter(batch_id=batch_id).order_by("event_seq").values_list("event", flat=True))


def counts_of(batch_id: UUID) -> dict[str, int]:
    """A batch's jobs by state, as last counted."""
    counts: Counter[str] = Counter()
    for row in BatchCount.objects.filter(batch_id=batch_id):
        counts[row.status] += row.jobs
    return {status: jobs for status, jobs in counts.items() if jobs}


def worked_off(queue: JobQueue, **values: Any) -> None:
    """Claim every ready job, and let it succeed."""
    for claim in queue.claim(WORKER, max_jobs=100):
        queue.complete(success(claim, **values))


# Opening and filling


def test_a_name_finds_the_batch_that_has_not_ended(queue: JobQueue) -> None:
    first = queue.open_batch(BatchInput(name="letters"), actor=ACTOR)
    again = queue.open_batch(BatchInput(name="letters", budget_tokens=5), actor="bob")
    assert (first.is_new, again.is_new) == (True, False)
    assert first.batch_id == again.batch_id
    assert (batch_of(first.batch_id).created_by, batch_of(first.batch_id).budget_tokens) == (ACTOR, None)
    queue.fill_batch(first.batch_id, actor=ACTOR)
    assert swept(queue) == [(first.batch_id, FINISHED)]
    assert queue.open_batch(BatchInput(name="letters")).batch_id != first.batch_id


def test_of_those_who_open_one_name_at_once_one_makes_the_batch(queue: JobQueue) -> None:
    answers = at_once(*[lambda: JobQueue().open_batch(BatchInput(name="letters"), actor=ACTOR)] * 4)
    assert len({answer.batch_id for answer in answers}) == 1
    assert sum(answer.is_new for answer in answers) == 1
    assert events_of(answers[0].batch_id) == ["batch_created"]


def test_opening_may_be_said_again(queue: JobQueue) -> None:
    own_id = uuid4()
    answers = [queue.open_batch(BatchInput(name="letters"), batch_id=own_id) for _ in range(2)]
    assert [(answer.batch_id, answer.is_new) for answer in answers] == [(own_id, True)] * 2
    assert Batch.objects.count() == 1


@pytest.mark.parametrize(
    "values",
    [
        {"name": " "},
        {"name": None},
        {"name": "x" * 201},
        {"name": "a", "budget_tokens": 0},
        {"name": "a", "budget_model_seconds": -1},
        {"name": "a", "on_finish_json": "{}"},
        {"name": "a", "on_finish_json": '{"jobs": []}'},
        {"name": "a", "on_finish_json": '{"jobs": {"n": 1}}'},
        {"name": "a", "on_finish_json": "[]"},
        {"name": "a", "on_finish_json": "nothing"},
        {"name": "a", "derivation_key": "x" * 201},
    ],
)
def test_a_batch_that_cannot_be_is_refused(queue: JobQueue, values: dict[str, Any]) -> None:
    with pytest.raises(BadArgument, match="HC048"):
        said(procedures.OPEN_BATCH, **values)
    assert not Batch.objects.exists()


def test_a_batch_counts_what_it_queued_and_what_was_a_duplicate(queue: JobQueue) -> None:
    holder = queued(queue, dedupe_key="a")
    batch_id = opened(queue)
    jobs = [a_job(dedupe_key="a", job_id=uuid4()), a_job(dedupe_key="b", job_id=uuid4()), a_job(job_id=uuid4())]
    for _said_again in range(2):
        answers = queue.enqueue_many(jobs, actor=ACTOR, batch_id=batch_id)
        assert [answer.is_duplicate for answer in answers] == [True, False, False]
    assert (batch_of(batch_id).queued_jobs, batch_of(batch_id).duplicate_jobs) == (2, 1)
    assert Job.objects.filter(batch_id=batch_id).count() == 2
    assert job_of(holder).batch_id is None, "a duplicate does not move the job that holds its key"


def test_one_job_can_be_queued_into_a_batch(queue: JobQueue) -> None:
    batch_id = opened(queue)
    job = queue.enqueue(a_job(dedupe_key="a"), actor=ACTOR, batch_id=batch_id)
    duplicate = queue.enqueue(a_job(dedupe_key="a"), actor=ACTOR, batch_id=batch_id)
    assert (job_of(job).batch_id, duplicate.is_duplicate) == (batch_id, True)
    assert (batch_of(batch_id).queued_jobs, batch_of(batch_id).duplicate_jobs) == (1, 1)


def test_jobs_that_are_published_as_a_whole_fill_their_batch(queue: JobQueue) -> None:
    batch_id = opened(queue)
    parts = [[a_job(job_id=uuid4()), a_job(job_id=uuid4())], [a_job(job_id=uuid4())]]
    queue.enqueue_whole(lambda: parts, actor=ACTOR, batch_id=batch_id)
    assert batch_of(batch_id).queued_jobs == 3
    assert events_of(batch_id) == ["batch_created", "batch_filled"]
    worked_off(queue)
    assert swept(queue) == [(batch_id, FINISHED)]


def test_an_unknown_batch_takes_no_job(queue: JobQueue) -> None:
    for call in (
        lambda: queue.enqueue(a_job(), batch_id=uuid4()),
        lambda: queue.enqueue_many([a_job()], batch_id=uuid4()),
    ):
        with pytest.raises(BadArgument, match="HC048"):
            call()
    assert not Job.objects.exists()


def test_a_batch_that_has_ended_or_is_cancelled_takes_no_job_but_answers_those_it_has(queue: JobQueue) -> None:
    batch_id, job = opened(queue), a_job(job_id=uuid4())
    queue.enqueue(job, batch_id=batch_id)
    queue.fill_batch(batch_id, actor=ACTOR)
    worked_off(queue)
    swept(queue)
    cancelled = opened(queue, "other")
    queue.close_batch(cancelled, actor=ACTOR)
    for closed in (batch_id, cancelled):
        for call in (
            lambda closed=closed: queue.enqueue(a_job(), batch_id=closed),
            lambda closed=closed: queue.enqueue_many([a_job()], batch_id=closed),
        ):
            with pytest.raises(BadArgument, match="HC049"):
                call()
    assert queue.enqueue(job, batch_id=batch_id).status == JobStatus.SUCCEEDED
    assert Job.objects.count() == 1
    assert batch_of(batch_id).queued_jobs == 1


# The end


def test_a_batch_ends_when_it_is_filled_and_none_of_its_jobs_is_unfinished(queue: JobQueue) -> None:
    batch_id = opened(queue)
    queue.enqueue_many([a_job(), a_job(), a_job(available_utc=TOMORROW)], batch_id=batch_id)
    assert swept(queue) == []
    claims = queue.claim(WORKER, max_jobs=2)
    queue.complete(success(claims[0]))
    queue.fill_batch(batch_id, actor=ACTOR)
    assert swept(queue) == []
    queue.complete(failure(claims[1], retry_after_seconds=0))
    assert swept(queue) == []
    queue.complete(failure(claim_one(queue)))
    assert swept(queue) == []
    queue.cancel([ref_of(Job.objects.get(status=JobStatus.SCHEDULED))], actor=ACTOR)
    assert swept(queue) == [(batch_id, FINISHED)]
    assert swept(queue) == []
    assert counts_of(batch_id) == {"SUCCEEDED": 1, "FAILED": 1, "CANCELLED": 1}
    (event,) = BatchEvent.objects.filter(batch_id=batch_id, event=FINISHED)
    assert json.loads(str(event.detail_json)) == {"SUCCEEDED": 1, "FAILED": 1, "CANCELLED": 1}
    assert batch_of(batch_id).finished_utc == event.at_utc


def ref_of(job: Any) -> Any:
    from derive.contracts import JobRef

    return JobRef(job_id=job.job_id)


@pytest.mark.parametrize("amount", [0, 3])
def test_a_batch_of_duplicates_alone_or_of_nothing_ends_too(queue: JobQueue, amount: int) -> None:
    queued(queue, dedupe_key="a")
    batch_id = opened(queue)
    queue.enqueue_many([a_job(dedupe_key="a")] * amount, batch_id=batch_id)
    assert swept(queue) == []
    queue.fill_batch(batch_id, actor=ACTOR)
    assert swept(queue) == [(batch_id, FINISHED)]


def test_of_sweeps_at_once_one_counts_the_end(queue: JobQueue) -> None:
    batches = {filled(queue, 1, f"batch {n}", on_finish=FollowUp(jobs=(a_job(),))) for n in range(5)}
    worked_off(queue)
    answers = [one for answer in at_once(*[lambda: swept(JobQueue())] * 6) for one in answer]
    answers += swept(queue)
    assert Counter(answers) == Counter([(one, event) for one in batches for event in (FINISHED, CONTINUED)])
    for batch_id in batches:
        assert events_of(batch_id).count("batch_finished") == 1
    assert Job.objects.filter(batch_id=None).count() == 5, "each continuation was queued once"


def test_no_batch_ends_while_a_job_is_on_its_way_in(queue: JobQueue) -> None:
    batch_id = filled(queue, 0)
    with a_session() as session:
        session.call(procedures.ENQUEUE_JOB, interrogation_key="k", input_json="{}", batch_id=batch_id)
        assert swept(queue) == []
        session.commit()
    assert swept(queue) == []
    worked_off(queue)
    assert swept(queue) == [(batch_id, FINISHED)]


def test_no_batch_ends_while_a_job_of_it_is_being_requeued(queue: JobQueue) -> None:
    batch_id = filled(queue)
    claim = claim_one(queue)
    queue.complete(failure(claim))
    with a_session() as session:
        session.call(procedures.REQUEUE_JOBS, jobs_json=json.dumps([{"job_id": str(claim.job_id)}]), actor=ACTOR)
        assert swept(queue) == []
        session.commit()
    assert swept(queue) == []
    worked_off(queue)
    assert swept(queue) == [(batch_id, FINISHED)]


def test_a_job_requeued_after_the_end_changes_the_counts_and_not_the_end(queue: JobQueue) -> None:
    batch_id = filled(queue, on_finish=FollowUp(jobs=(a_job(interrogation_key="after"),)))
    claim = claim_one(queue)
    queue.complete(failure(claim))
    assert swept(queue) == [(batch_id, FINISHED), (batch_id, CONTINUED)]
    end = batch_of(batch_id).finished_utc
    queue.requeue([ref(claim)], actor=ACTOR)
    assert swept(queue) == []
    worked_off(queue)
    assert swept(queue) == []
    assert counts_of(batch_id) == {"SUCCEEDED": 1}
    assert batch_of(batch_id).finished_utc == end
    assert not batch_of(batch_id).is_watched
    assert events_of(batch_id).count("batch_finished") == 1
    assert Job.objects.filter(interrogation_key="after").count() == 1


@pytest.mark.parametrize("is_ended", [False, True])
def test_a_purged_job_stays_in_the_counts_of_its_batch(queue: JobQueue, is_ended: bool) -> None:
    batch_id = filled(queue, 3)
    claims = queue.claim(WORKER, max_jobs=3)
    queue.complete(success(claims[0]))
    queue.complete(failure(claims[1]))
    if is_ended:
        queue.complete(success(claims[2]))
    swept(queue)
    expected = {"SUCCEEDED": 2 if is_ended else 1, "FAILED": 1} | ({} if is_ended else {"RUNNING": 1})
    purged = queue.purge(finished_before_utc=TOMORROW, statuses=[JobStatus.SUCCEEDED, JobStatus.FAILED], actor=ACTOR)
    assert len({one.job_id for one in purged}) == (3 if is_ended else 2)
    assert counts_of(batch_id) == expected
    if not is_ended:
        queue.complete(success(claims[2]))
        assert swept(queue) == [(batch_id, FINISHED)]
        assert counts_of(batch_id) == {"SUCCEEDED": 2, "FAILED": 1}


def test_a_dry_run_of_a_purge_takes_nothing_from_the_counts(queue: JobQueue) -> None:
    batch_id = filled(queue)
    worked_off(queue)
    swept(queue)
    queue.purge(finished_before_utc=TOMORROW, statuses=[JobStatus.SUCCEEDED], actor=ACTOR, dry_run=True)
    assert list(BatchCount.objects.filter(batch_id=batch_id).values_list("is_purged", "jobs")) == [(False, 1)]


def test_while_no_batch_is_open_a_sweep_looks_at_none(queue: JobQueue) -> None:
    queued(queue)
    filled(queue, 0)
    swept(queue)
    assert not Batch.objects.filter(is_watched=True).exists()
    assert swept(queue) == []


def test_a_sweep_has_a_bound_and_a_name(queue: JobQueue) -> None:
    for arguments in ({"max_batches": 0}, {"max_batches": 501}, {"actor": "x" * 201}):
        with pytest.raises(BadArgument, match=r"HC0(03|14)"):
            said(procedures.SWEEP_BATCHES, **arguments)
    batches = [filled(queue, 0, f"batch {n}") for n in range(3)]
    ended = [
        batch_id for _ in batches for batch_id, _event in said(procedures.SWEEP_BATCHES, max_batches=1, actor="me")
    ]
    assert sorted(map(str, ended)) == sorted(map(str, batches))
    assert BatchEvent.objects.filter(event=FINISHED, actor="me").count() == 3


# What follows


def test_a_job_follows_a_batch(queue: JobQueue) -> None:
    following = a_job(interrogation_key="after", priority=7, entity_id="luke", dedupe_key="once")
    batch_id = filled(queue, on_finish=FollowUp(jobs=(following,)))
    worked_off(queue)
    assert swept(queue) == [(batch_id, FINISHED), (batch_id, CONTINUED)]
    job = Job.objects.get(interrogation_key="after")
    assert (job.priority, job.entity_id, job.dedupe_key, job.created_by, job.batch_id) == (
        7,
        "luke",
        "once",
        ACTOR,
        None,
    )
    assert not batch_of(batch_id).is_watched
    (event,) = BatchEvent.objects.filter(event=CONTINUED)
    assert json.loads(str(event.detail_json)) == {"batch_id": None, "jobs": 1}


def test_batches_follow_batches(queue: JobQueue) -> None:
    last = FollowUp(jobs=(a_job(interrogation_key="third"),))
    second = FollowUp(name="second", jobs=(a_job(), a_job()), budget_tokens=1_000, on_finish=last)
    first_id = filled(queue, name="first", on_finish=second)
    worked_off(queue)
    assert swept(queue) == [(first_id, FINISHED), (first_id, CONTINUED)]
    second_batch = Batch.objects.get(name="second")
    assert (second_batch.previous_batch_id, second_batch.queued_jobs, second_batch.budget_tokens) == (
        first_id,
        2,
        1_000,
    )
    assert second_batch.created_by == ACTOR
    worked_off(queue)
    second_id = second_batch.batch_id
    assert swept(queue) == [(second_id, FINISHED), (second_id, CONTINUED)]
    assert Job.objects.filter(interrogation_key="third").count() == 1
    assert swept(queue) == []


def test_what_can_never_be_queued_is_told_and_ends_nothing_else(queue: JobQueue) -> None:
    bad = '{"jobs": [{"n": 1, "interrogation_key": "after", "input_json": "no object"}]}'
    ((batch_id, _new),) = said(procedures.OPEN_BATCH, name="letters", on_finish_json=bad)
    other_id = filled(queue, 0, "other")
    queue.fill_batch(UUID(str(batch_id)), actor=ACTOR)
    assert {event for _id, event in swept(queue)} == {FINISHED, CONTINUED}
    (event,) = BatchEvent.objects.filter(event=CONTINUED)
    assert "HC005" in str(event.detail_json) or "input_json" in str(event.detail_json)
    assert events_of(other_id)[-1] == "batch_finished"
    assert swept(queue) == []
    assert not Job.objects.exists()


# Pause, resume, cancel, budget


def test_no_job_of_a_paused_batch_is_claimed_until_it_resumes(queue: JobQueue) -> None:
    batch_id = filled(queue, 3)
    other = queued(queue)
    assert queue.pause_batch(batch_id, actor=ACTOR, reason="too many").changed
    assert [claim.job_id for claim in queue.claim(WORKER, max_jobs=10)] == [other.job_id]
    batch = batch_of(batch_id)
    assert (batch.paused_by, batch.pause_reason, batch.marked_job_seq) == (ACTOR, "too many", None)
    assert queue.resume_batch(batch_id, actor=ACTOR).changed
    assert len(queue.claim(WORKER, max_jobs=10)) == 3
    assert events_of(batch_id)[2:] == ["batch_paused", "batch_resumed"]


def test_a_claim_by_model_passes_over_paused_jobs(queue: JobQueue) -> None:
    batch_id = opened(queue)
    queue.enqueue_many([a_job(model_hint="m", priority=900), a_job()], batch_id=batch_id)
    queue.pause_batch(batch_id, actor=ACTOR)
    assert queue.claim(WORKER, max_jobs=10, model="m") == []
    queue.resume_batch(batch_id, actor=ACTOR)
    assert len(queue.claim(WORKER, max_jobs=10, model="m")) == 2


def test_jobs_that_come_into_a_paused_batch_are_paused(queue: JobQueue) -> None:
    batch_id = filled(queue)
    claim = claim_one(queue)
    queue.complete(failure(claim))
    queue.pause_batch(batch_id, actor=ACTOR)
    queue.enqueue(a_job(), batch_id=batch_id)
    queue.enqueue_many([a_job()], batch_id=batch_id)
    queue.requeue([ref(claim)], actor=ACTOR)
    assert Job.objects.filter(batch_id=batch_id, status=JobStatus.NEW).count() == 3
    assert queue.claim(WORKER, max_jobs=10) == []
    queue.resume_batch(batch_id, actor=ACTOR)
    assert len(queue.claim(WORKER, max_jobs=10)) == 3


def test_a_running_job_goes_on_and_its_retry_waits_for_the_batch(queue: JobQueue) -> None:
    batch_id = filled(queue, 2)
    done, tried = queue.claim(WORKER, max_jobs=2)
    queue.pause_batch(batch_id, actor=ACTOR)
    assert queue.complete(success(done)).final_status == JobStatus.SUCCEEDED
    assert queue.complete(failure(tried, retry_after_seconds=0)).final_status == JobStatus.NEW
    assert queue.claim(WORKER) == []
    queue.resume_batch(batch_id, actor=ACTOR)
    assert claim_one(queue).job_id == tried.job_id


def test_a_delayed_job_that_is_due_waits_for_its_batch(queue: JobQueue) -> None:
    batch_id = opened(queue)
    job = queue.enqueue(a_job(), batch_id=batch_id)
    queue.reschedule([ref(job)], actor=ACTOR, available_utc=TOMORROW)
    queue.pause_batch(batch_id, actor=ACTOR)
    queue.reschedule([ref(job)], actor=ACTOR, available_utc=datetime(2020, 1, 1, tzinfo=UTC))
    assert queue.claim(WORKER) == []
    assert status_of(job) == JobStatus.NEW


def test_a_job_that_was_requeued_after_the_resume_is_not_paused(queue: JobQueue) -> None:
    batch_id = filled(queue)
    claim = claim_one(queue)
    queue.pause_batch(batch_id, actor=ACTOR)
    queue.complete(failure(claim))
    queue.resume_batch(batch_id, actor=ACTOR)
    queue.requeue([ref(claim)], actor=ACTOR)
    assert claim_one(queue).job_id == claim.job_id


def test_a_pause_that_was_cut_short_is_brought_to_its_end_by_sweeps(queue: JobQueue) -> None:
    batch_id = filled(queue, 3)
    said(procedures.SET_BATCH, batch_id=batch_id, actor=ACTOR, paused=True)
    assert swept(queue) == [(batch_id, None)]
    steps = [said(procedures.MARK_BATCH_JOBS, batch_id=batch_id, max_rows=2)[0] for _ in range(3)]
    assert [(int(marked), bool(done)) for marked, done in steps] == [(2, False), (1, True), (0, True)]
    assert swept(queue) == []
    assert queue.claim(WORKER) == []


def test_a_resume_in_the_middle_of_a_pause_wins(queue: JobQueue) -> None:
    batch_id = filled(queue, 3)
    said(procedures.SET_BATCH, batch_id=batch_id, actor=ACTOR, paused=True)
    said(procedures.MARK_BATCH_JOBS, batch_id=batch_id, max_rows=2)
    queue.resume_batch(batch_id, actor=ACTOR)
    assert len(queue.claim(WORKER, max_jobs=10)) == 3


def test_no_aged_job_of_a_paused_batch_rises(queue: JobQueue) -> None:
    from derive.contracts import Ageing

    batch_id = filled(queue)
    queue.pause_batch(batch_id, actor=ACTOR)
    pass_time(7_200)
    ageing = Ageing(waiting_seconds=3_600, raise_by=10, max_priority=200)
    assert queue.escalate(ageing, actor=ACTOR).raised == 0
    queue.resume_batch(batch_id, actor=ACTOR)
    assert queue.escalate(ageing, actor=ACTOR).raised == 1


def test_what_is_so_already_is_answered_with_why(queue: JobQueue) -> None:
    batch_id = filled(queue)
    assert (queue.resume_batch(batch_id, actor=ACTOR).why, queue.fill_batch(batch_id, actor=ACTOR).why) == (
        "not paused",
        "already filled",
    )
    queue.pause_batch(batch_id, actor=ACTOR)
    assert queue.pause_batch(batch_id, actor=ACTOR).why == "already paused"
    queue.close_batch(batch_id, actor=ACTOR)
    assert queue.close_batch(batch_id, actor=ACTOR).why == "already cancelled"
    assert queue.set_batch_budget(batch_id, actor=ACTOR, budget_tokens=0).why == "the budget is so already"
    assert queue.pause_batch(uuid4(), actor=ACTOR).why == "no such batch"
    queue.cancel([ref_of(Job.objects.get())], actor=ACTOR)
    swept(queue)
    assert queue.resume_batch(batch_id, actor=ACTOR).why == "the batch has ended"


def test_a_batch_pauses_itself_when_its_budget_is_spent(queue: JobQueue) -> None:
    batch_id = filled(queue, 3, budget_tokens=100)
    facts = RunFacts(model_name="m", prompt_tokens=60, output_tokens=20, metrics_json='{"total_duration": 2000000000}')
    queue.complete(success(claim_one(queue), run=facts))
    queue.roll_up_hours()
    assert swept(queue) == []
    queue.complete(success(claim_one(queue), run=facts))
    queue.roll_up_hours()
    assert swept(queue) == [(batch_id, PAUSED), (batch_id, None)]
    queue.mark_batch_jobs(batch_id)
    batch = batch_of(batch_id)
    assert (batch.spent_tokens, batch.spent_model_ms, batch.pause_reason) == (
        160,
        4_000,
        "the budget of 100 tokens is spent",
    )
    assert queue.claim(WORKER) == []
    assert "raise or remove" in str(queue.resume_batch(batch_id, actor=ACTOR).why)
    assert queue.set_batch_budget(batch_id, actor=ACTOR, budget_tokens=500).changed
    assert queue.resume_batch(batch_id, actor=ACTOR).changed
    assert swept(queue) == []
    assert len(queue.claim(WORKER, max_jobs=10)) == 1


def test_a_budget_of_model_seconds_counts_the_models_own_time(queue: JobQueue) -> None:
    batch_id = filled(queue, 2, budget_model_seconds=2)
    facts = RunFacts(model_name="m", output_tokens=20, metrics_json='{"total_duration": 2000000000}')
    queue.complete(failure(claim_one(queue), run=facts))
    queue.roll_up_hours()
    assert (batch_id, PAUSED) in swept(queue)
    assert batch_of(batch_id).pause_reason == "the budget of 2 model seconds is spent"


def test_what_is_spent_is_added_up_once_and_also_after_the_end(queue: JobQueue) -> None:
    batch_id = filled(queue, 2)
    facts = RunFacts(model_name="m", prompt_tokens=60, output_tokens=20)
    for claim in queue.claim(WORKER, max_jobs=2):
        queue.complete(success(claim, run=facts))
    assert swept(queue) == [(batch_id, FINISHED)]
    assert batch_of(batch_id).spent_tokens == 0
    queue.roll_up_hours()
    queue.roll_up_hours()
    assert [swept(queue), swept(queue)] == [[], []]
    assert batch_of(batch_id).spent_tokens == 160


def test_counts_and_pace_are_kept(queue: JobQueue) -> None:
    batch_id = filled(queue, 2)
    swept(queue)
    assert counts_of(batch_id) == {"NEW": 2}
    assert list(BatchProgress.objects.values_list("ended_jobs", flat=True)) == [0]
    for claim in queue.claim(WORKER, max_jobs=2):
        queue.complete(failure(claim))
    swept(queue)
    assert list(BatchProgress.objects.values_list("ended_jobs", flat=True)) == [0, 2]
    (row,) = BatchCount.objects.filter(batch_id=batch_id)
    assert (row.status, row.error_kind, row.jobs) == ("FAILED", "model_crashed", 2)


@pytest.mark.parametrize(
    ("procedure", "arguments"),
    [
        (procedures.SET_BATCH, {"batch_id": None, "actor": ACTOR}),
        (procedures.SET_BATCH, {"batch_id": uuid4(), "actor": ACTOR, "budget_tokens": -1}),
        (procedures.SET_BATCH, {"batch_id": uuid4(), "actor": " "}),
        (procedures.MARK_BATCH_JOBS, {"batch_id": uuid4(), "max_rows": 501}),
    ],
)
def test_bad_arguments_are_refused(queue: JobQueue, procedure: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(BadArgument, match=r"HC0(48|14|03)"):
        said(procedure, **arguments)


def test_a_job_input_has_no_batch_of_its_own() -> None:
    """A batch is named by the call, so that one call is of one batch."""
    assert "batch_id" not in JobInput.model_fields
