"""What ``usp_roll_up_hours`` promises: each event counted once, in its own hour, none missed."""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from derive.contracts import RunFacts
from derive.errors import ErrorKind
from derive.models import Job, JobEvent
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import JobStatus
from tests.contract.babelfish import Lack, lacks
from tests.contract.scenes import (
    ACTOR,
    THREAD_SECONDS,
    a_job,
    at_once,
    cancelled,
    claim_one,
    claimed,
    failure,
    job_of,
    pass_time,
    queued,
    ref,
    said,
    success,
)

COUNTS = (
    *("enqueued", "promoted", "claimed", "succeeded", "failed", "dead_lettered", "retried", "released"),
    *("lease_expired", "cancelled", "requeued"),
)
AN_HOUR = timedelta(hours=1)
ANSWERED = RunFacts(
    model_name="llama3.2",
    prompt_tokens=900,
    output_tokens=120,
    total_ms=7_000,
    metrics_json='{"total_duration":1500000000,"eval_count":120}',
)


def rows(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def counts(*, where: str = "1 = 1") -> Counter[str]:
    """The moves counted in all hours."""
    sums = ", ".join(f"SUM({name})" for name in COUNTS)
    (row,) = rows(f"SELECT {sums} FROM llm.stat_hour WHERE {where}")
    return Counter({name: int(value) for name, value in zip(COUNTS, row, strict=True) if value})


def histogram(measure: str) -> dict[int, int]:
    found = rows("SELECT up_to_ms, SUM(amount) FROM llm.stat_hour_time WHERE measure = %s GROUP BY up_to_ms", [measure])
    return {int(up_to_ms): int(amount) for up_to_ms, amount in found}


def everything() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    return sorted(rows("SELECT * FROM llm.stat_hour")), sorted(rows("SELECT * FROM llm.stat_hour_time"))


def rolled(queue: JobQueue, **options: Any) -> int:
    answer = queue.roll_up_hours(**options)
    assert answer is not None
    assert answer.is_caught_up
    return answer.events


def put_event(job_id: UUID, event: str, at_utc: datetime) -> None:
    """Write an event at a time of its own, as a procedure whose transaction takes long does."""
    moment = JobEvent._meta.get_field("at_utc").get_db_prep_save(at_utc, connection)
    guid = JobEvent._meta.get_field("run_id").get_db_prep_save(job_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor)"
            " VALUES (%s, %s, %s, 'NEW', 'NEW', 'test')",
            [guid, moment, event],
        )


