"""What an operator can do to jobs: each action's words, its value, and its call of ``JobQueue``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.utils import timezone

from derive.admin.jobs.bulk.rerun import run_again
from derive.admin.lists.query_params import read_moment
from derive.contracts import JobChange, JobRef
from derive.models import Job
from derive.queue import JobQueue
from derive.states import JobStatus
from derive.strict_types import MAX_INT, check_storable

Value = int | str | datetime | None
Act = Callable[[JobQueue, Sequence[JobRef], str, str, Any], list[JobChange]]

_WAITING = frozenset({JobStatus.NEW, JobStatus.SCHEDULED})
_GIVEN_UP = frozenset({JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.CANCELLED})
_LIVE = _WAITING | {JobStatus.RUNNING}
_EVERY = frozenset(JobStatus)


@dataclass(frozen=True)
class Action:
    """One action. ``what`` says what will happen; ``takes`` is the value it asks for."""

    name: str
    title: str
    what: str
    act: Act
    takes: Literal["priority", "when", "model"] | None = None
    undone_by: str | None = None
    """The event whose earlier value an undo puts back; None: it cannot be undone."""
    is_destructive: bool = False
    of: frozenset[JobStatus] = _EVERY
    """The states whose jobs it changes; the procedures refuse the others."""
    of_held: bool | None = None
    """Of held jobs alone, or of those that are not; None: of both."""

    def suits(self, job: Job) -> bool:
        """Whether it would change this job as it stands."""
        return job.status in self.of and self.of_held in {None, job.hold_utc is not None}

    def read(self, text: str) -> Value:
        """Return the value that was written; raise ValueError, saying what to write."""
        return _READ[self.takes](text.strip()) if self.takes else None


def _read_priority(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_INT):
        raise ValueError(f"Write a priority from 0 to {MAX_INT}; higher is sooner.")
    return int(text)


def _read_when(text: str) -> datetime:
    moment = timezone.now() if text == "now" else read_moment(text)
    if moment is None:
        raise ValueError("Write a time such as now or 2026-01-31T12:00.")
    return moment


def _read_model(text: str) -> str | None:
    if len(text) > 200:
        raise ValueError("A model's name has at most 200 characters.")
    return check_storable(text) or None


_READ: dict[str, Callable[[str], Value]] = {"priority": _read_priority, "when": _read_when, "model": _read_model}

_ALL = (
    Action(
        "requeue",
        "Requeue",
        "Failed, dead-lettered and cancelled jobs are queued anew with all their attempts. Others are refused.",
        lambda queue, refs, actor, reason, _value: queue.requeue(refs, actor=actor, reason=reason),
        of=_GIVEN_UP,
    ),
    Action(
        "retry_at",
        "Retry at a time",
        "Failed, dead-lettered and cancelled jobs are queued anew with all their attempts, ready at the time written "
        "below. Others are refused.",
        lambda queue, refs, actor, reason, value: queue.requeue(refs, actor=actor, reason=reason, available_utc=value),
        takes="when",
        of=_GIVEN_UP,
    ),
    Action(
        "cancel",
        "Cancel",
        "Waiting jobs are cancelled at once; running ones are asked to stop, which their workers do within seconds. "
        "Ended ones are refused.",
        lambda queue, refs, actor, reason, _value: queue.cancel(refs, actor=actor, reason=reason),
        is_destructive=True,
        of=_LIVE,
    ),
    Action(
        "priority",
        "Set priority",
        "Jobs get the priority written below; higher is sooner. Succeeded ones are refused.",
        lambda queue, refs, actor, reason, value: queue.reprioritize(
            refs, actor=actor, reason=reason, priority=int(value)
        ),
        takes="priority",
        undone_by="reprioritized",
        of=_LIVE | _GIVEN_UP,
    ),
    Action(
        "reschedule",
        "Reschedule",
        "Waiting jobs become ready at the time written below. Running and ended ones are refused.",
        lambda queue, refs, actor, reason, value: queue.reschedule(
            refs, actor=actor, reason=reason, available_utc=value
        ),
        takes="when",
        undone_by="rescheduled",
        of=_WAITING,
    ),
    Action(
        "model",
        "Change model",
        "Jobs ask for the model written below from their next attempt on; left empty, for the worker's own. "
        "Succeeded ones are refused.",
        lambda queue, refs, actor, reason, value: queue.set_model_hint(
            refs, actor=actor, reason=reason, model_hint=value
        ),
        takes="model",
        of=_LIVE | _GIVEN_UP,
    ),
    Action(
        "hold",
        "Hold",
        "Held jobs are never purged. They are worked as before.",
        lambda queue, refs, actor, reason, _value: queue.set_hold(refs, actor=actor, reason=reason, hold=True),
        of_held=False,
    ),
    Action(
        "unhold",
        "End hold",
        "Jobs may be purged again when they are old enough.",
        lambda queue, refs, actor, reason, _value: queue.set_hold(refs, actor=actor, reason=reason, hold=False),
        of_held=True,
    ),
    Action(
        "again",
        "Run again as new",
        "For each ended job a new one is queued, with the evidence, options, model and definition of its last run. "
        "The old job stays as it is.",
        lambda queue, refs, actor, reason, _value: run_again(queue, refs, actor=actor, reason=reason),
        of=_GIVEN_UP | {JobStatus.SUCCEEDED},
    ),
)
ACTIONS = {action.name: action for action in _ALL}
