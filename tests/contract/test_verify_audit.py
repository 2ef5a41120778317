"""What is meddled with in SQL or in the lake is found, and said exactly once; a purge is no meddling."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from derive.lake import ARTIFACTS, SSE_RESPONSE_STREAM_NAME, Lake, artifact_facts
from derive.models import Artifact, Job, JobEvent, Run, Seal
from derive.queue import JobQueue
from derive.retention import purge
from derive.sealing import comparing, rows
from derive.sealing.chain import seal_history
from derive.sealing.verification import AuditVerification
from derive.sql.tables import Engine, engine_of
from derive.states import ENDED
from tests.contract.scenes import ACTOR, claimed, failure, queued, ref, success

EVENT_COLUMNS = "job_id, at_utc, event, from_status, to_status, actor, db_user"

NAMES = tuple(name for name in ARTIFACTS if name != SSE_RESPONSE_STREAM_NAME)


class Scene:
    """Two jobs with their runs and a file of each kind, in a chain of three seals."""

    def __init__(self, queue: JobQueue, root: Path) -> None:
        self.queue, self.root = queue, root
        self.lake = Lake.open(str(root))
        self.lake.probe()
        self.first = self.answered()
        seal_history(self.lake)
        self.failed = claimed(queue)
        queue.complete(failure(self.failed))
        seal_history(self.lake)
        self.last = self.answered()
        seal_history(self.lake)
        assert Seal.objects.count() == 3

    def answered(self) -> Any:
        claim = claimed(self.queue)
        run = Run.objects.get(run_id=claim.run_id)
        folder = Lake.run_folder(run.started_utc, run.run_id)
        files = self.lake.write_all(folder, {name: f"{name} of {run.run_id}".encode() for name in NAMES})
        self.queue.complete(success(claim, artifacts=artifact_facts(run.run_id, folder, files)))
        return Run.objects.get(run_id=run.run_id)

    def found(self, **options: Any) -> list[tuple[str, str, str]]:
        found = list(AuditVerification(self.lake, **options).found())
        assert all(finding.line().count("\n") == 0 for finding in found)
        return [(one.thing, one.name, one.what.value) for one in found]

    def file(self, run: Any, name: str) -> Path:
        return self.root / Lake.run_folder(run.started_utc, run.run_id) / name

    def seal_file(self, seal_seq: int) -> Path:
        (path,) = self.root.glob(f"seals/*/*/*/{seal_seq:012}.json")
        return path


@pytest.fixture
def scene(empty_queue: None, tmp_path: Path) -> Scene:
    """Not by the fixture ``queue``: these histories do not hold together, which is the point."""
    return Scene(JobQueue(), tmp_path / "lake")


def execute(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, [str(one) if hasattr(one, "hex") else one for one in parameters])


def event_of(run: Any, event: str) -> Any:
    return JobEvent.objects.get(job_id=run.job_id, event=event)


@contextmanager
def altered(table: str, column: str, value: Any, **key: Any) -> Iterator[None]:
    """Write past the procedures within, and put back what was there."""
    ((name, of),) = key.items()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM llm.{table} WHERE {name} = %s", [of])
        before = cursor.fetchone()[0]
    execute(f"UPDATE llm.{table} SET {column} = %s WHERE {name} = %s", value, of)
    yield
    execute(f"UPDATE llm.{table} SET {column} = %s WHERE {name} = %s", before, of)


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_nobody_touched_verifies(scene: Scene) -> None:
    verification = AuditVerification(scene.lake)
    assert list(verification.found()) == []
    summary = verification.summary
    assert (summary.seals, summary.runs, summary.files, summary.unsealed_events) == (3, 3, 2 * len(NAMES), 0)
    assert summary.events == JobEvent.objects.count()
    assert (summary.seal_seq, summary.head) == (3, Seal.objects.get(seal_seq=3).sha256)


def test_a_flipped_byte_of_any_file_is_found(scene: Scene) -> None:
    for name in NAMES:
        path = scene.file(scene.first, name)
        uri, before = str(path.relative_to(scene.root)), path.read_bytes()
        flip_byte(path)
        assert scene.found() == [("file", uri, "changed")]
        assert scene.found(quick=True) == []
        path.write_bytes(before + b" ")
        assert scene.found(quick=True) == [("file", uri, "changed")]
        path.write_bytes(before)


def test_a_file_that_is_gone_or_was_put_in_is_found(scene: Scene) -> None:
    path, extra = scene.file(scene.last, "output.json"), scene.file(scene.first, "extra.txt")
    path.unlink()
    extra.write_text("hello")
    assert scene.found() == [
        ("file", str(extra.relative_to(scene.root)), "inserted"),
        ("file", str(path.relative_to(scene.root)), "missing"),
    ]


EVENT_CHANGES = {
    "actor": "mallory",
    "reason": "because",
    "detail_json": "{}",
    "to_status": "FAILED",
    "db_user": "x",
    "event": "held",
}


def test_a_changed_event_is_found(scene: Scene) -> None:
    event = event_of(scene.last, "completed")
    for column, value in EVENT_CHANGES.items():
        with altered("job_event", column, value, event_seq=event.event_seq):
            assert scene.found() == [("event", str(event.event_seq), "changed")], column


@pytest.mark.parametrize("name", ["enqueued", "claimed", "completed"])
def test_a_removed_event_is_found(scene: Scene, name: str) -> None:
    event = event_of(scene.last, name)
    execute("DELETE FROM llm.job_event WHERE event_seq = %s", event.event_seq)
    assert scene.found() == [("event", str(event.event_seq), "missing")]


PUT_UNDER_A_NUMBER = {
    Engine.POSTGRESQL: (
        "INSERT INTO llm.job_event (event_seq, {columns}) OVERRIDING SYSTEM VALUE"
        " SELECT %s, {columns} FROM llm.job_event WHERE job_id = %s AND event = 'claimed'"
    ),
    Engine.SQLSERVER: (
        "SET IDENTITY_INSERT llm.job_event ON;"
        " INSERT INTO llm.job_event (event_seq, {columns})"
        " SELECT %s, {columns} FROM llm.job_event WHERE job_id = %s AND event = 'claimed';"
        " SET IDENTITY_INSERT llm.job_event OFF;"
    ),
}
"""An owner's way past the identity, in the words of each engine."""


