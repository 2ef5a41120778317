"""Finds jobs and runs that no event explains: inserted or changed without the procedures."""

from collections.abc import Iterator, Set
from itertools import chain
from typing import Any
from uuid import UUID

from derive.models import Job, JobEvent, Run
from derive.sealing.chain import ends_a_run
from derive.sealing.findings import AuditFinding, FindingKind
from derive.sql.reading import reading
from derive.states import JobEventName, RunStatus

PAGE_ROWS = 200
_COLUMNS = ("event_seq", "job_id", "run_id", "event", "from_status", "to_status")


def unexplained(known: Set[UUID]) -> Iterator[AuditFinding]:
    """Yield jobs not queued or left in their state by an event, and runs not started or ended by one.

    Skips jobs already ``known`` to be tampered with, whose consequences are reported. Rows that change during the check
    are checked again and not reported. Raises QueueError.
    """
    for finding in chain(_walk(Job, "job_seq", _job_faults), _walk(Run, "run_seq", _run_faults)):
        if finding.job_id not in known:
            yield finding


def _walk(model: Any, sequence: str, faults_of: Any) -> Iterator[AuditFinding]:
    after = 0
    while True:
        rows = model.objects.filter(**{f"{sequence}__gt": after}).order_by(sequence)
        numbers = reading(lambda rows=rows: list(rows.values_list(sequence, flat=True)[:PAGE_ROWS]))  # type: ignore[misc]  # bound early
        if not numbers:
            return
        suspects = faults_of(numbers)
        if suspects:
            # Rows and events are two queries: rows that moved in between now match.
            again = faults_of(list(suspects))
            yield from (finding for number, finding in again.items() if suspects.get(number) == finding)
        after = numbers[-1]


def _job_faults(numbers: list[int]) -> dict[int, AuditFinding]:
    jobs = Job.objects.filter(job_seq__in=numbers).order_by("job_seq")
    rows = reading(lambda: list(jobs.values_list("job_seq", "job_id", "status")))
    events = _events_of({job_id for _, job_id, _ in rows})
    faults: dict[int, AuditFinding] = {}
    for job_seq, job_id, status in rows:
        recorded = events.get(job_id, [])
        if not any(event["event"] == JobEventName.ENQUEUED for event in recorded):
            faults[job_seq] = AuditFinding(
                "job", str(job_id), FindingKind.INSERTED, "no event records that it was queued", job_id
            )
        elif recorded[-1]["to_status"] != status:
            why = f"its status is {status}, its last event left it {recorded[-1]['to_status']}"
            faults[job_seq] = AuditFinding("job", str(job_id), FindingKind.CHANGED, why, job_id)
    return faults


def _run_faults(numbers: list[int]) -> dict[int, AuditFinding]:
    runs = Run.objects.filter(run_seq__in=numbers).order_by("run_seq")
    rows = reading(lambda: list(runs.values_list("run_seq", "run_id", "job_id", "status")))
    events = _events_of({job_id for _, _, job_id, _ in rows})
    faults: dict[int, AuditFinding] = {}
    for run_seq, run_id, job_id, status in rows:
        recorded = [event for event in events.get(job_id, []) if event["run_id"] == run_id]
        if not any(event["event"] == JobEventName.CLAIMED for event in recorded):
            why = f"no event of job {job_id} tells of its claim"
            faults[run_seq] = AuditFinding("run", str(run_id), FindingKind.INSERTED, why, job_id)
        elif (status == RunStatus.RUNNING) == any(map(ends_a_run, recorded)):
            why = f"its status is {status}, its events differ"
            faults[run_seq] = AuditFinding("run", str(run_id), FindingKind.CHANGED, why, job_id)
    return faults


def _events_of(job_ids: set[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    events = JobEvent.objects.filter(job_id__in=job_ids).order_by("event_seq").values(*_COLUMNS)
    found: dict[UUID, list[dict[str, Any]]] = {}
    for event in reading(lambda: list(events)):
        found.setdefault(event["job_id"], []).append(event)
    return found
