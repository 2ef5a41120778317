"""The whole story of a job: its row, its events, its runs, their artifacts."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from tests.chaos.history import History


def story_of(history: History, job_id: UUID) -> Iterator[str]:
    """Yield it line by line."""
    job = history.jobs.get(job_id)
    yield f"job {job_id}: {job or 'no row'}"
    for event in history.events_of.get(job_id, []):
        yield (
            f"  event {event.event_seq} {_time(event.at_utc)} {event.event} {event.from_status} -> {event.to_status}"
            f" run={event.run_id} by {event.actor} reason={event.reason} {event.detail_json or ''}"
        )
    for run in history.runs_of.get(job_id, []):
        yield (
            f"  run {run.attempt} {run.run_id} {run.status} counted={run.counted} worker={run.worker_id}"
            f" started {_time(run.started_utc)} lease until {_time(run.lease_until_utc)}"
            f" completed {_time(run.completed_utc)} {run.error_kind or ''} {run.error or ''}"
        )
        for row in history.artifacts_of.get(run.run_id, []):
            yield f"    {row.artifact_type} {row.byte_count} bytes {row.content_sha256} {row.lake_uri}"


def _time(moment: datetime | None) -> str:
    return moment.strftime("%H:%M:%S.%f") if moment else "-"
