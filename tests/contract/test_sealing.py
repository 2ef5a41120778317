"""Sealing: nothing is missed, whatever commits when; and what was begun is ended by whoever comes next."""

import threading
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import rfc8785
from django.db import connection, transaction

from derive.errors import LakeUnavailable
from derive.lake import Lake
from derive.models import JobEvent, Seal
from derive.queue import JobQueue
from derive.sealing import chain
from derive.sealing.chain import ChainBroken, seal_history
from derive.sealing.document import NO_HEAD, SealDocument, head_of
from derive.sealing.rows import canonical
from derive.sealing.verification import AuditVerification
from derive.states import JobStatus
from tests.contract.babelfish import Lack, lacks
from tests.contract.scenes import an_artifact, at_once, claimed, in_state, queued, success


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake.open(str(tmp_path / "lake"))
    lake.probe()
    return lake


def documents(lake: Lake) -> list[SealDocument]:
    found = []
    for seal in Seal.objects.order_by("seal_seq"):
        data = lake.read(f"seals/{seal.created_utc:%Y/%m/%d}/{seal.seal_seq:012}.json")
        assert head_of(data) == seal.sha256
        document = SealDocument.parse(data)
        assert document is not None
        found.append(document)
    return found


def sealed_events(lake: Lake) -> list[int]:
    return [event.event_seq for document in documents(lake) for event in document.events]


def all_events() -> list[int]:
    return list(JobEvent.objects.order_by("event_seq").values_list("event_seq", flat=True))


def test_every_event_is_sealed_once_in_a_chain_of_heads(queue: JobQueue, lake: Lake) -> None:
    for status in sorted(JobStatus):
        in_state(queue, status)
    report = seal_history(lake, batch_events=5)
    assert report.is_settled
    assert report.seals == Seal.objects.count() > 2
    assert sealed_events(lake) == all_events()
    heads = [NO_HEAD, *Seal.objects.order_by("seal_seq").values_list("sha256", flat=True)]
    assert [document.previous_sha256 for document in documents(lake)] == heads[:-1]
    assert report.head_line == f"{report.seals}:{heads[-1]}"
    assert not list(AuditVerification(lake).found())


def test_sealing_again_adds_what_happened_since_and_nothing_else(queue: JobQueue, lake: Lake) -> None:
    assert seal_history(lake).seals == 0
    queued(queue)
    assert seal_history(lake).events == 1
    assert seal_history(lake).seals == 0
    queued(queue)
    assert seal_history(lake).events == 1
    assert sealed_events(lake) == all_events()


def test_a_run_is_sealed_by_the_event_that_ended_it_with_its_artifacts(queue: JobQueue, lake: Lake) -> None:
    claim = claimed(queue)
    seal_history(lake)
    queue.complete(success(claim, artifacts=(an_artifact("manifest"), an_artifact("prompt_text"))))
    seal_history(lake)
    first, second = documents(lake)
    assert [event.run for event in first.events] == [None, None]
    (ended,) = second.events
    assert ended.run is not None
    assert ended.run.run_id == claim.run_id
    assert [one.artifact_type for one in ended.run.artifacts] == ["manifest", "prompt_text"]
    assert {one.content_sha256 for one in ended.run.artifacts} == {"ab" * 32}


class OpenTransaction:
    """A transaction on a connection of its own that has said one statement and has not ended."""

    def __init__(self, sql: str, parameters: list[Any]) -> None:
        self._sql, self._parameters = sql, parameters
        self._may_end, self._has_begun = threading.Event(), threading.Event()
        self._rolls_back = False
        self._thread = threading.Thread(target=self._hold)

    @classmethod
    def inserting_an_event(cls, like: Any) -> "OpenTransaction":
        return cls(
            "INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [str(like.job_id), like.at_utc, "reprioritized", like.to_status, like.to_status, "late"],
        )

    def begin(self) -> None:
        self._thread.start()
        assert self._has_begun.wait(30)

    def commit(self) -> None:
        self._may_end.set()
        self._thread.join(30)

    def roll_back(self) -> None:
        self._rolls_back = True
        self.commit()

    def _hold(self) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(self._sql, self._parameters)
                self._has_begun.set()
                self._may_end.wait(60)
                transaction.set_rollback(self._rolls_back)
        finally:
            connection.close()


