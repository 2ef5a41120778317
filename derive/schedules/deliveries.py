"""Delivers what waits of every derivation that declares a target."""

from derive.deadline import Deadline
from derive.deliveries.delivering import deliver, find_targets
from derive.errors import HolocronError
from derive.plural import plural
from derive.queue import JobQueue
from derive.schedules.single_flight import TaskOutcome, TaskResult


def deliver_due(deadline: Deadline) -> TaskResult:
    """Deliver until nothing waits or the time is over; a target that cannot be written stops no other."""
    told: list[str] = []
    is_failed = False
    queue = JobQueue()
    for declared in find_targets(None):
        if deadline.is_over:
            break
        try:
            done = deliver(declared, queue, actor=f"schedule:{declared.key}", stop_asked=lambda: deadline.is_over)
        except HolocronError as error:
            is_failed = True
            told.append(f"{declared.key}: {error}")
            continue
        if done.written or done.retired:
            told.append(f"{declared.key}: {plural(done.written + done.retired, 'row')} delivered")
        if done.problem is not None and done.outbox.waiting:
            is_failed = True
            told.append(f"{declared.key}: {plural(done.outbox.waiting, 'change')} waiting: {done.problem}")
    if not told:
        return TaskResult(TaskOutcome.IDLE)
    return TaskResult(TaskOutcome.FAILED if is_failed else TaskOutcome.DONE, "; ".join(told))
