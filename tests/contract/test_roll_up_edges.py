"""What ``usp_roll_up_hours`` does at the edges of its buckets, and whom it waits for."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection, models

from derive.contracts import RunFacts
from derive.models import JobEvent, Run
from derive.queue import JobQueue
from derive.sql import procedures
from tests.contract.scenes import ACTOR, KEY, THREAD_SECONDS, claim_one, claimed, failure, queued, ref, success
from tests.contract.sessions import a_session, somebody_waits
from tests.contract.test_roll_up import histogram, rolled

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
JOB = {"interrogation_key": KEY, "input_json": "{}", "actor": ACTOR}


def set_moment(model: type[models.Model], key: UUID | int, column: str, seconds: float) -> None:
    """Write a moment, so many seconds after noon, past the procedures."""
    field, pk = model._meta.get_field(column), model._meta.pk
    assert isinstance(field, models.Field)
    assert pk is not None
    values = [
        field.get_db_prep_save(NOON + timedelta(seconds=seconds), connection),
        pk.get_db_prep_save(key, connection),
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {model._meta.db_table} SET {column} = %s WHERE {pk.column} = %s", values)


def test_each_wait_is_told_from_the_last_time_that_its_job_became_ready(queue: JobQueue) -> None:
    job = queued(queue)
    queue.reprioritize([ref(job)], actor=ACTOR, priority=7)  # it is ready as before
    queue.complete(failure(claim_one(queue), retry_after_seconds=0))
    claim_one(queue)
    events = JobEvent.objects.order_by("event_seq")
    assert [event.event for event in events] == ["enqueued", "reprioritized", "claimed", "retried", "claimed"]
    for event, seconds in zip(events, (0, 40, 50, 100, 100.2), strict=True):
        set_moment(JobEvent, event.event_seq, "at_utc", seconds)
    rolled(queue)
    # What took as long as a bucket's bound stands in that bucket.
    assert histogram("wait") == {50_000: 1, 200: 1}


@pytest.mark.parametrize(("seconds", "up_to_ms"), [(0.02, 20), (0.021, 50), (0, 10)])
def test_a_run_that_took_as_long_as_a_buckets_bound_stands_in_it(
    queue: JobQueue, seconds: float, up_to_ms: int
) -> None:
    claim = claimed(queue)
    queue.complete(success(claim))
    set_moment(Run, claim.run_id, "started_utc", 0)
    set_moment(Run, claim.run_id, "completed_utc", seconds)
    rolled(queue)
    assert histogram("run") == {up_to_ms: 1}


@pytest.mark.parametrize(("nanoseconds", "up_to_ms"), [(50_000_000, 50), (50_499_999, 50), (50_500_000, 100)])
def test_the_models_time_is_rounded_to_a_millisecond_before_it_is_put_into_a_bucket(
    queue: JobQueue, nanoseconds: int, up_to_ms: int
) -> None:
    run = RunFacts(model_name="m", metrics_json=f'{{"total_duration":{nanoseconds}}}')
    queue.complete(success(claimed(queue), run=run))
    rolled(queue)
    assert histogram("model") == {up_to_ms: 1}


def test_a_step_that_holds_just_what_there_is_has_caught_up(queue: JobQueue) -> None:
    for _ in range(2):
        queued(queue)
    answer = queue.roll_up_hours(max_events=2, max_steps=1)
    assert answer is not None
    assert (answer.events, answer.is_caught_up) == (2, True)


def test_who_reads_the_history_or_changes_other_tables_holds_no_counting_up(queue: JobQueue) -> None:
    job = queued(queue)
    with a_session() as other:
        other.run("SELECT event_seq FROM llm.job_event")
        other.hold(job)
        assert rolled(queue) == 1


def test_the_events_of_ones_own_transaction_are_counted_in_it(queue: JobQueue) -> None:
    with a_session() as session:
        session.call(procedures.ENQUEUE_JOB, **JOB)
        assert session.call(procedures.ROLL_UP_HOURS)[0][0] == 1


def test_who_waits_to_write_an_event_holds_no_counting_up(queue: JobQueue) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("there the counting takes the lock that the writer waits for")
    queued(queue)
    with a_session() as other:
        other.run("LOCK TABLE llm.job_event IN SHARE MODE")

        def enqueue() -> None:
            with a_session() as writer:
                writer.has_to_wait(procedures.ENQUEUE_JOB, **JOB)

        writing = threading.Thread(target=enqueue)
        writing.start()
        try:
            while not somebody_waits():
                assert writing.is_alive(), "it did not wait"
            assert rolled(queue) == 1
        finally:
            other.roll_back()
            writing.join(THREAD_SECONDS)
