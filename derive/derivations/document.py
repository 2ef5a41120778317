"""Plans, applications and standings as plain values, for commands' JSON."""

from typing import Any

from derive.derivations.applying import Applied
from derive.derivations.planning import Plan
from derive.derivations.price import Price, PriceRange
from derive.derivations.status import Standing
from derive.states import StaleBecause, SubjectState


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return what ``derive plan --json`` prints."""
    return {
        "derivation": plan.derivation,
        "new": plan.new,
        "changed": plan.changed,
        "stale": {str(because): plan.stale[because] for because in StaleBecause if because != StaleBecause.EVIDENCE},
        "gone": plan.gone,
        "current": plan.current,
        "queued": plan.queued,
        "failed": plan.failed,
        "unreadable": plan.unreadable,
        "left_out": plan.left_out,
        "duplicates": plan.duplicates,
        "is_partial": plan.is_partial,
        "price": _price(plan.price),
        "unread": [{"address": one.address, "reason": one.reason} for one in plan.shown],
    }


def applied_document(key: str, applied: Applied) -> dict[str, Any]:
    """Return what ``derive apply --json`` prints."""
    return {
        "derivation": key,
        "queued": applied.queued,
        "retired": applied.retired,
        "left": applied.left,
        "unreadable": applied.unreadable,
        "left_out": applied.left_out,
        "batch_id": None if applied.batch_id is None else str(applied.batch_id),
        "is_stopped": applied.is_stopped,
        "why": applied.why,
        "unread": [{"address": one.address, "reason": one.reason} for one in applied.shown],
    }


def standing_document(standing: Standing) -> dict[str, Any]:
    """Return what ``derive status --json`` prints; times are ``datetime``, ids ``UUID``."""
    declared, row = standing.declared, standing.declared.row
    return {
        "derivation": declared.key,
        "declared_in": declared.declared_in,
        "declaration": declared.declaration.model_dump(mode="json") if declared.declaration else None,
        "broken": declared.broken,
        "subjects": standing.subjects,
        "percent": standing.percent,
        "states": {str(state): standing.states[state] for state in SubjectState},
        "stale": {str(because): standing.stale[because] for because in StaleBecause},
        "paused_utc": row.paused_utc if row else None,
        "pause_reason": row.pause_reason if row else None,
        "planned_utc": row.planned_utc if row else None,
        "applied_utc": row.applied_utc if row else None,
        "next_utc": row.next_utc if row else None,
        "batches": [
            {
                "batch_id": one.batch_id,
                "created_utc": one.created_utc,
                "queued_jobs": one.queued_jobs,
                "finished_utc": one.finished_utc,
                "paused_utc": one.paused_utc,
            }
            for one in standing.batches
        ],
    }


def _price(price: Price) -> dict[str, Any]:
    return {
        "jobs": price.jobs,
        "tokens": _estimate(price.tokens),
        "model_seconds": _estimate(price.model_seconds),
        "wall_seconds": _estimate(price.wall_seconds),
        "from_runs": price.from_runs,
        "why": price.why,
    }


def _estimate(estimate: PriceRange | None) -> dict[str, float | None]:
    if estimate is None:
        return {"expected": None, "low": None, "high": None}
    return {"expected": round(estimate.expected, 1), "low": round(estimate.low, 1), "high": round(estimate.high, 1)}
