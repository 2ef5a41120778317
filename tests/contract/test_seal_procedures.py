"""What the chain's own procedures refuse, wait for and leave alone, said past the sealing that calls them."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from derive.models import JobEvent, Seal
from derive.queue import JobQueue
from derive.sql import procedures
from tests.contract.scenes import ACTOR, KEY, THREAD_SECONDS, queued, said
from tests.contract.sessions import IMPATIENT_MS, a_session, somebody_waits

NO_HEAD = "0" * 64
HEADS = ["11" * 32, "22" * 32, "33" * 32]
JOB = {"interrogation_key": KEY, "input_json": "{}", "actor": ACTOR}


def seal(number: int, **values: Any) -> dict[str, Any]:
    """The seal of that number in a chain of two events each."""
    return {
        "seal_seq": number,
        "first_event_seq": 2 * number - 1,
        "last_event_seq": 2 * number,
        "event_count": 2,
        "previous_sha256": HEADS[number - 2] if number > 1 else NO_HEAD,
        "sha256": HEADS[number - 1],
        "created_utc": datetime(2026, 1, 1, tzinfo=UTC),
        "seal_json": "{}",
        **values,
    }


def record(number: int, **values: Any) -> tuple[Any, ...]:
    (answer,) = said(procedures.RECORD_SEAL, **seal(number, **values))
    return answer


def store(number: int) -> bool:
    ((stored,),) = said(procedures.MARK_SEAL_STORED, seal_seq=number, sha256=HEADS[number - 1])
    return bool(stored)


def test_a_chain_grows_one_stored_seal_at_a_time_and_each_may_be_said_again(queue: JobQueue) -> None:
    for number in (1, 2, 3):
        assert record(number) == (True, None)
        assert record(number) == (True, None)
        assert store(number)
    assert list(Seal.objects.order_by("seal_seq").values_list("sha256", flat=True)) == HEADS


def test_no_seal_follows_one_that_the_lake_has_not(queue: JobQueue) -> None:
    record(1)
    assert record(2) == (False, "the last seal is not in the lake yet")
    store(1)
    assert record(2) == (True, None)


@pytest.mark.parametrize(
    "values",
    [
        {"seal_seq": 4},
        {"seal_seq": 2, "sha256": "44" * 32},
        {"seal_seq": 1, "sha256": HEADS[0]},
        {"previous_sha256": HEADS[0]},
        {"first_event_seq": 4},
    ],
    ids=["a number too far", "another of the last's number", "the first again", "on another head", "an event again"],
)
def test_a_seal_that_does_not_follow_the_last_is_refused(queue: JobQueue, values: dict[str, Any]) -> None:
    for number in (1, 2):
        record(number)
        store(number)
    assert record(3, **values) == (False, "it does not follow the last seal")
    assert Seal.objects.count() == 2


def test_only_the_seal_named_is_marked_as_stored(queue: JobQueue) -> None:
    record(1)
    assert not store(2)
    ((stored,),) = said(procedures.MARK_SEAL_STORED, seal_seq=1, sha256=HEADS[1])
    assert not stored
    assert Seal.objects.get().pending_json is not None


def test_a_seal_is_judged_only_when_nobody_adds_another(queue: JobQueue) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("there the key decides, should the lock not be had")
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.RECORD_SEAL, **seal(1))
        # A refusal too: by then it may follow.
        assert session.has_to_wait(procedures.RECORD_SEAL, **seal(3))


def test_who_reads_the_history_or_changes_other_tables_holds_no_seal_up(queue: JobQueue) -> None:
    job = queued(queue)
    with a_session() as other:
        other.run("SELECT event_seq FROM llm.job_event")
        other.hold(job)
        assert queue.seal_horizon().event_seq is not None


def test_the_events_of_ones_own_transaction_hold_no_seal_up(queue: JobQueue) -> None:
    queued(queue)
    with a_session() as session:
        session.call(procedures.ENQUEUE_JOB, **JOB)
        assert session.call(procedures.SEAL_HORIZON)[0][0] is not None


def test_a_transaction_that_ends_soon_is_waited_for(queue: JobQueue) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("there the seal waits for a lock")
    queued(queue)
    with a_session() as other:
        # It is waited for half a second, in which a busy machine may not come to end it: so several times.
        for _time in range(20):
            other.call(procedures.ENQUEUE_JOB, **JOB)
            horizons: list[int | None] = []
            looking = threading.Thread(target=look_up_horizon, args=(horizons,))
            looking.start()
            while looking.is_alive() and not somebody_sleeps():
                pass
            other.roll_back()
            looking.join(THREAD_SECONDS)
            if horizons != [None]:
                break
        assert horizons == [JobEvent.objects.get().event_seq]


def look_up_horizon(found: list[int | None]) -> None:
    try:
        found.append(JobQueue().seal_horizon().event_seq)
    finally:
        connection.close()


def somebody_sleeps() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")
        return cursor.fetchone() is not None


def test_who_waits_to_write_an_event_holds_no_seal_up(queue: JobQueue) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("there the seal takes the lock that the writer waits for")
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
            assert queue.seal_horizon().event_seq is not None
        finally:
            other.roll_back()
            writing.join(THREAD_SECONDS)
