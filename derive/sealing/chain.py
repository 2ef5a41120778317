"""Seals the history batch by batch: each seal first into SQL with its document, then into the lake.

After an interruption the next call continues: a document not yet in the lake waits in SQL, and no further seal starts
before it is stored. Concurrent calls are safe: SQL accepts only one seal of each number.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from derive.deadline import NO_DEADLINE, Deadline
from derive.errors import HolocronError, LakeConflict
from derive.lake import Lake
from derive.models import Seal
from derive.queue import JobQueue
from derive.sealing.document import (
    NO_HEAD,
    SealDocument,
    SealedArtifact,
    SealedEvent,
    SealedRun,
    head_of,
    seal_place,
)
from derive.sealing.rows import (
    ARTIFACT_COLUMNS,
    EVENT_COLUMNS,
    job_hashes,
    read_artifacts,
    read_events,
    row_sha256,
    run_hashes,
    utc_text,
)
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import JobEventName, JobStatus

SEAL_EVENTS = 1_000
"""Events per seal: a document of some hundred kilobytes."""
MAX_REFUSED = 20


class ChainBroken(HolocronError):
    """The seals in SQL and in the lake do not form one chain; run verify_audit for details."""


@dataclass(frozen=True, slots=True)
class SealReport:
    """The result of a sealing."""

    seals: int
    events: int
    last_seal_seq: int
    head: str
    is_settled: bool
    """False if an open transaction delayed the rest."""
    is_finished: bool
    """False if the deadline stopped it; the next call continues."""
    settled_utc: datetime

    @property
    def head_line(self) -> str:
        """The head to store elsewhere: the last seal's number and its SHA-256."""
        return f"{self.last_seal_seq}:{self.head}"


def seal_history(lake: Lake, *, batch_events: int = SEAL_EVENTS, deadline: Deadline = NO_DEADLINE) -> SealReport:
    """Seal every event that no open transaction can precede; stops after a seal once the deadline is over.

    Raises ChainBroken, LakeUnavailable (the next call completes the seal) and QueueError.
    """
    queue = JobQueue()
    horizon = queue.seal_horizon()
    seals = events = refused = 0
    is_finished = True
    while True:
        last = _last_seal()
        if last is not None and last.pending_json is not None:
            _store(queue, lake, last)
            continue
        after = last.last_event_seq if last else 0
        batch = read_events(after=after, up_to=horizon.event_seq or 0, limit=batch_events)
        if not batch:
            break
        if seals and deadline.is_over:
            is_finished = False
            break
        document = _next_document(last, batch)
        why = _record(queue, document)
        if why is None:
            seals, events, refused = seals + 1, events + len(batch), 0
        elif (refused := refused + 1) > MAX_REFUSED:
            # A concurrent sealer wins a few times in a row at most.
            raise ChainBroken(f"seal {document.seal_seq} was refused, again and again: {why}")
    return SealReport(
        seals=seals,
        events=events,
        last_seal_seq=last.seal_seq if last else 0,
        head=last.sha256 if last else NO_HEAD,
        is_settled=horizon.event_seq is not None or not read_events(after=after, up_to=2**62, limit=1),
        is_finished=is_finished,
        settled_utc=horizon.at_utc,
    )


def _last_seal() -> Any:
    return reading(lambda: Seal.objects.order_by("-seal_seq").first())


def _next_document(last: Any, batch: list[tuple[Any, ...]]) -> SealDocument:
    return SealDocument(
        seal_seq=last.seal_seq + 1 if last else 1,
        previous_sha256=last.sha256 if last else NO_HEAD,
        created_utc=utc_text(database_now()),
        events=_sealed_events(batch),
    )


def _record(queue: JobQueue, document: SealDocument) -> str | None:
    data = document.encode()
    return queue.record_seal(
        seal_seq=document.seal_seq,
        first_event_seq=document.first_event_seq,
        last_event_seq=document.last_event_seq,
        event_count=len(document.events),
        previous_sha256=document.previous_sha256,
        sha256=head_of(data),
        created_utc=datetime.fromisoformat(document.created_utc),
        seal_json=data.decode(),
    )


def _store(queue: JobQueue, lake: Lake, seal: Any) -> None:
    """Write a seal's document to the lake, then clear it in SQL."""
    data = seal.pending_json.encode()
    document = SealDocument.parse(data)
    if document is None or head_of(data) != seal.sha256:
        raise ChainBroken(f"the document of seal {seal.seal_seq} in SQL was changed before the lake had it")
    folder, name = seal_place(seal.created_utc, seal.seal_seq)
    try:
        lake.write(folder, name, data)
    except LakeConflict as error:
        raise ChainBroken(f"the lake has another seal {seal.seal_seq} in {folder}/{name}: run verify_audit") from error
    queue.mark_seal_stored(seal.seal_seq, seal.sha256)


def _sealed_events(batch: list[tuple[Any, ...]]) -> tuple[SealedEvent, ...]:
    rows = [dict(zip(EVENT_COLUMNS, event, strict=True)) for event in batch]
    runs = _sealed_runs([row["run_id"] for row in rows if ends_a_run(row)])
    jobs = job_hashes([row["job_id"] for row in rows if row["event"] == JobEventName.ENQUEUED])
    return tuple(
        SealedEvent(
            event_seq=row["event_seq"],
            job_id=row["job_id"],
            sha256=row_sha256(EVENT_COLUMNS, event),
            job_sha256=jobs.get(row["job_id"]) if row["event"] == JobEventName.ENQUEUED else None,
            run=runs[row["run_id"]] if ends_a_run(row) else None,
        )
        for row, event in zip(rows, batch, strict=True)
    )


def ends_a_run(event: dict[str, Any]) -> bool:
    """Whether an event ended a run: each run has exactly one, in the transaction that ended it."""
    return (
        event["run_id"] is not None
        and event["from_status"] == JobStatus.RUNNING
        and event["to_status"] != JobStatus.RUNNING
    )


def _sealed_runs(run_ids: list[UUID]) -> dict[UUID, SealedRun]:
    hashes, artifacts = run_hashes(run_ids), read_artifacts(run_ids)
    return {
        run_id: SealedRun(
            run_id=run_id,
            row_sha256=hashes.get(run_id),
            artifacts=tuple(sealed_artifact(row) for row in artifacts.get(run_id, [])),
        )
        for run_id in run_ids
    }


def sealed_artifact(row: tuple[Any, ...]) -> SealedArtifact:
    """Return what a seal records of an artifact row."""
    return SealedArtifact(
        artifact_type=row[ARTIFACT_COLUMNS.index("artifact_type")],
        row_sha256=row_sha256(ARTIFACT_COLUMNS, row),
        content_sha256=row[ARTIFACT_COLUMNS.index("content_sha256")],
    )
