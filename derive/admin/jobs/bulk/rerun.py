"""Run again as new: for each ended job, queue a new one that repeats its last run."""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from derive.contracts import JobChange, JobInput, JobRef
from derive.models import Job, Run
from derive.queue import JobQueue
from derive.states import ENDED, STATE_NAMES, JobStatus, RunStatus

logger = logging.getLogger(__name__)

CARRIED = (
    "interrogation_key",
    "input_json",
    "evidence_ref_json",
    "priority",
    "max_attempts",
    "entity_type",
    "entity_id",
)


def run_again(queue: JobQueue, refs: Sequence[JobRef], *, actor: str, reason: str, form_id: UUID) -> list[JobChange]:
    """Queue a repetition of each job. Reports a job as changed if one was queued, otherwise why not.

    The same form sent twice by the same actor queues each repetition once.
    """
    ids = [ref.job_id for ref in refs]
    jobs = {job.job_id: job for job in Job.objects.filter(job_id__in=ids)}
    runs = _repeatable_runs(ids)
    answers, wanted = [], []
    for ref in refs:
        job = jobs.get(ref.job_id)
        why = _why_not(ref, job, runs.get(ref.job_id))
        if why is None and job is not None:
            run = runs[ref.job_id]
            wanted.append(_repetition(job, run, job_id=uuid5(form_id, f"{actor} {run.run_id}")))
        status = JobStatus(job.status) if job else None
        answers.append(JobChange(job_id=ref.job_id, changed=why is None, from_status=status, to_status=status, why=why))
    if wanted:
        queued = queue.enqueue_many(wanted, actor=actor, reason=reason)
        logger.info("jobs.repeated", extra={"actor": actor, "jobs": len(queued)})
    return answers


def _repeatable_runs(ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Return the run of each job to repeat: the one that split it or that succeeded, otherwise the last."""
    found: dict[UUID, Any] = {}
    rows = Run.objects.filter(job_id__in=ids).only(
        "run_id", "job_id", "attempt", "status", "model_name", "options_json"
    )
    for run in rows.order_by("job_id", "attempt"):
        before = found.get(run.job_id)
        if before is None or before.status not in {RunStatus.SUCCEEDED, RunStatus.SPLIT}:
            found[run.job_id] = run
    return found


def _why_not(ref: JobRef, job: Any, run: Any) -> str | None:
    if job is None:
        return "no such job"
    if ref.expected_status and job.status != ref.expected_status:
        return f"the job is {STATE_NAMES[job.status]}, not {STATE_NAMES[ref.expected_status]}"
    if job.status not in ENDED:
        return f"the job is {STATE_NAMES[job.status]}: it has not ended"
    if run is None:
        return "it never ran: requeue it instead"
    if run.model_name is None or run.options_json is None:
        return "its last run ended before its prompt was built: requeue it instead"
    return None


def _repetition(job: Any, run: Any, *, job_id: UUID) -> JobInput:
    # Not checked again: the old job was checked when it was queued.
    values = {name: getattr(job, name) for name in CARRIED}
    return JobInput.model_construct(job_id=job_id, **values, model_hint=run.model_name, repeats_run_id=run.run_id)