@pytest.mark.parametrize("place", [0, "gap"])
def test_an_event_put_in_under_a_number_that_is_sealed_over_is_found(scene: Scene, place: int | str) -> None:
    event_seq = 0
    if place == "gap":
        # Rolled back: a number that nobody has, sealed over afterwards.
        with transaction.atomic():
            execute(
                f"INSERT INTO llm.job_event ({EVENT_COLUMNS}) SELECT {EVENT_COLUMNS} FROM llm.job_event"
                " WHERE job_id = %s AND event = 'claimed'",
                scene.failed.job_id,
            )
            event_seq = JobEvent.objects.latest("event_seq").event_seq
            transaction.set_rollback(True)
        queued(scene.queue)
        seal_history(scene.lake)
    execute(
        PUT_UNDER_A_NUMBER[engine_of(connection)].format(columns=EVENT_COLUMNS),
        event_seq,
        scene.failed.job_id,
    )
    assert scene.found() == [("event", str(event_seq), "inserted")]


RUN_CHANGES = {
    "output_json": '{"facts": [1]}',
    "model_name": "another",
    "error": "",
    "total_ms": 1,
    "counted": False,
    "attempt": 7,
    "worker_id": "w",
    "prompt_tokens": 0,
}


def test_a_changed_run_is_found(scene: Scene) -> None:
    for column, value in RUN_CHANGES.items():
        with altered("run", column, value, run_id=scene.last.run_id):
            assert scene.found() == [("run", str(scene.last.run_id), "changed")], column


def test_a_removed_run_is_found(scene: Scene) -> None:
    execute("DELETE FROM llm.run WHERE run_id = %s", scene.failed.run_id)
    assert scene.found() == [("run", str(scene.failed.run_id), "missing")]
    execute("DELETE FROM llm.artifact WHERE run_id = %s", scene.last.run_id)
    execute("DELETE FROM llm.run WHERE run_id = %s", scene.last.run_id)
    assert ("run", str(scene.last.run_id), "missing") in scene.found()


