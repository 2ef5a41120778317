"""JobQueue: the one Python face of the stored procedures.

Each call is one short transaction on the server's clock and is durable: it refuses to be part of a longer one
(``enqueue_whole`` is one transaction of several).
Repeatable calls are said again after a lost connection; a claim is not, its jobs come back as ``stray`` runs of the
next heartbeat.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID, uuid4

from derive.contracts import (
    Claim,
    Completion,
    DeletionTry,
    Enqueued,
    Horizon,
    JobChange,
    JobInput,
    JobRef,
    Lease,
    Outcome,
    Purged,
    Reaped,
    Registration,
    RolledUp,
    WorkerFacts,
)
from derive.sql import payloads, procedures
from derive.sql.calls import Row, as_guid, call, call_as_one
from derive.sql.procedures import Procedure
from derive.states import JobStatus, LeaseState

ENQUEUE_BATCH = 2_000
"""Jobs a call of ``usp_enqueue_jobs``: more of them gain nothing and hold their keys for longer."""
DELETION_BATCH = 1_000
"""Tries a call of ``usp_record_lake_deletions``."""
CHANGE_BATCH = 500
"""Jobs a call of an operators' procedure: the most that one transaction may lock."""
DEFAULT_LEASE_SECONDS = 120
ROLL_UP_EVENTS = 50_000
"""Events counted in one transaction: half a second's work."""

_T = TypeVar("_T")


