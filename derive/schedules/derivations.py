"""Applies derivations that are due by their own cron: each once when it is due, however many times were missed."""

import logging

from derive.cron import Cron
from derive.deadline import Deadline
from derive.derivations.applying import NotApplied, apply_derivation
from derive.derivations.declarations import Declared, all_declared, record
from derive.errors import HolocronError
from derive.queue import JobQueue
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now

log = logging.getLogger(__name__)


def apply_due(deadline: Deadline) -> TaskResult:
    """Apply every derivation that is due; one that fails stops no other, and is tried again at its next time."""
    told: list[str] = []
    is_failed = False
    for declared in all_declared():
        if deadline.is_over:
            break
        if declared.declaration is None or declared.declaration.schedule is None:
            continue
        try:
            told += _apply_if_due(declared, deadline)
        except NotApplied as error:
            told.append(str(error))
        except HolocronError as error:
            is_failed = True
            told.append(f"{declared.key}: {error}")
    if not told:
        return TaskResult(TaskOutcome.IDLE)
    return TaskResult(TaskOutcome.FAILED if is_failed else TaskOutcome.DONE, "; ".join(told))


def _apply_if_due(declared: Declared, deadline: Deadline) -> list[str]:
    declaration, actor, queue = declared.usable(), f"schedule:{declared.key}", JobQueue()
    row = record(declared, queue, actor=actor)
    now = database_now()
    cron = Cron(declaration.schedule or "")
    if row.next_utc is None:
        # Declared a moment ago, or with another schedule than before: from now on.
        queue.mark_derivation(declared.key, actor=actor, next_utc=cron.after(now))
        return []
    if row.next_utc > now:
        return []
    # Moved on first: one that fails waits for its next time, as one that succeeds does.
    queue.mark_derivation(declared.key, actor=actor, next_utc=cron.after(now))
    if row.paused_utc is not None:
        return []
    done = apply_derivation(declared, queue, actor=actor, stop_asked=lambda: deadline.is_over)
    if not done.queued and not done.retired and not done.is_stopped:
        return []
    left = f", {done.left} left" if done.left else ", out of time" if done.is_stopped else ""
    return [f"{declared.key}: {done.queued} queued, {done.retired} retired{left}"]