@pytest.mark.parametrize("status", ["FAILED", "RUNNING"])
def test_a_run_put_in_is_found(scene: Scene, status: str) -> None:
    run_id = uuid4()
    execute(
        "INSERT INTO llm.run (run_id, job_id, attempt, started_utc, completed_utc, lease_until_utc, status, worker_id)"
        " SELECT %s, job_id, 2, started_utc, CASE WHEN %s = 'RUNNING' THEN NULL ELSE completed_utc END,"
        " lease_until_utc, %s, worker_id FROM llm.run WHERE run_id = %s",
        *(run_id, status, status, scene.failed.run_id),
    )
    assert scene.found() == [("run", str(run_id), "inserted")]


def test_a_changed_artifact_row_is_found(scene: Scene) -> None:
    row = Artifact.objects.get(run_id=scene.first.run_id, artifact_type="manifest")
    changes = {"content_sha256": "cd" * 32, "byte_count": 1, "lake_uri": "elsewhere/x", "media_type": "text/html"}
    for column, value in changes.items():
        with altered("artifact", column, value, artifact_id=row.artifact_id):
            assert scene.found() == [("artifact", f"{scene.first.run_id}/manifest", "changed")], column


def test_an_artifact_row_removed_or_put_in_is_found(scene: Scene) -> None:
    row = Artifact.objects.get(run_id=scene.first.run_id, artifact_type="manifest")
    execute("DELETE FROM llm.artifact WHERE artifact_id = %s", row.artifact_id)
    assert scene.found() == [("artifact", f"{scene.first.run_id}/manifest", "missing")]
    execute(
        "INSERT INTO llm.artifact (run_id, artifact_type, media_type, content_sha256, byte_count, lake_uri)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        *(scene.last.run_id, "extra", "text/plain", "ab" * 32, 1, "x/y"),
    )
    assert scene.found()[1:] == [("artifact", f"{scene.last.run_id}/extra", "inserted")]


def test_a_job_that_is_not_as_it_was_queued_is_found(scene: Scene) -> None:
    changes = {"input_json": '{"entity_id": "leia"}', "created_by": "x", "max_attempts": 9, "entity_id": ""}
    for column, value in changes.items():
        with altered("job", column, value, job_id=scene.first.job_id):
            assert scene.found() == [("job", str(scene.first.job_id), "changed")], column


def test_a_job_moved_past_the_procedures_is_found(scene: Scene) -> None:
    execute("UPDATE llm.job SET status = 'CANCELLED' WHERE job_id = %s", scene.failed.job_id)
    assert scene.found() == [("job", str(scene.failed.job_id), "changed")]


def test_a_job_put_in_is_found(scene: Scene) -> None:
    job_id = uuid4()
    execute(
        "INSERT INTO llm.job (job_id, created_by, status, interrogation_key, input_json)"
        " SELECT %s, created_by, 'NEW', interrogation_key, input_json FROM llm.job WHERE job_id = %s",
        *(job_id, scene.failed.job_id),
    )
    assert scene.found() == [("job", str(job_id), "inserted")]


SEAL_CHANGES = {
    "sha256": "ab" * 32,
    "previous_sha256": "cd" * 32,
    "event_count": 999,
    "first_event_seq": 0,
    "created_utc": "2020-01-01T00:00:00",
}


def test_a_changed_seal_row_is_found(scene: Scene) -> None:
    for column, value in SEAL_CHANGES.items():
        for seal_seq in (1, 2, 3):
            with altered("seal", column, value, seal_seq=seal_seq):
                assert scene.found() == [("seal", str(seal_seq), "changed")], (column, seal_seq)


@pytest.mark.parametrize("seal_seq", [1, 2, 3])
def test_a_seal_removed_from_sql_from_the_lake_or_from_both_is_found(scene: Scene, seal_seq: int) -> None:
    noted = {3: Seal.objects.get(seal_seq=3).sha256}
    scene.seal_file(seal_seq).rename(scene.root / "aside")
    assert scene.found() == [("seal", str(seal_seq), "missing")]
    execute("DELETE FROM llm.seal WHERE seal_seq = %s", seal_seq)
    # The last one of a chain is missed by nobody, unless its head was noted.
    found = scene.found(noted=noted)
    assert ("seal", str(seal_seq), "missing") in found
    assert {thing for thing, _, _ in found} <= {"seal", "event"}
    (scene.root / "aside").rename(scene.root / f"seals/{seal_seq}")


def test_a_seal_row_alone_removed_is_found(scene: Scene) -> None:
    execute("DELETE FROM llm.seal WHERE seal_seq = 3")
    assert scene.found() == [("seal", "3", "missing")]