def forget_put_events() -> None:
    """Leave the jobs' histories as the procedures made them."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM llm.job_event WHERE actor = 'test'")


def test_every_move_is_counted_under_its_model_and_kind_of_error(queue: JobQueue) -> None:
    queue.complete(success(claimed(queue, model_hint="llama3.2:latest"), run=ANSWERED))
    queue.complete(failure(claimed(queue), error_kind=ErrorKind.INVALID_INPUT))
    retried = claimed(queue, max_attempts=2)
    queue.complete(failure(retried, retry_after_seconds=0, run=RunFacts(model_name="llama3.2")))
    queue.complete(failure(claim_one(queue), retry_after_seconds=0))
    released = claimed(queue)
    queue.release(released.run_id)
    queue.cancel([ref(released)], actor=ACTOR)
    queue.requeue([ref(released)], actor=ACTOR)
    stopped = claim_one(queue)
    queue.cancel([ref(stopped)], actor=ACTOR)
    queue.complete(cancelled(stopped))

    assert rolled(queue) == JobEvent.objects.count()
    assert counts() == {
        "enqueued": 4,
        "claimed": 6,
        "succeeded": 1,
        "failed": 1,
        "retried": 1,
        "dead_lettered": 1,
        "released": 1,
        "cancelled": 2,
        "requeued": 1,
    }
    assert counts(where="model = 'llama3.2'") == {"succeeded": 1, "retried": 1}
    assert counts(where="model = 'llama3.2:latest'") == {"enqueued": 1, "claimed": 1}
    assert counts(where="error_kind = 'invalid_input'") == {"failed": 1}
    assert counts(where="error_kind = 'model_crashed'") == {"retried": 1, "dead_lettered": 1}
    assert counts(where="error_kind = 'cancelled'") == {"cancelled": 1}
    assert rows("SELECT SUM(prompt_tokens), SUM(output_tokens), SUM(model_ms) FROM llm.stat_hour") == [(900, 120, 1500)]


def test_a_run_whose_end_is_reported_in_two_events_is_timed_once(queue: JobQueue) -> None:
    claimed(queue, max_attempts=1)
    pass_time(3600)
    queue.reap()
    rolled(queue)
    assert counts() == {"enqueued": 1, "claimed": 1, "lease_expired": 1, "dead_lettered": 1}
    assert counts(where="error_kind = 'lease_expired'") == {"lease_expired": 1, "dead_lettered": 1}
    assert histogram("run") == {5_000_000: 1}
    assert histogram("model") == {}


def test_the_histograms_hold_wait_run_and_model_time(queue: JobQueue) -> None:
    queue.complete(success(claimed(queue), run=ANSWERED))
    rolled(queue)
    assert histogram("model") == {2_000: 1}
    assert sum(histogram("run").values()) == sum(histogram("wait").values()) == 1
    assert max(histogram("wait")) <= 10_000


@pytest.mark.parametrize(
    ("metrics", "model"),
    [
        (None, {}),
        ('{"eval_count": 7}', {}),
        ('{"total_duration": 0}', {}),
        ('{"total_duration": -5}', {}),
        ('{"total_duration": "\\u0000"}', {}),
        ('{"total_duration": 1e400}', {}),
        ('{"total_duration": ""}', {}),
        ('{"total_duration": [1]}', {}),
        ('{"total_duration": 9999999999999999999}', {}),
        ('{"other": "\\"total_duration\\": 5,"}', {}),
        ('{ "total_duration" : 40400000 }', {50: 1}),
        ('{"total_duration":999999999999999999,"load_duration":1}', {1_000_000_000: 1}),
    ],
)
def test_the_models_time_is_what_its_server_told_and_never_the_whole_runs(
    queue: JobQueue, metrics: str | None, model: dict[int, int]
) -> None:
    queue.complete(success(claimed(queue), run=RunFacts(model_name="m", total_ms=7_000, metrics_json=metrics)))
    rolled(queue)
    assert histogram("model") == model
    assert sum(histogram("run").values()) == 1


def test_a_job_waits_from_the_time_it_was_due_though_nobody_came_to_promote_it(queue: JobQueue) -> None:
    job = queued(queue)
    queue.reschedule([ref(job)], actor=ACTOR, available_utc=job_of(job).available_utc + AN_HOUR)
    pass_time(3600 + 300)
    claim_one(queue)
    rolled(queue)
    assert histogram("wait") == {500_000: 1}


def test_what_took_longer_than_every_bucket_is_counted_in_the_last(queue: JobQueue) -> None:
    job = queued(queue)
    queue.reschedule([ref(job)], actor=ACTOR, available_utc=job_of(job).available_utc + AN_HOUR)
    pass_time(12 * 86_400)
    claim_one(queue)
    pass_time(15 * 86_400)
    queue.reap()
    rolled(queue)
    assert histogram("wait") == histogram("run") == {1_000_000_000: 1}


def test_counting_again_counts_only_what_came_meanwhile(queue: JobQueue) -> None:
    queue.complete(success(claimed(queue), run=ANSWERED))
    assert rolled(queue) == 3
    before = everything()
    assert rolled(queue) == 0
    assert everything() == before
    queued(queue)
    assert rolled(queue) == 1
    assert counts() == {"enqueued": 2, "claimed": 1, "succeeded": 1}


def test_many_small_steps_count_what_one_large_one_does(queue: JobQueue) -> None:
    for _ in range(3):
        queue.complete(success(claimed(queue), run=ANSWERED))
    partly = queue.roll_up_hours(max_events=2, max_steps=2)
    assert partly is not None
    assert (partly.events, partly.is_caught_up) == (4, False)
    assert rolled(queue, max_events=2) == 5
    in_steps = everything()
    with connection.cursor() as cursor:
        for table in ("stat_hour", "stat_hour_time", "stat_mark"):
            cursor.execute(f"DELETE FROM llm.{table}")
    assert rolled(queue) == 9
    assert everything() == in_steps


def test_an_event_is_counted_in_the_hour_it_tells_of_however_late_it_is_seen(queue: JobQueue) -> None:
    job = queued(queue)
    rolled(queue)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * AN_HOUR
    put_event(job.job_id, "promoted", hour + timedelta(minutes=59, seconds=59.999999))
    put_event(job.job_id, "promoted", hour + AN_HOUR)
    rolled(queue)
    found = rows("SELECT hour_utc, promoted FROM llm.stat_hour WHERE promoted > 0 ORDER BY hour_utc")
    assert [(at.replace(tzinfo=UTC), amount) for at, amount in found] == [(hour, 1), (hour + AN_HOUR, 1)]
    forget_put_events()


def test_an_event_whose_transaction_is_open_is_not_passed_over(queue: JobQueue) -> None:
    """The open one has its number before another event is committed and counted; it must be counted too, later."""
    job = queued(queue)
    rolled(queue)
    written, go_on = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            put_event(job.job_id, "promoted", datetime.now(UTC))
            written.set()
            assert go_on.wait(THREAD_SECONDS)

    def count() -> list[Any]:
        assert written.wait(THREAD_SECONDS)
        put_event(job.job_id, "promoted", datetime.now(UTC))
        try:
            return [queue.roll_up_hours(), counts()["promoted"]]
        finally:
            go_on.set()

    _, answers = at_once(write_slowly, count)
    assert answers
    early, counted_early = answers
    assert early is not None
    assert (early.events, early.is_caught_up, counted_early) == (0, False, 0)
    assert rolled(queue) == 2
    assert counts()["promoted"] == 2


@lacks(Lack.CONCURRENT_APPLOCKS)
def test_who_counts_while_others_work_counts_each_event_once(queue: JobQueue) -> None:
    queue.enqueue_many([a_job(max_attempts=2) for _ in range(90)], actor=ACTOR)

    def work(name: str) -> None:
        while claims := queue.claim(name, max_jobs=3):
            for n, claim in enumerate(claims):
                queue.complete(success(claim, run=ANSWERED) if n else failure(claim, retry_after_seconds=0))

    def count() -> None:
        for _ in range(40):
            queue.roll_up_hours(max_events=7, max_steps=3)

    at_once(partial(work, "worker-1"), partial(work, "worker-2"), count, count)
    rolled(queue)
    told = Counter(JobEvent.objects.values_list("event", flat=True))
    counted = counts()
    assert counted.pop("succeeded") == told.pop("completed")
    assert counted == told
    assert sum(histogram("wait").values()) == told["claimed"]


@lacks(Lack.CONCURRENT_APPLOCKS)
def test_one_counts_at_a_time(queue: JobQueue) -> None:
    queued(queue)
    answers = at_once(*(partial(queue.roll_up_hours, max_events=1) for _ in range(4)))
    assert sum(answer.events for answer in answers if answer) == 1


def test_what_was_counted_outlives_the_jobs(queue: JobQueue) -> None:
    job = queued(queue)
    queue.cancel([ref(job)], actor=ACTOR)
    rolled(queue)
    pass_time(3600)
    before = everything()
    assert queue.purge(finished_before_utc=datetime.now(UTC), statuses=[JobStatus.CANCELLED], actor=ACTOR)
    rolled(queue)
    assert everything() == before


def test_what_is_purged_before_anybody_counted_is_counted_first(queue: JobQueue) -> None:
    queue.complete(success(claimed(queue), run=ANSWERED))
    pass_time(3600)
    assert len(queue.purge(finished_before_utc=datetime.now(UTC), statuses=[JobStatus.SUCCEEDED], actor=ACTOR)) == 1
    rolled(queue)
    assert counts() == {"enqueued": 1, "claimed": 1, "succeeded": 1}
    assert histogram("model") == {2_000: 1}


def test_a_purge_leaves_a_job_that_cannot_be_counted_yet(queue: JobQueue) -> None:
    """An open transaction may hold older events: nothing is counted before it ends, and nothing purged uncounted."""
    job = queued(queue)
    queue.cancel([ref(job)], actor=ACTOR)
    pass_time(3600)
    written, go_on = threading.Event(), threading.Event()

    def purged(*, dry_run: bool = False) -> int:
        rows_of = queue.purge(
            finished_before_utc=datetime.now(UTC), statuses=[JobStatus.CANCELLED], actor=ACTOR, dry_run=dry_run
        )
        return len(rows_of)

    def write_slowly() -> None:
        with transaction.atomic():
            put_event(uuid4(), "promoted", datetime.now(UTC))
            written.set()
            assert go_on.wait(THREAD_SECONDS)

    def look() -> tuple[int, int]:
        assert written.wait(THREAD_SECONDS)
        try:
            return purged(dry_run=True), purged()
        finally:
            go_on.set()

    assert at_once(write_slowly, look)[1] == (1, 0)
    assert purged() == 1
    assert counts() == {"enqueued": 1, "cancelled": 1}
    forget_put_events()


@lacks(Lack.CONCURRENT_APPLOCKS)
def test_who_purges_while_others_count_takes_nothing_uncounted(queue: JobQueue) -> None:
    jobs = queue.enqueue_many([a_job() for _ in range(60)], actor=ACTOR)
    for start in range(0, 60, 20):
        queue.cancel([ref(job) for job in jobs[start : start + 20]], actor=ACTOR)
    pass_time(3600)

    def purge_all() -> None:
        while Job.objects.exists():
            queue.purge(finished_before_utc=datetime.now(UTC), statuses=[JobStatus.CANCELLED], actor=ACTOR, max_rows=7)

    def count() -> None:
        for _ in range(20):
            queue.roll_up_hours(max_events=5, max_steps=2)

    at_once(purge_all, purge_all, count, count)
    rolled(queue)
    assert counts() == {"enqueued": 60, "cancelled": 60}


def test_a_counting_that_another_procedure_asks_for_answers_nothing(queue: JobQueue) -> None:
    queued(queue)
    assert said(procedures.ROLL_UP_HOURS, with_answer=False) == []
    assert counts() == {"enqueued": 1}


def test_of_an_empty_queue_nothing_is_counted(queue: JobQueue) -> None:
    assert rolled(queue) == 0
    assert everything() == ([], [])
    assert rows("SELECT COUNT(*) FROM llm.stat_mark WHERE through_utc IS NOT NULL") == [(1,)]


def test_an_unknown_job_in_the_events_stops_nothing(queue: JobQueue) -> None:
    put_event(uuid4(), "promoted", datetime.now(UTC))
    assert rolled(queue) == 1
    assert counts() == {}
    forget_put_events()
