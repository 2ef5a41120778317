"""Procedures for operators and callers: enqueue, change and purge jobs; pause and limit models."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from derive.contracts import (
    AgedPlace,
    Ageing,
    DeletionTry,
    Enqueued,
    Escalated,
    JobChange,
    JobInput,
    JobRef,
    ModelLimits,
    Purged,
)
from derive.errors import QueueError
from derive.queue.connection import QueueConnection, batches_of, given, status_of
from derive.sql import payloads, procedures
from derive.sql.calls import Row, as_guid, call_as_one
from derive.sql.procedures import Procedure
from derive.states import JobStatus

ENQUEUE_BATCH = 2_000
"""Jobs per call of ``usp_enqueue_jobs``: larger calls are no faster and hold dedupe keys longer."""
DELETION_BATCH = 1_000
"""Deletion attempts per call of ``usp_record_lake_deletions``."""
CHANGE_BATCH = 500
"""Jobs per call of an operator procedure: the most that one transaction may lock."""


class OperatorQueue(QueueConnection):
    """Procedures for operators and for code that enqueues."""

    def enqueue(
        self, job: JobInput, *, actor: str | None = None, reason: str | None = None, batch_id: UUID | None = None
    ) -> Enqueued:
        """Queue one job, into a batch if given; if its dedupe key is held, return the job that holds it. Repeatable.

        ``reason`` is saved to the job's first event.
        """
        values = given(**dict(job))
        values.setdefault("job_id", uuid4())
        rows = self._call(procedures.ENQUEUE_JOB, given(**values, actor=actor, reason=reason, batch_id=batch_id))
        job_id, is_duplicate, status = rows[0]
        return Enqueued(job_id=as_guid(job_id), is_duplicate=bool(is_duplicate), status=JobStatus(status))

    def enqueue_many(
        self,
        jobs: Sequence[JobInput],
        *,
        actor: str | None = None,
        reason: str | None = None,
        batch_id: UUID | None = None,
    ) -> list[Enqueued]:
        """Queue many jobs and return the answers in order; each 2,000 of them are one transaction. Repeatable.

        With ``batch_id`` they are of that batch, which the caller fills (``fill_batch``) when all are queued.
        """
        answers: list[Enqueued] = []
        for batch in batches_of(jobs, ENQUEUE_BATCH):
            answers += _answers(self._call(procedures.ENQUEUE_JOBS, _jobs(batch, actor, reason, batch_id)))
        return answers

    def enqueue_whole(
        self,
        batches: Callable[[], Iterable[Sequence[JobInput]]],
        *,
        actor: str | None = None,
        reason: str | None = None,
        batch_id: UUID | None = None,
        before_commit: Callable[[list[Enqueued]], object] = lambda _answers: None,
    ) -> list[Enqueued]:
        """Queue all jobs of the batches, or none; return the answers in order. Repeatable, since each job has an id.

        The batches are staged first, invisible and without holding keys, and then queued by one call, so other writers
        wait only for that call, however long the batches take to arrive. With ``batch_id`` the jobs belong to that row
        of ``llm.batch``, which is filled then. Batches staged but never queued are removed by a later call.
        ``before_commit`` receives the answers while everything can still be rolled back, by raising.

        Raises ValueError for a job without an id, and QueueError: nothing is queued then, except that after
        CommitUnanswered the outcome is unknown.
        """
        stage_id = uuid4()
        self._call(procedures.STAGE_JOBS, {"stage_id": stage_id})
        try:
            self._stage(stage_id, batches())
            (rows,) = call_as_one(
                self._using,
                procedures.PUBLISH_JOBS,
                lambda: [given(stage_id=stage_id, actor=actor, reason=reason, batch_id=batch_id)],
                before_commit=lambda calls: before_commit(_answers(calls[0])),
            )
            return _answers(rows)
        finally:
            # Anything not cleared now is cleared a day later by the next caller that stages.
            with suppress(QueueError):
                self._call(procedures.STAGE_JOBS, {"stage_id": stage_id})

    def _stage(self, stage_id: UUID, batches: Iterable[Sequence[JobInput]]) -> None:
        first_n = 0
        for part_no, batch in enumerate(batches):
            jobs_json = payloads.jobs_json(_named(batch), first_n=first_n)
            self._call(procedures.STAGE_JOBS, {"stage_id": stage_id, "part_no": part_no, "jobs_json": jobs_json})
            first_n += len(batch)

    def cancel(self, jobs: Sequence[JobRef], *, actor: str, reason: str | None = None) -> list[JobChange]:
        """Cancel waiting jobs and ask running ones to stop."""
        return self._change(procedures.CANCEL_JOBS, jobs, {"actor": actor}, reason)

    def requeue(
        self, jobs: Sequence[JobRef], *, actor: str, available_utc: datetime | None = None, reason: str | None = None
    ) -> list[JobChange]:
        """Requeue ended jobs with all their attempts, now or from ``available_utc``."""
        return self._change(
            procedures.REQUEUE_JOBS, jobs, {"actor": actor, **given(available_utc=available_utc)}, reason
        )

    def reprioritize(
        self, jobs: Sequence[JobRef], *, actor: str, priority: int, reason: str | None = None
    ) -> list[JobChange]:
        """Change the priority of jobs; higher runs first."""
        return self._change(procedures.REPRIORITIZE_JOBS, jobs, {"actor": actor, "priority": priority}, reason)

    def reschedule(
        self, jobs: Sequence[JobRef], *, actor: str, available_utc: datetime, reason: str | None = None
    ) -> list[JobChange]:
        """Change the time from which waiting jobs are ready."""
        arguments = {"actor": actor, "available_utc": available_utc}
        return self._change(procedures.RESCHEDULE_JOBS, jobs, arguments, reason)

    def set_model_hint(
        self, jobs: Sequence[JobRef], *, actor: str, model_hint: str | None, reason: str | None = None
    ) -> list[JobChange]:
        """Set another model, or the worker's own with None."""
        return self._change(procedures.SET_MODEL_HINT, jobs, {"actor": actor, "model_hint": model_hint}, reason)

    def set_hold(self, jobs: Sequence[JobRef], *, actor: str, hold: bool, reason: str | None = None) -> list[JobChange]:
        """Protect jobs from purging, or end the protection."""
        return self._change(procedures.SET_HOLD, jobs, {"actor": actor, "hold": hold}, reason)

    def pause_model(self, model: str, *, actor: str, reason: str | None = None) -> bool:
        """Stop claims of this model's jobs; return whether it was not already paused.

        Running jobs continue. Repeatable, except for the return value.
        """
        return self._set_model(given(model=model, actor=actor, paused=True, reason=reason))

    def resume_model(self, model: str, *, actor: str, reason: str | None = None) -> bool:
        """Allow claims of this model's jobs again; return whether it was paused."""
        return self._set_model(given(model=model, actor=actor, paused=False, reason=reason))

    def limit_model(self, model: str, limits: ModelLimits, *, actor: str, reason: str | None = None) -> bool:
        """Set the given limits, None removing one; return whether anything changed.

        Exact from the next claim on, across all workers; running jobs continue.
        """
        values = limits.model_dump(exclude_unset=True)
        unset = [name for name, value in values.items() if value is None]
        return self._set_model(
            given(model=model, actor=actor, **values, unset_json=json.dumps(unset) if unset else None, reason=reason)
        )

    def _set_model(self, arguments: Mapping[str, Any]) -> bool:
        return bool(self._call(procedures.SET_MODEL, arguments)[0][0])

    def measure_loads(self) -> int:
        """Store how long models take to load, measured by the newest runs; return the number of changes. Repeatable."""
        return int(self._call(procedures.MEASURE_LOADS, {})[0][0])

    def forget_workers(self, *, silent_days: int, max_rows: int = 500) -> int:
        """Remove workers without a heartbeat for so long, with their endpoints; return how many. Repeatable.

        Workers with running runs stay. Runs keep the name of their worker.
        """
        rows = self._call(procedures.FORGET_WORKERS, {"silent_days": silent_days, "max_rows": max_rows})
        return int(rows[0][0])

    def escalate(
        self, ageing: Ageing, *, actor: str, after: AgedPlace | None = None, reason: str | None = None
    ) -> Escalated:
        """Raise the priority of jobs that have waited too long, continuing after ``after``.

        Each call examines one priority and a limited number of jobs; the result's ``after`` is None at the end.
        """
        arguments = given(actor=actor, **dict(ageing), **(dict(after) if after else {}), reason=reason)
        raised, priority, available_utc, job_seq = self._call(procedures.ESCALATE_AGED_JOBS, arguments)[0]
        place = None
        if priority is not None:
            place = AgedPlace(after_priority=priority, after_utc=available_utc, after_job_seq=job_seq)
        return Escalated(raised=int(raised), after=place)

    def purge(
        self,
        *,
        finished_before_utc: datetime,
        statuses: Sequence[JobStatus],
        actor: str,
        max_rows: int = 500,
        dry_run: bool = False,
        reason: str | None = None,
    ) -> list[Purged]:
        """Delete ended jobs with all their rows, except held ones; their lake folders are recorded for deletion."""
        arguments = given(
            finished_before_utc=finished_before_utc,
            statuses_json=payloads.statuses_json(statuses),
            actor=actor,
            max_rows=max_rows,
            dry_run=dry_run,
            reason=reason,
        )
        rows = self._call(procedures.PURGE_JOBS, arguments)
        return [Purged(job_id=as_guid(job_id), lake_uri=lake_uri) for job_id, lake_uri in rows]

    def record_lake_deletions(self, tries: Sequence[DeletionTry]) -> int:
        """Record the results of deletion attempts; return how many were still open."""
        recorded = 0
        for batch in batches_of(tries, DELETION_BATCH):
            arguments = {"deletions_json": payloads.deletions_json(batch)}
            recorded += int(self._call(procedures.RECORD_LAKE_DELETIONS, arguments)[0][0])
        return recorded

    def record_lake(self, lake_id: UUID | None = None, *, replaces: UUID | None = None) -> UUID | None:
        """Return the recorded lake id, if any; records this one if there is none or ``replaces`` is recorded."""
        rows = self._call(procedures.SETTLE_LAKE, given(lake_id=lake_id, replaces=replaces))
        return as_guid(rows[0][0]) if rows else None

    def _change(
        self, procedure: Procedure, jobs: Sequence[JobRef], arguments: Mapping[str, Any], reason: str | None
    ) -> list[JobChange]:
        changes: list[JobChange] = []
        for batch in batches_of(jobs, CHANGE_BATCH):
            rows = self._call(procedure, {"jobs_json": payloads.refs_json(batch), **arguments, **given(reason=reason)})
            changes.extend(
                JobChange.model_construct(
                    job_id=as_guid(job_id),
                    changed=bool(changed),
                    from_status=status_of(from_status),
                    to_status=status_of(to_status),
                    why=why,
                )
                for job_id, changed, from_status, to_status, why in rows
            )
        return changes


def _jobs(batch: Sequence[JobInput], actor: str | None, reason: str | None, batch_id: UUID | None) -> dict[str, Any]:
    return given(jobs_json=payloads.jobs_json(batch), actor=actor, reason=reason, batch_id=batch_id)


def _named(batch: Sequence[JobInput]) -> Sequence[JobInput]:
    if any(job.job_id is None for job in batch):
        raise ValueError("a job that is queued with others as a whole needs its job_id beforehand")
    return batch


def _answers(rows: Sequence[Row]) -> list[Enqueued]:
    """Return the answers of ``usp_enqueue_jobs`` in the order of the jobs."""
    return [
        Enqueued.model_construct(job_id=as_guid(job_id), is_duplicate=bool(is_duplicate), status=JobStatus(status))
        for _n, job_id, is_duplicate, status in sorted(rows, key=lambda row: int(row[0]))
    ]