def test_a_changed_document_of_a_seal_is_found(scene: Scene) -> None:
    for seal_seq in (1, 2, 3):
        path = scene.seal_file(seal_seq)
        text = path.read_text()
        other_head = json.dumps(json.loads(text) | {"previous_sha256": "ef" * 32}, separators=(",", ":"))
        flipped = text.replace('"sha256":"', '"sha256":"x', 1)
        for changed in (other_head, flipped, "[" + text[1:], ""):
            path.write_text(changed)
            assert scene.found() == [("seal", str(seal_seq), "changed")], changed[:80]
        path.write_text(text)


def test_a_second_document_of_a_seal_is_found(scene: Scene) -> None:
    other = scene.root / "seals/2099/01/01"
    other.mkdir(parents=True)
    (other / "000000000002.json").write_text("{}")
    assert scene.found() == [("seal", "2", "inserted")]


def test_a_chain_made_anew_in_sql_and_lake_is_found_by_a_head_noted_elsewhere(scene: Scene) -> None:
    noted = {2: Seal.objects.get(seal_seq=2).sha256}
    execute("UPDATE llm.job_event SET reason = 'forged' WHERE job_id = %s", scene.first.job_id)
    execute("DELETE FROM llm.seal")
    for path in scene.root.glob("seals/*/*/*/*.json"):
        path.unlink()
    seal_history(scene.lake, batch_events=3)
    assert scene.found() == []
    assert ("seal", "2", "changed") in scene.found(noted=noted)


def test_after_a_purge_the_rest_verifies_and_what_was_purged_is_counted(scene: Scene) -> None:
    scene.queue.set_hold([ref(scene.failed)], actor=ACTOR, hold=True)
    purge(ages=dict.fromkeys(ENDED, timedelta(0)), actor=ACTOR, lake=scene.lake)
    assert Job.objects.count() == 1
    verification = AuditVerification(scene.lake)
    assert list(verification.found()) == []
    assert (verification.summary.purged_jobs, verification.summary.runs) == (2, 1)


def test_a_purge_forged_by_hand_is_found(scene: Scene) -> None:
    job_id = scene.failed.job_id
    events = sorted(JobEvent.objects.filter(job_id=job_id).values_list("event_seq", flat=True))
    for table in ("run", "job_event", "job"):
        execute(f"DELETE FROM llm.{table} WHERE job_id = %s", job_id)
    assert scene.found() == [
        *(("event", str(event_seq), "missing") for event_seq in events),
        ("job", str(job_id), "missing"),
        ("run", str(scene.failed.run_id), "missing"),
    ]


def test_a_tombstone_that_is_removed_is_missed_with_all_it_explained(scene: Scene) -> None:
    scene.queue.set_hold([ref(scene.failed)], actor=ACTOR, hold=True)
    purge(ages=dict.fromkeys(ENDED, timedelta(0)), actor=ACTOR, lake=scene.lake)
    tombstone = event_of(scene.first, "purged")
    execute("DELETE FROM llm.job_event WHERE event_seq = %s", tombstone.event_seq)
    found = scene.found()
    assert ("event", str(tombstone.event_seq), "missing") in found
    assert ("job", str(scene.first.job_id), "missing") in found


def test_a_purge_does_not_explain_what_happened_after_it(scene: Scene) -> None:
    """The job's id may be used again; what that job then leaves is sealed, and missed."""
    job_id = scene.failed.job_id
    purge(ages=dict.fromkeys(ENDED, timedelta(0)), actor=ACTOR, lake=scene.lake)
    queued(scene.queue, job_id=job_id)
    seal_history(scene.lake)
    assert scene.found() == []
    again = JobEvent.objects.filter(job_id=job_id).latest("event_seq").event_seq
    execute("DELETE FROM llm.job_event WHERE event_seq = %s", again)
    assert scene.found() == [("event", str(again), "missing")]


def test_a_job_purged_while_it_is_verified_is_no_finding(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows.job_hashes
    purged: list[Any] = []

    def purged_first(job_ids: Any) -> Any:
        if not purged:
            purged.append(purge(ages=dict.fromkeys(ENDED, timedelta(0)), actor=ACTOR, lake=scene.lake))
        return before(job_ids)

    monkeypatch.setattr(comparing, "job_hashes", purged_first)
    assert scene.found() == []
    assert purged[0].job_count == 3
