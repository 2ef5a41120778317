"""Procedures for workers: those of the role ``llm_worker``."""

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from derive.batch_contracts import BatchMarked, Swept
from derive.contracts import (
    Claim,
    Completion,
    Lease,
    ModelServer,
    Outcome,
    Reaped,
    Registration,
    RolledUp,
    WorkerFacts,
)
from derive.derivation_contracts import Settled
from derive.queue.connection import QueueConnection, given, status_of
from derive.queue.marking import mark_step
from derive.split_contracts import Joined
from derive.sql import payloads, procedures
from derive.sql.calls import Row, as_guid
from derive.states import BatchEventName, JobStatus, LeaseState

DEFAULT_LEASE_SECONDS = 120
ROLL_UP_EVENTS = 50_000
"""Events counted per transaction: half a second's work."""


class WorkerQueue(QueueConnection):
    """Procedures for workers; none changes or purges a job that the worker does not hold."""

    def claim(
        self,
        worker_id: str,
        *,
        lease_seconds: int = DEFAULT_LEASE_SECONDS,
        max_jobs: int = 1,
        model: str | None = None,
        except_interrogations: Collection[str] = (),
        server: ModelServer | None = None,
    ) -> list[Claim]:
        """Claim up to ``max_jobs`` ready jobs under a lease, best first; with ``model``, those that name it or none.

        With ``server`` all of them have one model that it can serve, and one priority, unless its order is strict; see
        ``usp_claim_next_job``. Jobs of paused models and of models at a limit are never claimed. Jobs of
        ``except_interrogations`` (keys) are skipped. Not repeatable: after DatabaseUnavailable the next heartbeat
        reports claimed jobs as ``stray``.
        """
        arguments = given(
            worker_id=worker_id,
            lease_seconds=lease_seconds,
            max_jobs=max_jobs,
            model=model,
            except_interrogations_json=json.dumps(sorted(except_interrogations)) if except_interrogations else None,
        ) | (payloads.server_arguments(server) if server else {})
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
        """Renew the leases of these runs; return their states, and those of held runs not named.

        Raises WorkerIdInUse if another live worker uses this id (only with ``facts``).
        """
        arguments = given(
            worker_id=worker_id,
            run_ids_json=payloads.run_ids_json(run_ids),
            lease_seconds=lease_seconds,
            **(payloads.worker_arguments(facts) if facts else {}),
        )
        return [
            Lease.model_construct(run_id=as_guid(run_id), state=LeaseState(state), lease_expires_utc=expires)
            for run_id, state, expires in self._call(procedures.HEARTBEAT, arguments)
        ]

    def complete(self, outcome: Outcome) -> Completion:
        """Complete a run with its outcome in one transaction. Repeatable."""
        arguments = _completing(outcome, job_id=outcome.job_id, run_id=outcome.run_id)
        return _completion(*self._call(procedures.COMPLETE_JOB, arguments)[0])

    def complete_all(self, outcomes: Sequence[Outcome]) -> list[Completion]:
        """Complete several runs in one transaction, each as ``complete`` does; return the answers in order. Repeatable.

        A lost lease affects only its own run. Bad content rolls back all of them: the caller must then complete each
        alone.
        """
        elements = [
            _completing(outcome, job_id=str(outcome.job_id), run_id=str(outcome.run_id)) for outcome in outcomes
        ]
        rows = self._call(procedures.COMPLETE_JOBS, {"outcomes_json": json.dumps(elements)})
        answers = {as_guid(run_id): _completion(*answer) for run_id, *answer in rows}
        return [answers[outcome.run_id] for outcome in outcomes]

    def split(self, outcome: Outcome, worker_id: str) -> Completion:
        """End a run by queueing the parts in ``outcome.split``, all or none. Repeatable.

        Its job waits as SPLIT; a part is NEW with the first of them, and the others are further parts of its parent.
        """
        if outcome.split is None:
            raise ValueError("the outcome has no parts")
        arguments = given(
            run_id=outcome.run_id,
            worker_id=worker_id,
            input_json=outcome.split.input_json,
            parts_json=payloads.parts_json(outcome.split.parts),
            run_json=payloads.run_json(outcome.run),
            artifacts_json=payloads.artifacts_json(outcome.artifacts) if outcome.artifacts else None,
            error=outcome.error,
            error_kind=outcome.error_kind,
        )
        accepted, final_status = self._call(procedures.SPLIT_JOB, arguments)[0]
        return _completion(accepted, final_status, None)

    def join_due_jobs(self, *, max_rows: int = 500, actor: str | None = None) -> list[Joined]:
        """Make SPLIT jobs whose parts have ended ready to be joined, and bring operators' changes to parts.

        Each is joined once, whoever sweeps; returns an empty list while another caller sweeps.
        """
        rows = self._call(procedures.JOIN_DUE_JOBS, given(max_rows=max_rows, actor=actor))
        return [Joined(job_id=as_guid(job_id), final_status=JobStatus(final)) for job_id, final in rows]

    def release(self, run_id: UUID, *, reason: str | None = None) -> Completion:
        """Release a job; the attempt is not counted. Repeatable."""
        accepted, final_status = self._call(procedures.RELEASE_JOB, given(run_id=run_id, reason=reason))[0]
        return Completion.model_construct(
            accepted=bool(accepted), final_status=status_of(final_status), available_utc=None
        )

    def promote(self, *, max_rows: int = 500) -> int:
        """Make due jobs ready; return how many."""
        return int(self._call(procedures.PROMOTE_DUE_JOBS, {"max_rows": max_rows})[0][0])

    def reap(self, *, max_rows: int = 500, actor: str | None = None) -> list[Reaped]:
        """End runs whose lease expired; returns an empty list while another caller reaps."""
        rows = self._call(procedures.REAP_EXPIRED_LEASES, given(max_rows=max_rows, actor=actor))
        return [
            Reaped.model_construct(
                job_id=as_guid(job_id), run_id=as_guid(run_id), final_status=JobStatus(final), available_utc=available
            )
            for job_id, run_id, final, available in rows
        ]

    def sweep_batches(self, *, actor: str | None = None) -> list[Swept]:
        """End the batches that are over, queue what follows them, pause those whose budget is spent.

        Each end is counted once, whoever sweeps; returns an empty list while another caller sweeps.
        """
        rows = self._call(procedures.SWEEP_BATCHES, given(actor=actor))
        return [
            Swept(batch_id=as_guid(batch_id), event=None if event == "marking" else BatchEventName(event))
            for batch_id, event in rows
        ]

    def settle_subjects(self) -> Settled | None:
        """Give derivations' subjects the states of their jobs, as far as events are counted (``roll_up_hours``).

        None: another caller does. Repeatable.
        """
        rows = self._call(procedures.SETTLE_SUBJECTS, {"max_events": 5000})
        return Settled(settled=rows[0][0], is_caught_up=bool(rows[0][1])) if rows else None

    def mark_batch_jobs(self, batch_id: UUID) -> BatchMarked:
        """Take the next step of bringing a pause or resume to a batch's jobs. Repeatable."""
        return mark_step(self._call, batch_id)

    def roll_up_hours(self, *, max_events: int = ROLL_UP_EVENTS, max_steps: int = 1_000) -> RolledUp | None:
        """Roll up new events into ``llm.stat_hour``, in several transactions.

        Returns how many events were counted and how far; None while another caller counts. It is not caught up if there
        were too many, or if an open transaction may hold older events: the next call continues. Repeatable: each event
        is counted once.
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
        """Register a definition; refused if another one has the same key and version. Repeatable."""
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
        """Record that the model server refuses a schema, or (None) accepts it; return what changed. Repeatable."""
        arguments = given(definition_sha256=definition_sha256, why=why)
        return bool(self._call(procedures.SET_SCHEMA_REFUSAL, arguments)[0][0])


def _completing(outcome: Outcome, **ids: UUID | str) -> dict[str, Any]:
    return given(
        **ids,
        status=outcome.status.value,
        error=outcome.error,
        error_kind=outcome.error_kind.value if outcome.error_kind else None,
        retry_after_seconds=outcome.retry_after_seconds,
        count_attempt=outcome.count_attempt,
        run_json=payloads.run_json(outcome.run),
        artifacts_json=payloads.artifacts_json(outcome.artifacts) if outcome.artifacts else None,
        facts_json=None if outcome.facts is None else payloads.facts_json(outcome.facts),
    )


def _completion(accepted: Any, final_status: str | None, available_utc: Any) -> Completion:
    return Completion.model_construct(
        accepted=bool(accepted), final_status=status_of(final_status), available_utc=available_utc
    )


def _claim(row: Row, lease: timedelta) -> Claim:
    """Return the claim in a row; not validated, since the tables' constraints guarantee its form."""
    values = dict(zip(procedures.CLAIM_NEXT_JOB.columns, row, strict=True))
    for name in ("job_id", "run_id", "repeats_run_id", "previous_run_id", "parent_job_id"):
        if values[name] is not None:
            values[name] = as_guid(values[name])
    return Claim.model_construct(**values, started_utc=values["lease_expires_utc"] - lease)
