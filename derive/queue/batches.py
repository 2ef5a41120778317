"""Procedures that open, fill, pause, resume and cancel batches."""

import time
from typing import Any
from uuid import UUID, uuid4

from derive.batch_contracts import BatchChange, BatchInput, OpenedBatch
from derive.queue.connection import QueueConnection, given
from derive.queue.marking import mark_step
from derive.sql import payloads, procedures
from derive.sql.calls import as_guid


class BatchQueue(QueueConnection):
    """Procedures for batches; those of a worker's role stand in ``WorkerQueue``."""

    def open_batch(
        self, batch: BatchInput, *, actor: str | None = None, reason: str | None = None, batch_id: UUID | None = None
    ) -> OpenedBatch:
        """Return the batch of this name that has not ended, made if there is none. Repeatable.

        One that is there already keeps its budget and what follows it. A new one does not end before ``fill_batch``.
        """
        arguments = given(
            name=batch.name,
            actor=actor,
            reason=reason,
            batch_id=batch_id or uuid4(),
            budget_tokens=batch.budget_tokens,
            budget_model_seconds=batch.budget_model_seconds,
            on_finish_json=payloads.follow_up_json(batch.on_finish) if batch.on_finish else None,
            derivation_key=batch.derivation_key,
        )
        opened_id, is_new = self._call(procedures.OPEN_BATCH, arguments)[0]
        return OpenedBatch(batch_id=as_guid(opened_id), is_new=bool(is_new))

    def fill_batch(self, batch_id: UUID, *, actor: str, reason: str | None = None) -> BatchChange:
        """Say that all jobs of a batch are queued: it ends when they have."""
        return self._set_batch(batch_id, actor, reason, filled=True)

    def pause_batch(
        self, batch_id: UUID, *, actor: str, reason: str | None = None, seconds: float | None = None
    ) -> BatchChange:
        """Pause a batch: none of its jobs is claimed until it resumes; running ones go on.

        Jobs are paused in steps of 500, in the order of queueing; the answer comes when all are, or after
        ``seconds``. What is left then, or when the caller ends, is done by workers.
        """
        return self._then_mark(batch_id, self._set_batch(batch_id, actor, reason, paused=True), seconds)

    def resume_batch(
        self, batch_id: UUID, *, actor: str, reason: str | None = None, seconds: float | None = None
    ) -> BatchChange:
        """Let a paused batch's jobs be claimed again; refused while its budget is spent."""
        return self._then_mark(batch_id, self._set_batch(batch_id, actor, reason, paused=False), seconds)

    def close_batch(self, batch_id: UUID, *, actor: str, reason: str | None = None) -> BatchChange:
        """Mark a batch as cancelled: it takes no more jobs. Those in it are cancelled by ``derive.batches.acting``."""
        return self._set_batch(batch_id, actor, reason, cancelled=True)

    def set_batch_budget(
        self,
        batch_id: UUID,
        *,
        actor: str,
        budget_tokens: int | None = None,
        budget_model_seconds: int | None = None,
        reason: str | None = None,
    ) -> BatchChange:
        """Set the given budgets; 0 removes one. A paused batch stays paused."""
        budgets = {"budget_tokens": budget_tokens, "budget_model_seconds": budget_model_seconds}
        return self._set_batch(batch_id, actor, reason, **given(**budgets))

    def _set_batch(self, batch_id: UUID, actor: str, reason: str | None, **values: Any) -> BatchChange:
        arguments = {"batch_id": batch_id, "actor": actor, **values, **given(reason=reason)}
        changed, why = self._call(procedures.SET_BATCH, arguments)[0]
        return BatchChange(changed=bool(changed), why=why)

    def _then_mark(self, batch_id: UUID, change: BatchChange, seconds: float | None) -> BatchChange:
        deadline = None if seconds is None else time.monotonic() + seconds
        while not mark_step(self._call, batch_id).is_done:
            if deadline is not None and time.monotonic() > deadline:
                break
        return change
