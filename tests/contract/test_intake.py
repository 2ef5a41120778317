"""Whole files into the queue, and the queue looked at."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import pytest

from derive import inspection
from derive.contracts import Enqueued, JobInput
from derive.errors import DatabaseUnavailable
from derive.inspection import age_in_words, count_states, list_jobs, read_job_history
from derive.intake.importing import ImportCounts, ImportInterrupted, check_records, new_import_id, queue_spool
from derive.intake.line_format import LineFormat
from derive.intake.records import read_records
from derive.intake.spool import RecordSpool
from derive.interrogations.registry import Registry
from derive.models import Job
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.contract.scenes import ACTOR, KEY, an_artifact, claimed, queued, success

REGISTRY = Registry.load(None)


def lines(count: int, **more: Any) -> bytes:
    rows = [
        {"interrogation_key": KEY, "input": {"entity_type": "planet", "entity_id": f"p{n}"}, "entity_id": f"p{n}"}
        | more
        for n in range(1, count + 1)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


@pytest.fixture
def spool() -> Iterator[RecordSpool]:
    with RecordSpool() as opened:
        yield opened


def fill(spool: RecordSpool, content: bytes, **more: Any) -> None:
    bad = check_records(
        read_records(BytesIO(content), LineFormat.JSONL, from_line=more.pop("from_line", 1)),
        registry=REGISTRY,
        import_id=more.pop("import_id", new_import_id()),
        spool=spool,
        on_bad=print,
    )
    assert bad == 0


class FailingQueue:
    """The real queue, whose answer to one call is lost: before it arrives, or on the way back."""

    def __init__(self, queue: JobQueue, *, at_call: int, stores_first: bool) -> None:
        self.queue = queue
        self.calls_left = at_call
        self.stores_first = stores_first

    def enqueue_many(
        self,
        jobs: list[JobInput],
        *,
        actor: str | None = None,
        reason: str | None = None,
        batch_id: UUID | None = None,
    ) -> list[Enqueued]:
        self.calls_left -= 1
        if self.calls_left == 0:
            if self.stores_first:
                self.queue.enqueue_many(jobs, actor=actor, reason=reason, batch_id=batch_id)
            raise DatabaseUnavailable("the database does not answer")
        return self.queue.enqueue_many(jobs, actor=actor, reason=reason, batch_id=batch_id)


def test_all_lines_are_queued_in_their_order(queue: JobQueue, spool: RecordSpool) -> None:
    fill(spool, lines(4500))
    told: list[int] = []
    progress = queue_spool(spool, queue=queue, actor=ACTOR, on_stored=lambda done: told.append(done.stored))
    assert progress == ImportCounts(queued=4500, duplicates=0, last_line=4500)
    assert told == [2000, 4000, 4500]
    assert list(Job.objects.order_by("job_seq").values_list("entity_id", flat=True)) == [
        f"p{n}" for n in range(1, 4501)
    ]
    assert set(Job.objects.values_list("created_by", flat=True)) == {ACTOR}


def test_a_lines_own_actor_is_used_for_its_job(queue: JobQueue, spool: RecordSpool) -> None:
    fill(spool, lines(1, actor="grace") + b"\n" + lines(1))
    queue_spool(spool, queue=queue, actor=ACTOR)
    assert list(Job.objects.order_by("job_seq").values_list("created_by", flat=True)) == ["grace", ACTOR]


def test_duplicates_are_counted_apart(queue: JobQueue, spool: RecordSpool) -> None:
    fill(spool, lines(3, dedupe_key="same") + b"\n" + lines(1))
    assert queue_spool(spool, queue=queue, actor=ACTOR) == ImportCounts(queued=2, duplicates=2, last_line=4)


@pytest.mark.parametrize("stores_first", [True, False])
def test_an_interrupted_import_continues_without_storing_a_line_twice(queue: JobQueue, stores_first: bool) -> None:
    content, import_id = lines(5000), new_import_id()
    with RecordSpool() as first:
        fill(first, content, import_id=import_id)
        failing = FailingQueue(queue, at_call=2, stores_first=stores_first)
        with pytest.raises(ImportInterrupted) as interrupted:
            queue_spool(first, queue=failing, actor=ACTOR)
    assert isinstance(interrupted.value.__cause__, DatabaseUnavailable)
    assert interrupted.value.progress.last_line == 2000
    assert interrupted.value.next_line == 2001
    assert Job.objects.count() == (4000 if stores_first else 2000)
    with RecordSpool() as rest:
        fill(rest, content, import_id=import_id, from_line=interrupted.value.next_line)
        assert queue_spool(rest, queue=queue, actor=ACTOR).stored == 3000
    assert Job.objects.count() == 5000
    assert Job.objects.values("entity_id").distinct().count() == 5000


def test_an_import_stops_between_batches_when_asked(queue: JobQueue, spool: RecordSpool) -> None:
    fill(spool, lines(3000))
    asked = iter([False, True])
    with pytest.raises(ImportInterrupted) as interrupted:
        queue_spool(spool, queue=queue, actor=ACTOR, stop_asked=lambda: next(asked))
    assert (interrupted.value.__cause__, interrupted.value.next_line) == (None, 2001)
    assert Job.objects.count() == 2000


def test_an_empty_file_queues_nothing(queue: JobQueue, spool: RecordSpool) -> None:
    assert queue_spool(spool, queue=queue, actor=ACTOR) == ImportCounts()


def test_the_latest_jobs_come_first_and_a_state_narrows_them(queue: JobQueue) -> None:
    claim = claimed(queue, entity_id="old")
    queue.complete(success(claim))
    queued(queue, entity_id="middle")
    queued(queue, entity_id="late")
    assert [job["entity_id"] for job in list_jobs(status=None, limit=2)] == ["late", "middle"]
    assert [job["entity_id"] for job in list_jobs(status=JobStatus.SUCCEEDED, limit=2)] == ["old"]


def test_a_job_s_story_has_its_runs_events_and_artifacts(queue: JobQueue) -> None:
    claim = claimed(queue)
    queue.complete(success(claim, artifacts=(an_artifact("prompt_text"), an_artifact("manifest"))))
    queued(queue)
    story = read_job_history(claim.job_id)
    assert story is not None
    assert story.job["status"] == "SUCCEEDED"
    assert [run["run_id"] for run in story.runs] == [claim.run_id]
    assert [event["event"] for event in story.events] == ["enqueued", "claimed", "completed"]
    assert {artifact["artifact_type"] for artifact in story.artifacts} == {"prompt_text", "manifest"}


def test_a_job_that_is_not_there_has_no_story(queue: JobQueue) -> None:
    assert read_job_history(uuid4()) is None


def test_states_are_counted_up_to_a_cap(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "COUNT_CAP", 2)
    for _ in range(3):
        queued(queue)
    queued(queue, available_utc=datetime.now(UTC) + timedelta(days=1))
    counts = {count.status: (count.count, count.capped) for count in count_states()}
    assert counts.pop(JobStatus.NEW) == (2, True)
    assert counts.pop(JobStatus.SCHEDULED) == (1, False)
    assert set(counts.values()) == {(0, False)}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (90_000, "1d"), (-61, "in 1m")],
)
def test_an_age_is_reported_in_its_greatest_unit(seconds: int, words: str) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert age_in_words(now - timedelta(seconds=seconds), now=now) == words
