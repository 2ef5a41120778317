"""A batch's figures as plain values, for commands' JSON."""

from typing import Any

from derive.batches.reading import BatchFigures, Range


def as_document(figures: BatchFigures) -> dict[str, Any]:
    """Return what ``batches show --json`` prints; times are ``datetime``, ids ``UUID``."""
    batch = figures.batch
    return {
        "batch_id": batch.batch_id,
        "name": batch.name,
        "state": figures.state.value,
        "created_utc": batch.created_utc,
        "created_by": batch.created_by,
        "derivation_key": batch.derivation_key,
        "previous_batch_id": batch.previous_batch_id,
        "queued_jobs": batch.queued_jobs,
        "duplicate_jobs": batch.duplicate_jobs,
        "jobs": {status.value: amount for status, amount in figures.jobs.items()},
        "failures": dict(figures.failures),
        "counted_utc": figures.counted_utc,
        "ended": figures.ended,
        "left": figures.left,
        "percent": figures.percent,
        "seconds_left": _range(figures.seconds_left),
        "spent": {"tokens": batch.spent_tokens, "model_seconds": batch.spent_model_ms / 1000},
        "expected": {"tokens": _range(figures.tokens), "model_seconds": _range(figures.model_seconds)},
        "budget": {"tokens": batch.budget_tokens, "model_seconds": batch.budget_model_seconds},
        "paused_utc": batch.paused_utc,
        "paused_by": batch.paused_by,
        "pause_reason": batch.pause_reason,
        "cancelled_utc": batch.cancelled_utc,
        "finished_utc": batch.finished_utc,
        "continued_utc": batch.continued_utc,
    }


def _range(value: Range | None) -> dict[str, float | None] | None:
    if value is None:
        return None
    return {
        "expected": round(value.expected, 1),
        "low": round(value.low, 1),
        "high": None if value.high is None else round(value.high, 1),
    }
