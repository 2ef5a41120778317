"""Procedures that declare derivations and bring their subjects to what a comparison found."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from derive.batch_contracts import BatchChange
from derive.contracts import JobInput
from derive.derivation_contracts import Declaration, SubjectChange
from derive.queue.connection import QueueConnection, given
from derive.sql import payloads, procedures

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

    def _set_derivation(self, key: str, actor: str, **values: object) -> BatchChange:
        arguments = {"derivation_key": key, "actor": actor, **given(**values)}
        changed, why = self._call(procedures.SET_DERIVATION, arguments)[0]
        return BatchChange(changed=bool(changed), why=why)
