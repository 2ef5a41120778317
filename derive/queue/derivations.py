"""Procedures that declare derivations and bring their subjects to what a comparison found."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from derive.batch_contracts import BatchChange
from derive.contracts import JobInput
from derive.derivation_contracts import Declaration, DueSubject, Filled, SubjectChange
from derive.queue.connection import QueueConnection, given
from derive.sql import payloads, procedures
from derive.sql.calls import Row, as_guid, call_as_one
from derive.states import SubjectState

SUBJECTS_AT_ONCE = 500
"""The most subjects that one call of ``set_subjects`` takes."""


class DerivationQueue(QueueConnection):
    """Procedures for derivations; a worker's ``settle_subjects`` stands in ``WorkerQueue``."""

    def declare_derivation(
        self, key: str, declaration: Declaration, *, declared_in: str, actor: str, reason: str | None = None
    ) -> BatchChange:
        """Make a derivation, or replace its declaration; what it has derived stays. Repeatable."""
        columns = declaration.model_dump(mode="json", exclude_none=True)
        columns |= {
            "declared_in": declared_in,
            "source_name": columns.pop("source"),
            "interrogation_key": columns.pop("interrogation"),
        }
        if target := columns.pop("target", None):
            columns["target_json"] = json.dumps(target, ensure_ascii=False, sort_keys=True)
        return self._set_derivation(key, actor, declaration_json=json.dumps(columns), reason=reason)

    def pause_derivation(self, key: str, *, actor: str, paused: bool, reason: str | None = None) -> BatchChange:
        """Pause or resume a derivation: while it is paused nothing of it is queued. Queued jobs go on."""
        return self._set_derivation(key, actor, paused=paused, reason=reason)

    def mark_derivation(
        self,
        key: str,
        *,
        actor: str,
        planned: bool = False,
        applied: bool = False,
        next_utc: datetime | None = None,
        paced_until_utc: datetime | None = None,
    ) -> BatchChange:
        """Record how far a derivation has been applied, when it is next due, and until when its jobs are paced."""
        return self._set_derivation(
            key,
            actor,
            planned=planned or None,
            applied=applied or None,
            next_utc=next_utc,
            paced_until_utc=paced_until_utc,
        )

    def set_subjects(
        self,
        key: str,
        changes: Sequence[SubjectChange],
        *,
        actor: str,
        jobs: Sequence[JobInput] = (),
        batch_id: UUID | None = None,
        reason: str | None = None,
    ) -> int:
        """Bring up to 500 subjects to what a comparison found, and queue their jobs, in one transaction.

        Repeating it queues nothing twice, as long as jobs have ids; a wish (``asked``) would count again.
        """
        arguments = given(
            derivation_key=key,
            subjects_json=json.dumps([one.model_dump(mode="json", exclude_none=True) for one in changes]),
            actor=actor,
            jobs_json=payloads.jobs_json(jobs) if jobs else None,
            batch_id=batch_id,
            reason=reason,
        )
        return int(self._call(procedures.SET_SUBJECTS, arguments)[0][0])

    def take_deliveries(
        self, key: str, *, max_rows: int, write: Callable[[Sequence[DueSubject]], object]
    ) -> Sequence[DueSubject]:
        """Take up to ``max_rows`` rows of the outbox, and ``write`` their subjects' rows in the same transaction.

        What ``write`` raises rolls all back; it may be called again after a deadlock. Raises BadArgument 68 while
        another caller delivers this derivation.
        """
        arguments = {"derivation_key": key, "max_rows": max_rows}

        def before_commit(results: list[Sequence[Row]]) -> None:
            write(_due_of(results[0]))

        rows = call_as_one(self._using, procedures.TAKE_DELIVERIES, lambda: [arguments], before_commit=before_commit)
        return _due_of(rows[0])

    def fill_deliveries(self, key: str, *, max_rows: int, restart: bool = False) -> Filled:
        """Queue deliveries of all subjects with answers after a target was declared, or once more (``restart``)."""
        arguments = {"derivation_key": key, "max_rows": max_rows, "restart": restart}
        filled, is_done = self._call(procedures.FILL_DELIVERIES, arguments)[0]
        return Filled(filled=filled, is_done=bool(is_done))

    def refuse_delivery(self, delivery_seq: int, *, why: str) -> bool:
        """Record that the target refused a row; it waits for its subject's next change. Repeatable."""
        arguments = {"delivery_seq": delivery_seq, "why": why[:1000]}
        return bool(self._call(procedures.REFUSE_DELIVERY, arguments)[0][0])

    def _set_derivation(self, key: str, actor: str, **values: object) -> BatchChange:
        arguments = {"derivation_key": key, "actor": actor, **given(**values)}
        changed, why = self._call(procedures.SET_DERIVATION, arguments)[0]
        return BatchChange(changed=bool(changed), why=why)


def _due_of(rows: Sequence[Row]) -> list[DueSubject]:
    """Return the subjects of an outbox's rows."""
    return [
        DueSubject(
            delivery_seq=seq,
            entity_type=kind,
            entity_id=name,
            state=SubjectState(state),
            run_id=None if run_id is None else as_guid(run_id),
            changed_utc=changed,
        )
        for seq, kind, name, state, run_id, changed in rows
    ]
