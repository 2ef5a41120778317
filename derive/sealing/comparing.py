"""Compares a seal's document with SQL and the lake: events, jobs, runs, artifact rows and files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from derive.lake import Lake
from derive.models import JobEvent
from derive.sealing.document import SealDocument, SealedEvent, SealedRun
from derive.sealing.files import check_files
from derive.sealing.findings import AuditFinding, AuditSummary, FindingKind
from derive.sealing.rows import (
    ARTIFACT_COLUMNS,
    EVENT_COLUMNS,
    batches,
    job_hashes,
    read_artifacts,
    read_events,
    row_sha256,
    run_hashes,
)
from derive.sql.reading import reading
from derive.states import JobEventName

PAGE_EVENTS = 1_000
BATCH_RUNS = 50
_BATCH_IDS = 500
_TYPE = ARTIFACT_COLUMNS.index("artifact_type")
_JOB, _EVENT = EVENT_COLUMNS.index("job_id"), EVENT_COLUMNS.index("event")


class Tombstones:
    """Purges that explain missing rows: everything of a job older than its ``purged`` event."""

    def __init__(self, job_ids: Iterable[UUID]) -> None:
        """Read the purges of these jobs."""
        self.last_purge: dict[UUID, int] = {}
        for some in batches(set(job_ids), _BATCH_IDS):
            events = JobEvent.objects.filter(job_id__in=some, event=JobEventName.PURGED.value)
            rows = reading(lambda events=events: list(events.values_list("job_id", "event_seq")))  # type: ignore[misc]  # bound early
            for job_id, event_seq in rows:
                self.last_purge[job_id] = max(event_seq, self.last_purge.get(job_id, 0))

    def explain(self, event: SealedEvent) -> bool:
        """Whether this event's job was purged after it."""
        return self.last_purge.get(event.job_id, 0) > event.event_seq


@dataclass(frozen=True)
class Comparison:
    """Compares documents with SQL and a lake; a quick comparison reads no files."""

    lake: Lake
    summary: AuditSummary
    quick: bool

    def compare(self, document: SealDocument, *, after: int) -> Iterator[AuditFinding]:
        """Yield differences from the sealed document; ``after`` is the last event of the previous seal.

        Raises LakeUnavailable, QueueError.
        """
        self.summary.events += len(document.events)
        seen: set[int] = set()
        yield from _compare_events(document, after, seen)
        missing = [event for event in document.events if event.event_seq not in seen]
        jobs = [event for event in document.events if event.job_sha256 is not None]
        runs = [event for event in document.events if event.run is not None]
        found_jobs = job_hashes(event.job_id for event in jobs)
        found_runs = run_hashes(event.run.run_id for event in runs if event.run is not None)
        lost_jobs = [event for event in jobs if event.job_id not in found_jobs]
        changed_jobs = [event for event in jobs if found_jobs.get(event.job_id, event.job_sha256) != event.job_sha256]
        lost_runs = [event for event in runs if event.run is not None and event.run.run_id not in found_runs]
        # Read after the rows, so that rows purged in between are explained.
        tombstones = Tombstones(event.job_id for event in (*missing, *lost_jobs, *changed_jobs, *lost_runs))
        self.summary.purged_jobs += sum(map(tombstones.explain, (*lost_jobs, *changed_jobs)))
        yield from _lost(missing, lost_jobs, lost_runs, tombstones)
        for event in changed_jobs:
            # A purged job's id may be reused.
            if not tombstones.explain(event):
                yield AuditFinding(
                    "job", str(event.job_id), FindingKind.CHANGED, "is not as it was queued", event.job_id
                )
        yield from self._compare_runs(runs, found_runs)

    def _compare_runs(self, events: list[SealedEvent], found: dict[UUID, str]) -> Iterator[AuditFinding]:
        for some in batches(events, BATCH_RUNS):
            artifacts = read_artifacts(event.run.run_id for event in some if event.run is not None)
            for event in some:
                run = event.run
                if run is None or run.run_id not in found:
                    continue
                self.summary.runs += 1
                if found[run.run_id] != run.row_sha256:
                    why = "is not as it was sealed" if run.row_sha256 else "was not there when its end was sealed"
                    yield AuditFinding("run", str(run.run_id), FindingKind.CHANGED, why, event.job_id)
                yield from self._compare_artifacts(run, artifacts.get(run.run_id, []))

    def _compare_artifacts(self, run: SealedRun, found: list[tuple[Any, ...]]) -> Iterator[AuditFinding]:
        rows = {row[_TYPE]: row for row in found}
        whole: dict[str, tuple[Any, ...]] = {}
        for artifact in run.artifacts:
            name, row = f"{run.run_id}/{artifact.artifact_type}", rows.pop(artifact.artifact_type, None)
            if row is None:
                yield AuditFinding("artifact", name, FindingKind.MISSING, "its row is gone")
            elif row_sha256(ARTIFACT_COLUMNS, row) != artifact.row_sha256:
                yield AuditFinding("artifact", name, FindingKind.CHANGED, "its row is not as it was sealed")
            else:
                whole[artifact.artifact_type] = row
        for artifact_type in rows:
            yield AuditFinding(
                "artifact", f"{run.run_id}/{artifact_type}", FindingKind.INSERTED, "its row was not sealed"
            )
        yield from check_files(run, whole, self.lake, self.summary, quick=self.quick)


def _compare_events(document: SealDocument, after: int, seen: set[int]) -> Iterator[AuditFinding]:
    """Yield events that differ or were not sealed; ``seen`` collects the numbers of existing ones."""
    sealed = {event.event_seq: event for event in document.events}
    for row in _events_between(after, document.last_event_seq):
        event_seq, job_id = row[0], row[_JOB]
        event = sealed.get(event_seq)
        if event is None:
            yield AuditFinding("event", str(event_seq), FindingKind.INSERTED, f"{row[_EVENT]} of job {job_id}", job_id)
            continue
        seen.add(event_seq)
        if row_sha256(EVENT_COLUMNS, row) != event.sha256:
            why = f"is not as it was sealed (job {event.job_id})"
            yield AuditFinding("event", str(event_seq), FindingKind.CHANGED, why, event.job_id)


def _events_between(after: int, last: int) -> Iterator[tuple[Any, ...]]:
    while rows := read_events(after=after, up_to=last, limit=PAGE_EVENTS):
        yield from rows
        after = rows[-1][0]


def _lost(
    events: list[SealedEvent], jobs: list[SealedEvent], runs: list[SealedEvent], tombstones: Tombstones
) -> Iterator[AuditFinding]:
    """Yield missing rows that no purge explains."""
    for event in events:
        if not tombstones.explain(event):
            yield AuditFinding(
                "event", str(event.event_seq), FindingKind.MISSING, f"of job {event.job_id}", event.job_id
            )
    for event in jobs:
        if not tombstones.explain(event):
            why = f"was queued by event {event.event_seq}"
            yield AuditFinding("job", str(event.job_id), FindingKind.MISSING, why, event.job_id)
    for event in runs:
        if event.run is not None and not tombstones.explain(event):
            yield AuditFinding(
                "run", str(event.run.run_id), FindingKind.MISSING, f"of job {event.job_id}", event.job_id
            )