def test_an_event_that_commits_after_a_later_one_is_not_missed(queue: JobQueue, lake: Lake) -> None:
    job = queued(queue)
    open_transaction = OpenTransaction.inserting_an_event(JobEvent.objects.get(job_id=job.job_id))
    open_transaction.begin()
    queued(queue)  # a higher number, committed before the lower one
    held_back = seal_history(lake)
    assert (held_back.is_settled, held_back.seals) == (False, 0)
    open_transaction.commit()
    assert seal_history(lake).is_settled
    assert sealed_events(lake) == all_events()
    assert JobEvent.objects.filter(actor="late").count() == 1
    assert not list(AuditVerification(lake).found())


def test_nothing_is_missed_while_jobs_are_queued_from_several_connections(queue: JobQueue, lake: Lake) -> None:
    done = threading.Event()

    def enqueue_some() -> None:
        for _ in range(60):
            queued(JobQueue())

    def seal_meanwhile() -> None:
        while not done.is_set():
            seal_history(lake, batch_events=7)
        connection.close()

    sealer = threading.Thread(target=seal_meanwhile)
    sealer.start()
    try:
        at_once(*[enqueue_some] * 3)
    finally:
        done.set()
        sealer.join(60)
    seal_history(lake)
    assert sealed_events(lake) == all_events()


@lacks(Lack.CONCURRENT_APPLOCKS)
def test_two_who_seal_at_once_make_one_chain(queue: JobQueue, lake: Lake) -> None:
    for _ in range(30):
        queued(queue)
    at_once(*[lambda: seal_history(lake, batch_events=3)] * 3)
    assert sealed_events(lake) == all_events()
    assert [document.seal_seq for document in documents(lake)] == list(range(1, 11))


def test_a_lake_that_is_away_leaves_the_seal_to_the_next_one(queue: JobQueue, lake: Lake, tmp_path: Path) -> None:
    queued(queue)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    with pytest.raises(LakeUnavailable):
        seal_history(Lake.open(str(in_the_way)))
    (seal,) = Seal.objects.all()
    assert seal.pending_json is not None
    queued(queue)
    assert not list(AuditVerification(lake).found()), "a seal that is still on its way is no finding"
    assert seal_history(lake).seals == 1
    assert not Seal.objects.filter(pending_json__isnull=False).exists()
    assert sealed_events(lake) == all_events()


def test_a_seal_whose_file_was_written_and_not_marked_is_taken_as_written(
    queue: JobQueue, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(queue)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(JobQueue, "mark_seal_stored", die)
        with pytest.raises(KeyboardInterrupt):
            seal_history(lake)
    queued(queue)
    assert seal_history(lake).seals == 1
    assert sealed_events(lake) == all_events()


def test_a_document_changed_before_the_lake_had_it_is_not_written(
    queue: JobQueue, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(queue)
    with monkeypatch.context() as dying:
        dying.setattr(chain, "_store", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            seal_history(lake)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.seal SET pending_json = REPLACE(pending_json, '\"seal_seq\":1', '\"seal_seq\":2')")
    with pytest.raises(ChainBroken, match="seal 1 in SQL was changed"):
        seal_history(lake)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@hypothesis.given(st.dictionaries(st.sampled_from(["a", "b", "job_id", "at_utc"]), TEXTS | st.booleans() | st.none()))
def test_a_row_is_hashed_as_canonical_json_of_rfc_8785(row: dict[str, Any]) -> None:
    assert canonical(row) == rfc8785.dumps(row)
