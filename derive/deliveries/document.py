"""Deliveries as plain values, for commands' JSON."""

from typing import Any

from derive.deliveries.delivering import Delivered
from derive.deliveries.outbox import Outbox


def delivered_document(done: Delivered) -> dict[str, Any]:
    """Return what ``deliver --json`` prints of one derivation; times are ``datetime``."""
    return {
        "derivation": done.key,
        "table": done.table,
        "written": done.written,
        "retired": done.retired,
        "problem": done.problem,
        **outbox_document(done.outbox),
    }


def target_document(looked: Delivered) -> dict[str, Any]:
    """Return what a derivation's status tells of its target."""
    return {"table": looked.table, "problem": looked.problem, **outbox_document(looked.outbox)}


def outbox_document(outbox: Outbox) -> dict[str, Any]:
    """Return what waits, and what was refused."""
    return {
        "waiting": outbox.waiting,
        "oldest_utc": outbox.oldest_utc,
        "refused": outbox.refused,
        "refusals": [
            {"entity_type": one.entity_type, "entity_id": one.entity_id, "why": one.why} for one in outbox.refusals
        ],
    }