class JobQueue:
    """The queue behind one of Django's connections; each thread has a connection of its own.

    Every method may raise the errors of ``derive.errors.QueueError``.
    """

    def __init__(self, using: str = "default") -> None:
        self._using = using

    def enqueue(self, job: JobInput, *, actor: str | None = None, reason: str | None = None) -> Enqueued:
        """Queue one job; a dedupe key that is held answers with the job that holds it. Repeatable.

        ``reason`` stands in the job's first event.
        """
        given = _given(**dict(job))
        given.setdefault("job_id", uuid4())
        rows = self._call(procedures.ENQUEUE_JOB, _given(**given, actor=actor, reason=reason))
        job_id, is_duplicate, status = rows[0]
        return Enqueued(job_id=as_guid(job_id), is_duplicate=bool(is_duplicate), status=JobStatus(status))

    def enqueue_many(
        self, jobs: Sequence[JobInput], *, actor: str | None = None, reason: str | None = None
    ) -> list[Enqueued]:
        """Queue many jobs and answer in their order; each 2,000 are one transaction. Repeatable."""
        answers: list[Enqueued] = []
        for batch in _batches(jobs, ENQUEUE_BATCH):
            answers += _answers(self._call(procedures.ENQUEUE_JOBS, _jobs(batch, actor, reason)))
        return answers

    def enqueue_whole(
        self,
        batches: Callable[[], Iterable[Sequence[JobInput]]],
        *,
        actor: str | None = None,
        reason: str | None = None,
        before_commit: Callable[[list[Enqueued]], object] = lambda _answers: None,
    ) -> list[Enqueued]:
        """Queue all jobs of the batches in one transaction, or none, and answer in their order. Repeatable.

        Each job has its id already: the batches are asked for anew when all has to be said again, and nothing may be
        queued twice. ``before_commit`` is told the answers while all can still be undone, which its raising does. Until
        the commit the keys stay locked: who calls this bounds how many jobs there are.
        """
        calls = call_as_one(
            self._using,
            procedures.ENQUEUE_JOBS,
            lambda: (_jobs(_named(batch), actor, reason) for batch in batches()),
            before_commit=lambda calls: before_commit(_all_answers(calls)),
        )
        return _all_answers(calls)

    def claim(
        self,
        worker_id: str,
        *,
        lease_seconds: int = DEFAULT_LEASE_SECONDS,
        max_jobs: int = 1,
        model: str | None = None,
        except_interrogations: Collection[str] = (),
    ) -> list[Claim]:
        """Take up to ``max_jobs`` ready jobs under a lease, best first; with ``model`` those that ask for it or none.

        Jobs of ``except_interrogations`` (keys) are passed over, one by one. Not repeatable: after DatabaseUnavailable
        the next heartbeat names what was taken as ``stray``.
        """
        arguments = _given(
            worker_id=worker_id,
            lease_seconds=lease_seconds,
            max_jobs=max_jobs,
            model=model,
            except_interrogations_json=json.dumps(sorted(except_interrogations)) if except_interrogations else None,
        )
        lease = timedelta(seconds=lease_seconds)
        return [_claim(row, lease) for row in self._call(procedures.CLAIM_NEXT_JOB, arguments)]

    def heartbeat(
        self,
        worker_id: str,
        run_ids: Sequence[UUID],
        *,
        lease_seconds: int = DEFAULT_LEASE_SECONDS,
        facts: WorkerFacts | None = None,
    ) -> list[Lease]:
        """Renew the leases of these runs and learn the state of each, and of runs the worker did not name.

        Raises WorkerIdInUse when another live worker goes by this id (only with ``facts``).
        """
        arguments = _given(
            worker_id=worker_id,
            run_ids_json=payloads.run_ids_json(run_ids),
            lease_seconds=lease_seconds,
            **(dict(facts) if facts else {}),
        )
        return [
            Lease.model_construct(run_id=as_guid(run_id), state=LeaseState(state), lease_expires_utc=expires)
            for run_id, state, expires in self._call(procedures.HEARTBEAT, arguments)
        ]

    def complete(self, outcome: Outcome) -> Completion:
        """End a run with its facts and artifacts in one transaction; the same said twice answers the same."""
        arguments = _given(
            job_id=outcome.job_id,
            run_id=outcome.run_id,
            status=outcome.status.value,
            error=outcome.error,
            error_kind=outcome.error_kind.value if outcome.error_kind else None,
            retry_after_seconds=outcome.retry_after_seconds,
            count_attempt=outcome.count_attempt,
            run_json=payloads.run_json(outcome.run),
            artifacts_json=payloads.artifacts_json(outcome.artifacts) if outcome.artifacts else None,
        )
        accepted, final_status, available_utc = self._call(procedures.COMPLETE_JOB, arguments)[0]
        return Completion.model_construct(
            accepted=bool(accepted), final_status=_status(final_status), available_utc=available_utc
        )

    def release(self, run_id: UUID, *, reason: str | None = None) -> Completion:
        """Give a job back unharmed; its attempt does not count. Repeatable."""
        accepted, final_status = self._call(procedures.RELEASE_JOB, _given(run_id=run_id, reason=reason))[0]
        return Completion.model_construct(
            accepted=bool(accepted), final_status=_status(final_status), available_utc=None
        )

    def promote(self, *, max_rows: int = 500) -> int:
        """Make due jobs ready; return how many."""
        return int(self._call(procedures.PROMOTE_DUE_JOBS, {"max_rows": max_rows})[0][0])

    def reap(self, *, max_rows: int = 500, actor: str | None = None) -> list[Reaped]:
        """End runs whose lease expired; empty also while somebody else reaps."""
        rows = self._call(procedures.REAP_EXPIRED_LEASES, _given(max_rows=max_rows, actor=actor))
        return [
            Reaped.model_construct(
                job_id=as_guid(job_id), run_id=as_guid(run_id), final_status=JobStatus(final), available_utc=available
            )
            for job_id, run_id, final, available in rows
        ]

    def roll_up_hours(self, *, max_events: int = ROLL_UP_EVENTS, max_steps: int = 1_000) -> RolledUp | None:
        """Count what happened since the last roll-up into ``llm.stat_hour``, in steps of a transaction each.

        Returns how many events were counted and how far; None while somebody else counts. Not caught up when the
        steps were not enough, or when a transaction that may hold older events stayed open: the next call goes on.
        Repeatable: each event is counted once, whoever calls.
        """
        counted = 0
        answer: RolledUp | None = None
        for _ in range(max_steps):
            rows = self._call(procedures.ROLL_UP_HOURS, {"max_events": max_events})
            if not rows:
                break
            events, through_utc, is_caught_up = rows[0]
            counted += events
            answer = RolledUp.model_construct(events=counted, through_utc=through_utc, is_caught_up=bool(is_caught_up))
            if answer.is_caught_up or not events:
                break
        return answer

    def cancel(self, jobs: Sequence[JobRef], *, actor: str, reason: str | None = None) -> list[JobChange]:
        """Cancel waiting jobs at once, and ask running ones to stop."""
        return self._change(procedures.CANCEL_JOBS, jobs, {"actor": actor}, reason)

    def requeue(
        self, jobs: Sequence[JobRef], *, actor: str, available_utc: datetime | None = None, reason: str | None = None
    ) -> list[JobChange]:
        """Queue ended jobs anew with all their attempts, now or from ``available_utc`` on."""
        return self._change(
            procedures.REQUEUE_JOBS, jobs, {"actor": actor, **_given(available_utc=available_utc)}, reason
        )

    def reprioritize(
        self, jobs: Sequence[JobRef], *, actor: str, priority: int, reason: str | None = None
    ) -> list[JobChange]:
        """Give jobs another priority; higher is sooner."""
        return self._change(procedures.REPRIORITIZE_JOBS, jobs, {"actor": actor, "priority": priority}, reason)

    def reschedule(
        self, jobs: Sequence[JobRef], *, actor: str, available_utc: datetime, reason: str | None = None
    ) -> list[JobChange]:
        """Give waiting jobs another time from which on they are ready."""
        arguments = {"actor": actor, "available_utc": available_utc}
        return self._change(procedures.RESCHEDULE_JOBS, jobs, arguments, reason)

    def set_model_hint(
        self, jobs: Sequence[JobRef], *, actor: str, model_hint: str | None, reason: str | None = None
    ) -> list[JobChange]:
        """Ask for another model, or with None for the worker's own."""
        return self._change(procedures.SET_MODEL_HINT, jobs, {"actor": actor, "model_hint": model_hint}, reason)

    def set_hold(self, jobs: Sequence[JobRef], *, actor: str, hold: bool, reason: str | None = None) -> list[JobChange]:
        """Protect jobs from purging, or no longer."""
        return self._change(procedures.SET_HOLD, jobs, {"actor": actor, "hold": hold}, reason)

    def register(
        self,
        *,
        definition_sha256: str,
        interrogation_key: str,
        version: str,
        prompt_template: str,
        output_schema_json: str,
        rubric: str,
    ) -> Registration:
        """Put a definition on record; another one under the same key and version is refused. Repeatable."""
        arguments = {
            "definition_sha256": definition_sha256,
            "interrogation_key": interrogation_key,
            "version": version,
            "prompt_template": prompt_template,
            "output_schema_json": output_schema_json,
            "rubric": rubric,
        }
        registered, why = self._call(procedures.REGISTER_INTERROGATION, arguments)[0]
        return Registration(registered=bool(registered), why=why)

    def set_schema_refusal(self, definition_sha256: str, *, why: str | None) -> bool:
        """Note that the model server refuses a definition's schema, or (None) that it takes it; return what changed.

        Repeatable.
        """
        arguments = _given(definition_sha256=definition_sha256, why=why)
        return bool(self._call(procedures.SET_SCHEMA_REFUSAL, arguments)[0][0])

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
        """Delete ended jobs with all their rows, never held ones; the lake's folders are listed for deletion."""
        arguments = _given(
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
        """Write down how tries to delete purged files ended; return how many were open still."""
        recorded = 0
        for batch in _batches(tries, DELETION_BATCH):
            arguments = {"deletions_json": payloads.deletions_json(batch)}
            recorded += int(self._call(procedures.RECORD_LAKE_DELETIONS, arguments)[0][0])
        return recorded

    def seal_horizon(self) -> Horizon:
        """Return how far the history is settled: no open transaction can still add an event up to there."""
        event_seq, at_utc = self._call(procedures.SEAL_HORIZON, {})[0]
        return Horizon.model_construct(event_seq=event_seq, at_utc=at_utc)

    def record_seal(
        self,
        *,
        seal_seq: int,
        first_event_seq: int,
        last_event_seq: int,
        event_count: int,
        previous_sha256: str,
        sha256: str,
        created_utc: datetime,
        seal_json: str,
    ) -> str | None:
        """Put the next seal on record with its document; return why it was refused, None if it was not. Repeatable."""
        arguments = {
            "seal_seq": seal_seq,
            "first_event_seq": first_event_seq,
            "last_event_seq": last_event_seq,
            "event_count": event_count,
            "previous_sha256": previous_sha256,
            "sha256": sha256,
            "created_utc": created_utc,
            "seal_json": seal_json,
        }
        accepted, why = self._call(procedures.RECORD_SEAL, arguments)[0]
        return None if accepted else str(why)

    def mark_seal_stored(self, seal_seq: int, sha256: str) -> bool:
        """Say that the lake has a seal's document; return whether there is such a seal. Repeatable."""
        return bool(self._call(procedures.MARK_SEAL_STORED, {"seal_seq": seal_seq, "sha256": sha256})[0][0])

    def record_lake(self, lake_id: UUID | None = None, *, replaces: UUID | None = None) -> UUID | None:
        """Return the id of the lake on record, if any, having recorded this one where none or ``replaces`` was."""
        rows = self._call(procedures.SETTLE_LAKE, _given(lake_id=lake_id, replaces=replaces))
        return as_guid(rows[0][0]) if rows else None

    def _call(self, procedure: Procedure, arguments: Mapping[str, Any]) -> Sequence[Row]:
        return call(self._using, procedure, arguments)

    def _change(
        self, procedure: Procedure, jobs: Sequence[JobRef], arguments: Mapping[str, Any], reason: str | None
    ) -> list[JobChange]:
        changes: list[JobChange] = []
        for batch in _batches(jobs, CHANGE_BATCH):
            rows = self._call(procedure, {"jobs_json": payloads.refs_json(batch), **arguments, **_given(reason=reason)})
            changes.extend(
                JobChange.model_construct(
                    job_id=as_guid(job_id),
                    changed=bool(changed),
                    from_status=_status(from_status),
                    to_status=_status(to_status),
                    why=why,
                )
                for job_id, changed, from_status, to_status, why in rows
            )
        return changes


def _jobs(batch: Sequence[JobInput], actor: str | None, reason: str | None) -> dict[str, Any]:
    return _given(jobs_json=payloads.jobs_json(batch), actor=actor, reason=reason)


def _named(batch: Sequence[JobInput]) -> Sequence[JobInput]:
    if any(job.job_id is None for job in batch):
        raise ValueError("a job that is queued with others as a whole needs its job_id beforehand")
    return batch


def _answers(rows: Sequence[Row]) -> list[Enqueued]:
    """Return what ``usp_enqueue_jobs`` answered, in the order of the jobs."""
    return [
        Enqueued.model_construct(job_id=as_guid(job_id), is_duplicate=bool(is_duplicate), status=JobStatus(status))
        for _n, job_id, is_duplicate, status in sorted(rows, key=lambda row: int(row[0]))
    ]


def _all_answers(calls: Iterable[Sequence[Row]]) -> list[Enqueued]:
    return [answer for rows in calls for answer in _answers(rows)]


def _claim(row: Row, lease: timedelta) -> Claim:
    """Return the claim a row tells of; unchecked, since the tables' constraints already hold its shape."""
    values = dict(zip(procedures.CLAIM_NEXT_JOB.columns, row, strict=True))
    for name in ("job_id", "run_id", "repeats_run_id", "previous_run_id"):
        if values[name] is not None:
            values[name] = as_guid(values[name])
    return Claim.model_construct(**values, started_utc=values["lease_expires_utc"] - lease)


def _status(value: str | None) -> JobStatus | None:
    return None if value is None else JobStatus(value)


def _given(**arguments: Any) -> dict[str, Any]:
    """Leave out what is None: the procedure's own default stands for it."""
    return {name: value for name, value in arguments.items() if value is not None}


def _batches(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
