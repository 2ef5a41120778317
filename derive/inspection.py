"""Read-only views of the queue: a list of jobs, one job's history, counts by state, models; all bounded."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import models

from derive.models import Artifact, Job, JobEvent, LanguageModel, Run
from derive.states import JobStatus

COUNT_CAP = 100_000
"""States are counted up to here: counting millions of rows is slow and adds nothing."""
STORY_CAP = 1_000
"""The latest runs, events and artifacts shown per job."""
MODEL_SETTINGS = (
    "model",
    "paused_utc",
    "paused_by",
    "pause_reason",
    "max_running",
    "max_starts_per_minute",
    "num_ctx",
    "num_predict",
    "load_ms",
)
LISTED = (
    "job_id",
    "status",
    "priority",
    "interrogation_key",
    "entity_type",
    "entity_id",
    "attempt_count",
    "max_attempts",
    "created_utc",
    "available_utc",
    "finished_utc",
    "locked_by",
    "error_kind",
    "last_error",
    "part_no",
    "part_count",
)

Row = dict[str, Any]


@dataclass(frozen=True)
class JobHistory:
    """All rows about one job, each a dict by column name, in chronological order."""

    job: Row
    runs: tuple[Row, ...]
    events: tuple[Row, ...]
    artifacts: tuple[Row, ...]
    parts: tuple[Row, ...] = ()
    """Its parts by state, if it has any."""


@dataclass(frozen=True)
class StateCount:
    """The number of jobs in a state; at least that many if ``capped``."""

    status: JobStatus
    count: int
    capped: bool


def list_jobs(*, status: JobStatus | None, limit: int, part_of: UUID | None = None) -> tuple[Row, ...]:
    """Return the ``LISTED`` columns of the latest jobs, newest first: whole ones, or the parts of one."""
    jobs = Job.objects.filter(parent_job_id=part_of)
    if status is not None:
        jobs = jobs.filter(status=status.value)
    return tuple(jobs.order_by("-job_seq").values(*LISTED)[:limit])


def read_job_history(job_id: UUID) -> JobHistory | None:
    """Return a job with its runs, events and artifacts; None if it does not exist."""
    job = Job.objects.filter(job_id=job_id).first()
    if job is None:
        return None
    runs = _latest(Run.objects.filter(job_id=job_id), "attempt")
    return JobHistory(
        job=_row(job),
        runs=runs,
        events=_latest(JobEvent.objects.filter(job_id=job_id), "event_seq"),
        artifacts=_latest(Artifact.objects.filter(run_id__in=[run["run_id"] for run in runs]), "artifact_seq"),
        parts=_parts(job_id),
    )


def count_states() -> tuple[StateCount, ...]:
    """Return how many jobs are in each state, counted up to a cap."""
    return tuple(_count(status) for status in JobStatus)


def age_in_words(moment: datetime, *, now: datetime | None = None) -> str:
    """Return how long ago a time was, in its largest unit: ``42s``, ``5m``, ``3h``, ``12d``; later: ``in 5m``."""
    seconds = int(((now or datetime.now(UTC)) - moment).total_seconds())
    prefix, seconds = ("in ", -seconds) if seconds < 0 else ("", seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{prefix}{seconds // size}{unit}"
    return f"{prefix}{seconds}s"


def _parts(job_id: UUID) -> tuple[Row, ...]:
    parts = Job.objects.filter(parent_job_id=job_id).order_by()
    return tuple(parts.values("status").annotate(jobs=models.Count("status")).order_by("status"))


def _count(status: JobStatus) -> StateCount:
    counted = Job.objects.filter(status=status.value).order_by()[: COUNT_CAP + 1].count()
    return StateCount(status, min(counted, COUNT_CAP), capped=counted > COUNT_CAP)


def _latest(rows: models.QuerySet[Any], order: str) -> tuple[Row, ...]:
    return tuple(reversed(_rows(rows.order_by(f"-{order}")[:STORY_CAP])))


def _rows(rows: Iterable[models.Model]) -> list[Row]:
    return [_row(row) for row in rows]


def _row(row: models.Model) -> Row:
    return {field.attname: getattr(row, field.attname) for field in row._meta.fields}  # noqa: SLF001  Django's public API


def list_models() -> tuple[Row, ...]:
    """Return each model that has waiting jobs or limits, by name, with its jobs by state.

    Jobs that name no model come last, as model None. All waiting jobs are counted.
    """
    waiting = (JobStatus.NEW, JobStatus.SCHEDULED, JobStatus.RUNNING)
    counts = (
        Job.objects.filter(status__in=[status.value for status in waiting])
        .order_by()
        .values_list("model_hint", "status")
        .annotate(jobs=models.Count("job_seq"))
    )
    rows: dict[str | None, Row] = {}
    unset: Row = dict.fromkeys(MODEL_SETTINGS)
    for row in LanguageModel.objects.values(*MODEL_SETTINGS):
        rows[row["model"]] = row | dict.fromkeys(("new", "scheduled", "running"), 0)
    for model, status, jobs in counts:
        row = rows.setdefault(model, {**unset, "model": model, "new": 0, "scheduled": 0, "running": 0})
        row[status.lower()] = jobs
    return tuple(rows[model] for model in sorted(rows, key=lambda model: (model is None, model or "")))
