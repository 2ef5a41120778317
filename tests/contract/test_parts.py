"""Jobs in parts: a run queues all parts or none, operators' changes reach them, and each job is joined once."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from derive.batch_contracts import BatchInput
from derive.contracts import Claim, JobRef, Outcome, RunFacts
from derive.errors import BadArgument, ErrorKind
from derive.models import Batch, BatchCount, Job, JobEvent, LakeDeletion, Run
from derive.queue import JobQueue
from derive.split_contracts import PartInput, Split
from derive.sql import procedures
from derive.sql.parts import read_parts
from derive.states import BatchEventName, JobStatus, RunStatus
from tests.contract.scenes import (
    ACTOR,
    WORKER,
    a_job,
    an_artifact,
    at_once,
    claim_one,
    claimed,
    failure,
    job_of,
    moves_of,
    pass_time,
    queued,
    ref,
    run_of,
    said,
    status_of,
    success,
)

INPUT = '{"entity_id": "luke", "entity_type": "character"}'
LATER = datetime(2998, 1, 1, tzinfo=UTC)


def splitting(claim: Claim, parts: int = 3, **values: Any) -> Outcome:
    refs = tuple(PartInput(part_no=n, evidence_ref_json=f'{{"n": {n}}}') for n in range(1, parts + 1))
    split = Split(input_json=INPUT, parts=refs)
    return Outcome(job_id=claim.job_id, run_id=claim.run_id, status=RunStatus.SPLIT, split=split, **values)


def in_parts(queue: JobQueue, parts: int = 3, **values: Any) -> Claim:
    """A job that was split."""
    claim = claimed(queue, **values)
    assert queue.split(splitting(claim, parts), WORKER).accepted
    return claim


def parts_of(claim: Claim) -> list[Any]:
    return list(Job.objects.filter(parent_job_id=claim.job_id).order_by("part_no"))


def work_parts(queue: JobQueue, *, failing: tuple[int, ...] = ()) -> None:
    """Work every ready part; those numbers fail for good."""
    for claim in queue.claim(WORKER, max_jobs=100):
        assert claim.parent_job_id is not None
        queue.complete(failure(claim) if claim.part_no in failing else success(claim, facts=()))


def joined(queue: JobQueue) -> list[tuple[UUID, JobStatus]]:
    return [(one.job_id, one.final_status) for one in queue.join_due_jobs()]


# Splitting


def test_a_split_queues_every_part_with_what_its_parent_has(queue: JobQueue) -> None:
    batch = queue.open_batch(BatchInput(name="reports"), actor=ACTOR).batch_id
    values = {"priority": 7, "model_hint": "tiny", "entity_type": "character", "entity_id": "luke", "max_attempts": 5}
    queue.enqueue(a_job(dedupe_key="report-1", **values), actor=ACTOR, batch_id=batch)
    claim = claim_one(queue)
    answer = queue.split(splitting(claim, artifacts=(an_artifact(),)), WORKER)
    assert (answer.accepted, answer.final_status) == (True, JobStatus.SPLIT)
    parent = job_of(claim)
    assert (parent.status, parent.part_count, parent.attempt_count, parent.current_run_id) == ("SPLIT", 3, 0, None)
    for number, part in enumerate(parts_of(claim), start=1):
        assert (part.part_no, part.part_count, part.status, part.input_json) == (number, 3, "NEW", INPUT)
        assert json.loads(part.evidence_ref_json) == {"n": number}
        assert (part.priority, part.model_hint, part.max_attempts, part.batch_id) == (7, "tiny", 5, batch)
        assert (part.entity_id, part.dedupe_key, part.available_utc) == ("luke", None, parent.available_utc)
    run = run_of(claim)
    assert (run.status, run.counted, run.completed_utc is not None) == ("SPLIT", False, True)
    assert run.artifacts.count() == 1
    assert moves_of(claim)[-1] == ("split", "RUNNING", "SPLIT")


def test_parts_are_claimed_in_their_order_and_say_what_they_are(queue: JobQueue) -> None:
    claim = in_parts(queue)
    parts = queue.claim(WORKER, max_jobs=10)
    assert [(part.part_no, part.part_count, part.parent_job_id) for part in parts] == [
        (n, 3, claim.job_id) for n in (1, 2, 3)
    ]
    assert not any(part.joins_parts for part in parts)


def test_a_repeated_split_queues_nothing_twice(queue: JobQueue) -> None:
    claim = in_parts(queue)
    assert queue.split(splitting(claim), WORKER).accepted
    assert len(parts_of(claim)) == 3


def test_a_split_without_the_lease_changes_nothing(queue: JobQueue) -> None:
    claim = claimed(queue)
    assert not queue.split(splitting(claim), "another-worker").accepted
    queue.release(claim.run_id)
    answer = queue.split(splitting(claim), WORKER)
    assert (answer.accepted, answer.final_status) == (False, JobStatus.NEW)
    assert not parts_of(claim)
    missing = splitting(claim).model_copy(update={"run_id": uuid4()})
    assert queue.split(missing, WORKER).final_status is None


@pytest.mark.parametrize(
    "parts",
    [
        "[]",
        "{}",
        '[{"part_no": 2, "evidence_ref_json": "{}"}]',
        '[{"part_no": 1, "evidence_ref_json": "[]"}]',
        '[{"part_no": 1}]',
        '[{"part_no": 1, "evidence_ref_json": "{}"}, {"part_no": 1, "evidence_ref_json": "{}"}]',
        '[{"part_no": "one", "evidence_ref_json": "{}"}]',
    ],
)
def test_parts_that_are_not_numbered_from_one_with_evidence_are_refused(queue: JobQueue, parts: str) -> None:
    claim = claimed(queue)
    with pytest.raises(BadArgument, match="parts_json"):
        said(procedures.SPLIT_JOB, run_id=claim.run_id, worker_id=WORKER, input_json="{}", parts_json=parts)
    assert status_of(claim) == JobStatus.RUNNING


def test_a_split_job_holds_its_dedupe_key(queue: JobQueue) -> None:
    claim = in_parts(queue, dedupe_key="report-1")
    again = queued(queue, dedupe_key="report-1")
    assert (again.is_duplicate, again.job_id) == (True, claim.job_id)


# Joining


def test_a_job_is_ready_to_be_joined_once_when_its_last_part_ended(queue: JobQueue) -> None:
    claim = in_parts(queue, 2)
    first, last = queue.claim(WORKER, max_jobs=2)
    queue.complete(success(first, facts=()))
    assert joined(queue) == []
    queue.complete(failure(last))
    assert joined(queue) == [(claim.job_id, JobStatus.NEW)]
    assert joined(queue) == []
    joining = claim_one(queue)
    assert (joining.job_id, joining.joins_parts, joining.attempt, joining.attempt_count) == (claim.job_id, True, 2, 1)
    assert moves_of(claim)[-2:] == [("joined", "SPLIT", "NEW"), ("claimed", "NEW", "RUNNING")]
    rows = read_parts(claim.job_id)
    assert [(row.part_no, row.status) for row in rows] == [(1, JobStatus.SUCCEEDED), (2, JobStatus.FAILED)]
    assert (rows[0].run_id, rows[1].run_id, rows[1].error_kind) == (first.run_id, None, "model_crashed")


def test_sweeps_at_once_join_a_job_once(queue: JobQueue) -> None:
    claim = in_parts(queue)
    work_parts(queue)
    at_once(*[lambda: JobQueue().join_due_jobs()] * 4)
    assert [event for event, _, _ in moves_of(claim)].count("joined") == 1


def test_a_joining_run_completes_as_any_other(queue: JobQueue) -> None:
    claim = in_parts(queue)
    work_parts(queue)
    joined(queue)
    assert queue.complete(success(claim_one(queue))).final_status == JobStatus.SUCCEEDED
    statuses = Run.objects.filter(job_id=claim.job_id).order_by("attempt").values_list("status", flat=True)
    assert list(statuses) == ["SPLIT", "SUCCEEDED"]


def test_a_worker_that_dies_repeats_only_the_part_it_had(queue: JobQueue) -> None:
    claim = in_parts(queue)
    dying, *others = queue.claim(WORKER, max_jobs=10)
    for part in others:
        queue.complete(success(part, facts=()))
    pass_time(3600)
    queue.reap()
    assert joined(queue) == []
    (again,) = queue.claim(WORKER, max_jobs=10)
    assert (again.job_id, again.attempt) == (dying.job_id, 2)
    queue.complete(success(again, facts=()))
    assert joined(queue) == [(claim.job_id, JobStatus.NEW)]
    assert sorted(Run.objects.exclude(job_id=claim.job_id).values_list("attempt", flat=True)) == [1, 1, 1, 2]


# Operators


def test_cancelling_reaches_waiting_and_running_parts(queue: JobQueue) -> None:
    claim = in_parts(queue)
    running = claim_one(queue)
    (change,) = queue.cancel([ref(claim)], actor=ACTOR)
    assert (change.changed, change.to_status) == (True, JobStatus.SPLIT)
    assert joined(queue) == []
    first, *others = parts_of(claim)
    assert (first.status, first.cancel_requested_utc is not None) == ("RUNNING", True)
    assert [part.status for part in others] == ["CANCELLED"] * 2
    queue.complete(failure(running, retry_after_seconds=0))
    assert joined(queue) == [(claim.job_id, JobStatus.CANCELLED)]
    assert job_of(claim).error_kind == "cancelled"
    assert not queue.cancel([ref(claim)], actor=ACTOR)[0].changed


def test_a_cancellation_that_meets_the_split_reaches_its_parts(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    assert queue.split(splitting(claim), WORKER).accepted
    assert joined(queue) == [(claim.job_id, JobStatus.CANCELLED)]
    assert {part.status for part in parts_of(claim)} == {"CANCELLED"}


def test_priority_model_and_time_reach_waiting_parts(queue: JobQueue) -> None:
    claim = in_parts(queue)
    running = claim_one(queue)
    queue.reprioritize([ref(claim)], actor=ACTOR, priority=9)
    queue.set_model_hint([ref(claim)], actor=ACTOR, model_hint="tiny")
    (change,) = queue.reschedule([ref(claim)], actor=ACTOR, available_utc=LATER)
    assert (change.changed, change.to_status) == (True, JobStatus.SPLIT)
    joined(queue)
    first, *others = parts_of(claim)
    assert (first.status, first.priority, first.model_hint) == ("RUNNING", 9, "tiny")
    assert {(part.status, part.priority, part.available_utc) for part in others} == {("SCHEDULED", 9, LATER)}
    assert job_of(claim).marked_part_no is None
    queue.complete(success(running, facts=()))


def test_a_new_priority_keeps_the_backoff_of_a_part(queue: JobQueue) -> None:
    claim = in_parts(queue, 1)
    queue.complete(failure(claim_one(queue), retry_after_seconds=600))
    (before,) = parts_of(claim)
    queue.reprioritize([ref(claim)], actor=ACTOR, priority=9)
    joined(queue)
    (after,) = parts_of(claim)
    assert (after.status, after.available_utc, after.priority) == ("SCHEDULED", before.available_utc, 9)


def test_a_change_is_brought_to_the_parts_in_bounded_steps(queue: JobQueue) -> None:
    claim = in_parts(queue, 5)
    queue.reprioritize([ref(claim)], actor=ACTOR, priority=9)
    seen = []
    for _ in range(3):
        queue.join_due_jobs(max_rows=2)
        seen.append(sum(part.priority == 9 for part in parts_of(claim)))
    assert seen == [2, 4, 5]
    assert job_of(claim).marked_part_no is None


def test_a_requeue_repeats_only_the_parts_that_failed(queue: JobQueue) -> None:
    claim = in_parts(queue)
    work_parts(queue, failing=(2,))
    joined(queue)
    queue.complete(failure(claim_one(queue), error_kind=ErrorKind.PART_FAILED))
    (change,) = queue.requeue([ref(claim)], actor=ACTOR)
    assert (change.changed, change.to_status) == (True, JobStatus.SPLIT)
    assert joined(queue) == []
    (again,) = queue.claim(WORKER, max_jobs=10)
    assert (again.part_no, again.attempt, again.attempt_count) == (2, 2, 1)
    queue.complete(success(again, facts=()))
    assert joined(queue) == [(claim.job_id, JobStatus.NEW)]
    assert {part.status for part in parts_of(claim)} == {"SUCCEEDED"}


def test_a_requeue_whose_parts_all_succeeded_is_joined_again(queue: JobQueue) -> None:
    claim = in_parts(queue)
    work_parts(queue)
    joined(queue)
    queue.complete(failure(claim_one(queue)))
    queue.requeue([ref(claim)], actor=ACTOR)
    assert joined(queue) == [(claim.job_id, JobStatus.NEW)]
    assert Run.objects.exclude(job_id=claim.job_id).count() == 3


def test_a_part_is_requeued_with_its_job_only(queue: JobQueue) -> None:
    claim = in_parts(queue, 1)
    work_parts(queue, failing=(1,))
    (part,) = parts_of(claim)
    (change,) = queue.requeue([JobRef(job_id=part.job_id)], actor=ACTOR)
    assert not change.changed
    assert str(claim.job_id) in (change.why or "")


# Batches


def test_a_batch_counts_a_job_in_parts_once_and_pauses_its_parts(queue: JobQueue) -> None:
    batch = queue.open_batch(BatchInput(name="reports"), actor=ACTOR).batch_id
    queue.enqueue(a_job(), actor=ACTOR, batch_id=batch)
    claim = claim_one(queue)
    queue.pause_batch(batch, actor=ACTOR)
    queue.split(splitting(claim), WORKER)
    assert all(part.paused_utc is not None for part in parts_of(claim))
    assert queue.claim(WORKER, max_jobs=10) == []
    queue.resume_batch(batch, actor=ACTOR)
    queue.fill_batch(batch, actor=ACTOR)
    work_parts(queue, failing=(1,))
    joined(queue)
    queue.complete(success(claim_one(queue)))
    (swept,) = queue.sweep_batches()
    assert swept.event is BatchEventName.FINISHED
    assert [(row.status, row.jobs) for row in BatchCount.objects.filter(batch_id=batch)] == [("SUCCEEDED", 1)]


# Purge


def test_a_job_and_its_parts_are_purged_together(queue: JobQueue) -> None:
    claim = in_parts(queue)
    queue.complete(success(claim_one(queue), facts=(), artifacts=(an_artifact(),)))
    work_parts(queue)
    pass_time(3600)
    now = job_of(claim).available_utc.replace(year=2998)
    queue.roll_up_hours()
    assert queue.purge(finished_before_utc=now, statuses=[JobStatus.SUCCEEDED], actor=ACTOR) == []
    joined(queue)
    queue.complete(success(claim_one(queue)))
    queue.roll_up_hours()
    purged = {
        one.job_id
        for one in queue.purge(finished_before_utc=now, statuses=[JobStatus.SUCCEEDED], actor=ACTOR, max_rows=1)
    }
    assert len(purged) == 4
    assert not Job.objects.exists()
    assert JobEvent.objects.filter(event="purged").count() == 4
    assert LakeDeletion.objects.filter(lake_uri__contains="prompt_text").count() == 1


def test_a_held_part_keeps_its_job_from_being_purged(queue: JobQueue) -> None:
    claim = in_parts(queue)
    work_parts(queue)
    joined(queue)
    queue.complete(success(claim_one(queue)))
    queue.set_hold([JobRef(job_id=parts_of(claim)[1].job_id)], actor=ACTOR, hold=True)
    queue.roll_up_hours()
    assert queue.purge(finished_before_utc=LATER, statuses=[JobStatus.SUCCEEDED], actor=ACTOR) == []


# Smaller parts


def smaller(claim: Claim, parts: int = 2, **values: Any) -> Outcome:
    return splitting(claim, parts, error="too long", error_kind=ErrorKind.EVIDENCE_TOO_LARGE, **values)


def test_a_part_is_replaced_by_smaller_ones(queue: JobQueue) -> None:
    claim = in_parts(queue, 2, priority=7)
    part = claim_one(queue)
    facts = RunFacts(prompt_tokens=9, output_tokens=4)
    answer = queue.split(smaller(part, run=facts, artifacts=(an_artifact(),)), WORKER)
    assert (answer.accepted, answer.final_status) == (True, JobStatus.NEW)
    first, _, last = parts_of(claim)
    assert (first.job_id, first.status, first.attempt_count, first.error_kind) == (
        *(part.job_id, "NEW", 0),
        "evidence_too_large",
    )
    assert (last.part_no, last.part_count, last.priority, job_of(claim).part_count) == (3, 3, 7, 3)
    run = run_of(part)
    assert (run.status, run.counted, run.error_kind, run.error) == ("SPLIT", False, "evidence_too_large", "too long")
    assert (run.prompt_tokens, run.output_tokens, run.artifacts.count()) == (9, 4, 1)
    assert moves_of(part)[-1] == ("split", "RUNNING", "NEW")


def test_a_smaller_part_reads_what_the_split_says_and_keeps_what_it_was_queued_with(queue: JobQueue) -> None:
    claim = in_parts(queue, 1)
    part = claim_one(queue)
    before = part.evidence_ref_json
    half = PartInput(part_no=1, evidence_ref_json='{"half": 1}'), PartInput(part_no=2, evidence_ref_json='{"half": 2}')
    split = Split(input_json=INPUT, parts=half)
    assert queue.split(smaller(part).model_copy(update={"split": split}), WORKER).accepted
    again, other = queue.claim(WORKER, max_jobs=10)
    assert [json.loads(one.evidence_ref_json or "") for one in (again, other)] == [{"half": 1}, {"half": 2}]
    assert [json.loads(row.evidence_ref_json) for row in read_parts(claim.job_id)] == [{"half": 1}, {"half": 2}]
    assert job_of(part).evidence_ref_json == before


def test_a_job_is_joined_when_its_smaller_parts_have_ended(queue: JobQueue) -> None:
    claim = in_parts(queue, 1)
    queue.split(smaller(claim_one(queue)), WORKER)
    queue.complete(success(claim_one(queue), facts=()))
    assert joined(queue) == []
    queue.complete(success(claim_one(queue), facts=()))
    assert joined(queue) == [(claim.job_id, JobStatus.NEW)]


def test_a_repeated_split_of_a_part_queues_nothing_twice(queue: JobQueue) -> None:
    claim = in_parts(queue, 1)
    part = claim_one(queue)
    answers = [queue.split(smaller(part), WORKER) for _ in range(2)]
    assert [(one.accepted, one.final_status) for one in answers] == [(True, JobStatus.NEW)] * 2
    assert len(parts_of(claim)) == job_of(claim).part_count == 2


def test_a_part_that_was_asked_to_stop_is_not_replaced(queue: JobQueue) -> None:
    claim = in_parts(queue, 1)
    part = claim_one(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    joined(queue)
    answers = [queue.split(smaller(part), WORKER) for _ in range(2)]
    assert [(one.accepted, one.final_status) for one in answers] == [(True, JobStatus.CANCELLED)] * 2
    assert len(parts_of(claim)) == job_of(claim).part_count == 1
    assert joined(queue) == [(claim.job_id, JobStatus.CANCELLED)]


def test_a_cancellation_reaches_the_other_half(queue: JobQueue) -> None:
    claim = in_parts(queue, 1)
    part = claim_one(queue)
    queue.cancel([ref(claim)], actor=ACTOR)
    queue.split(smaller(part), WORKER)
    assert joined(queue) == [(claim.job_id, JobStatus.CANCELLED)]
    assert {one.status for one in parts_of(claim)} == {"CANCELLED"}


def test_a_pass_over_the_parts_reaches_the_other_half(queue: JobQueue) -> None:
    claim = in_parts(queue, 2)
    part = claim_one(queue)
    queue.reprioritize([ref(claim)], actor=ACTOR, priority=9)
    queue.split(smaller(part), WORKER)
    joined(queue)
    assert {one.priority for one in parts_of(claim)} == {9}


def test_halves_of_parts_and_sweeps_at_once_join_a_job_once(queue: JobQueue) -> None:
    claim = in_parts(queue, 4)
    parts = queue.claim(WORKER, max_jobs=10)
    calls = [lambda part=part: JobQueue().split(smaller(part), WORKER) for part in parts]
    at_once(*calls, *[lambda: JobQueue().join_due_jobs()] * 2)
    assert [one.part_no for one in parts_of(claim)] == list(range(1, 9))
    assert job_of(claim).part_count == 8
    work_parts(queue)
    assert joined(queue) == [(claim.job_id, JobStatus.NEW)]


def test_a_joining_run_may_queue_more_parts(queue: JobQueue) -> None:
    claim = in_parts(queue, 2)
    work_parts(queue)
    joined(queue)
    joining = claim_one(queue)
    answer = queue.split(splitting(joining, 2), WORKER)
    assert (answer.accepted, answer.final_status) == (True, JobStatus.SPLIT)
    assert [one.part_no for one in parts_of(claim)] == [1, 2, 3, 4]
    assert joined(queue) == []
    work_parts(queue)
    assert joined(queue) == [(claim.job_id, JobStatus.NEW)]


def test_what_a_replaced_part_spent_is_counted(queue: JobQueue) -> None:
    batch = queue.open_batch(BatchInput(name="reports"), actor=ACTOR).batch_id
    queue.enqueue(a_job(), actor=ACTOR, batch_id=batch)
    queue.split(splitting(claim_one(queue), 1), WORKER)
    queue.split(smaller(claim_one(queue), run=RunFacts(prompt_tokens=9, output_tokens=4)), WORKER)
    queue.roll_up_hours()
    queue.sweep_batches()
    assert Batch.objects.get(batch_id=batch).spent_tokens == 13
