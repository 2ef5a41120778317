from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection

from derive.models import Job, JobEvent
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import JobStatus
from tests.contract.scenes import ACTOR, KEY, a_job, job_of, moves_of, queued, said


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def test_a_job_is_queued_as_it_was_given(queue: JobQueue) -> None:
    job_id, run_id = uuid4(), uuid4()
    later = tomorrow()
    answer = queued(
        queue,
        input_json='{"b": 1,  "a": "ä€🚀"}',
        priority=7,
        evidence_ref_json='{"items": []}',
        model_hint="llama3.2",
        max_attempts=5,
        available_utc=later,
        dedupe_key="luke",
        entity_type="character",
        entity_id="Luke",
        repeats_run_id=run_id,
        job_id=job_id,
    )
    job = job_of(answer)
    assert (answer.job_id, answer.is_duplicate, answer.status) == (job_id, False, JobStatus.SCHEDULED)
    assert job.input_json == '{"b": 1,  "a": "ä€🚀"}'
    assert (job.priority, job.evidence_ref_json, job.model_hint, job.max_attempts) == (
        7,
        '{"items": []}',
        "llama3.2",
        5,
    )
    assert (job.available_utc, job.dedupe_key, job.entity_type, job.entity_id) == (later, "luke", "character", "Luke")
    assert (job.repeats_run_id, job.created_by, job.attempt_count) == (run_id, ACTOR, 0)


def test_what_is_not_given_has_the_contracts_defaults(queue: JobQueue) -> None:
    job = job_of(queued(queue))
    assert (job.status, job.priority, job.max_attempts, job.attempt_count) == ("NEW", 100, 3, 0)
    assert job.available_utc <= datetime.now(UTC) + timedelta(seconds=60)
    assert (job.model_hint, job.dedupe_key, job.hold_utc, job.finished_utc, job.error_kind) == (None,) * 5


def test_a_job_for_later_waits_as_scheduled_and_one_for_the_past_is_ready(queue: JobQueue) -> None:
    assert queued(queue, available_utc=tomorrow()).status == JobStatus.SCHEDULED
    assert queued(queue, available_utc=tomorrow() - timedelta(days=2)).status == JobStatus.NEW


def test_queueing_is_recorded_with_its_actor_and_the_login(queue: JobQueue) -> None:
    answer = queued(queue)
    event = JobEvent.objects.get(job_id=answer.job_id)
    assert moves_of(answer) == [("enqueued", None, "NEW")]
    assert (event.actor, event.run_id) == (ACTOR, None)
    assert event.db_user


def test_without_an_actor_the_login_queued_it(queue: JobQueue) -> None:
    answer = queue.enqueue(a_job())
    assert JobEvent.objects.get(job_id=answer.job_id).actor == job_of(answer).created_by


def test_a_job_enqueued_twice_with_its_id_is_stored_once(queue: JobQueue) -> None:
    job = a_job(job_id=uuid4(), dedupe_key="luke")
    first, second = queue.enqueue(job, actor=ACTOR), queue.enqueue(job, actor=ACTOR)
    assert first == second
    assert not second.is_duplicate
    assert Job.objects.count() == JobEvent.objects.count() == 1


def test_many_jobs_are_answered_in_their_order(queue: JobQueue) -> None:
    jobs = [a_job(job_id=uuid4(), entity_id=str(n)) for n in range(25)]
    answers = queue.enqueue_many(jobs, actor=ACTOR)
    assert [answer.job_id for answer in answers] == [job.job_id for job in jobs]
    assert [claim.job_id for claim in queue.claim("w", max_jobs=25)] == [job.job_id for job in jobs]


def test_elements_are_queued_by_n_whatever_their_order(queue: JobQueue) -> None:
    elements = [
        f'{{"n": {n}, "interrogation_key": "{KEY}", "input_json": "{{}}", "entity_id": "{n}"}}' for n in (2, 0, 1)
    ]
    rows = said(procedures.ENQUEUE_JOBS, jobs_json=f"[{', '.join(elements)}]", actor=ACTOR)
    assert [row[0] for row in rows] == [0, 1, 2]
    assert list(Job.objects.order_by("job_seq").values_list("entity_id", flat=True)) == ["0", "1", "2"]


def test_events_of_a_batch_are_in_the_order_of_its_jobs_whatever_their_keys(queue: JobQueue) -> None:
    answers = queue.enqueue_many([a_job(dedupe_key=key) for key in ("c", "a", "b")], actor=ACTOR)
    events = JobEvent.objects.order_by("event_seq").values_list("job_id", flat=True)
    assert list(events) == [answer.job_id for answer in answers]


def test_a_batch_keeps_every_member_of_its_jobs(queue: JobQueue) -> None:
    later = tomorrow()
    jobs = [
        a_job(input_json='{"text": "quote \\" and \\\\ and ä€🚀"}', available_utc=later, priority=0),
        a_job(model_hint="m", max_attempts=1, evidence_ref_json='{"items":[]}', repeats_run_id=uuid4()),
    ]
    first, second = (job_of(answer) for answer in queue.enqueue_many(jobs, actor=ACTOR))
    assert (first.input_json, first.available_utc, first.priority) == (jobs[0].input_json, later, 0)
    assert (second.model_hint, second.max_attempts, second.evidence_ref_json) == ("m", 1, '{"items":[]}')
    assert second.repeats_run_id == jobs[1].repeats_run_id


def test_more_jobs_than_a_batch_holds_are_all_queued(queue: JobQueue) -> None:
    answers = queue.enqueue_many([a_job() for _ in range(4_001)], actor=ACTOR)
    assert len({answer.job_id for answer in answers}) == Job.objects.count() == 4_001


def test_no_jobs_at_all_are_nothing_to_do(queue: JobQueue) -> None:
    assert queue.enqueue_many([], actor=ACTOR) == []


@pytest.mark.parametrize("text", ["{}", '{"a": {"b": [1, 2.5, null, true]}}', '{"text": "' + "x" * 200_000 + '"}'])
def test_the_input_comes_back_byte_for_byte(queue: JobQueue, text: str) -> None:
    assert job_of(queued(queue, input_json=text)).input_json == text


def test_keys_that_differ_in_case_or_accent_are_different_keys(queue: JobQueue) -> None:
    for key in ("luke", "Luke", "lúke"):
        assert not queued(queue, dedupe_key=key).is_duplicate
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM llm.job WHERE dedupe_key = %s", ["luke"])
        assert cursor.fetchone() == (1,)
    assert Job.objects.filter(interrogation_key=KEY.upper()).count() == 0


def test_the_reason_is_stored_only_in_the_first_event_of_new_jobs(queue: JobQueue) -> None:
    one = queue.enqueue(a_job(dedupe_key="k"), actor=ACTOR, reason="asked for by Leia")
    again, other = queue.enqueue_many([a_job(dedupe_key="k"), a_job()], actor=ACTOR, reason="and once more")
    assert again.job_id == one.job_id
    reasons = JobEvent.objects.order_by("event_seq").values_list("job_id", "event", "reason")
    assert list(reasons) == [
        (one.job_id, "enqueued", "asked for by Leia"),
        (other.job_id, "enqueued", "and once more"),
    ]
