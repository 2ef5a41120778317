"""What operators can do to jobs: each action's texts, its value, and its ``JobQueue`` call."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django import forms

from derive.admin.jobs.bulk.rerun import run_again
from derive.admin.jobs.form_fields import TIME_PROBLEM, MomentField, ReasonField, StorableField, WholeNumberField
from derive.contracts import JobChange, JobRef
from derive.models import Job
from derive.queue import JobQueue
from derive.states import JobStatus
from derive.strict_types import MAX_INT


@dataclass(frozen=True)
class Confirmed:
    """What a user confirmed: who, why, the action's value, and the id of the form, the same if it is sent twice."""

    actor: str
    reason: str
    value: Any = None
    form_id: UUID = field(default_factory=uuid4)


Act = Callable[[JobQueue, Sequence[JobRef], Confirmed], list[JobChange]]

_WAITING = frozenset({JobStatus.NEW, JobStatus.SCHEDULED})
_GIVEN_UP = frozenset({JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.CANCELLED})
_LIVE = _WAITING | {JobStatus.RUNNING, JobStatus.SPLIT}
_EVERY = frozenset(JobStatus)

_PRIORITY = WholeNumberField(
    label="Priority (higher runs first; default 100)",
    most=MAX_INT,
    problem=f"Write a priority from 0 to {MAX_INT}; higher runs first.",
    initial=100,
)
_WHEN = MomentField(label="Ready from", error_messages={"required": TIME_PROBLEM})
_MODEL = StorableField(
    label="Model (empty: the worker's own)",
    required=False,
    empty_value=None,
    max_length=200,
    error_messages={"max_length": "A model's name has at most 200 characters."},
)


@dataclass(frozen=True)
class Action:
    """One action. ``what`` describes its effect; ``takes`` is the form field of the value it needs."""

    name: str
    title: str
    what: str
    act: Act
    takes: forms.Field | None = None
    undone_by: str | None = None
    """The event that stores the previous value for undo; None if the action cannot be undone."""
    is_destructive: bool = False
    of: frozenset[JobStatus] = _EVERY
    """The states whose jobs it changes; the procedures refuse jobs in others."""
    of_held: bool | None = None
    """True: only held jobs; False: only jobs not held; None: both."""

    def suits(self, job: Job) -> bool:
        """Whether it would change this job in its current state."""
        return job.status in self.of and self.of_held in {None, job.hold_utc is not None}


_ALL = (
    Action(
        "requeue",
        "Requeue",
        "Failed, dead-lettered and cancelled jobs are requeued with all their attempts. Others are refused.",
        lambda queue, refs, by: queue.requeue(refs, actor=by.actor, reason=by.reason),
        of=_GIVEN_UP,
    ),
    Action(
        "retry_at",
        "Retry at a time",
        "Failed, dead-lettered and cancelled jobs are requeued with all their attempts, ready at the time written "
        "below. Others are refused.",
        lambda queue, refs, by: queue.requeue(refs, actor=by.actor, reason=by.reason, available_utc=by.value),
        takes=_WHEN,
        of=_GIVEN_UP,
    ),
    Action(
        "cancel",
        "Cancel",
        "Waiting jobs are cancelled at once; running ones are stopped by their workers within seconds. "
        "Ended ones are refused.",
        lambda queue, refs, by: queue.cancel(refs, actor=by.actor, reason=by.reason),
        is_destructive=True,
        of=_LIVE,
    ),
    Action(
        "priority",
        "Set priority",
        "Jobs get the priority written below; higher runs first. Succeeded ones are refused.",
        lambda queue, refs, by: queue.reprioritize(refs, actor=by.actor, reason=by.reason, priority=int(by.value)),
        takes=_PRIORITY,
        undone_by="reprioritized",
        of=_LIVE | _GIVEN_UP,
    ),
    Action(
        "reschedule",
        "Reschedule",
        "Waiting jobs become ready at the time written below, and so do waiting parts. Running and ended ones are "
        "refused.",
        lambda queue, refs, by: queue.reschedule(refs, actor=by.actor, reason=by.reason, available_utc=by.value),
        takes=_WHEN,
        undone_by="rescheduled",
        of=_WAITING | {JobStatus.SPLIT},
    ),
    Action(
        "model",
        "Change model",
        "Jobs ask for the model written below from their next attempt on; left empty, for the worker's own. "
        "Succeeded ones are refused.",
        lambda queue, refs, by: queue.set_model_hint(refs, actor=by.actor, reason=by.reason, model_hint=by.value),
        takes=_MODEL,
        of=_LIVE | _GIVEN_UP,
    ),
    Action(
        "hold",
        "Hold",
        "Held jobs are never purged. They are worked as before.",
        lambda queue, refs, by: queue.set_hold(refs, actor=by.actor, reason=by.reason, hold=True),
        of_held=False,
    ),
    Action(
        "unhold",
        "End hold",
        "Jobs may be purged again when they are old enough.",
        lambda queue, refs, by: queue.set_hold(refs, actor=by.actor, reason=by.reason, hold=False),
        of_held=True,
    ),
    Action(
        "again",
        "Run again as new",
        "For each ended job a new one is queued, with the evidence, options, model and definition of its last run. "
        "The old job stays as it is.",
        lambda queue, refs, by: run_again(queue, refs, actor=by.actor, reason=by.reason, form_id=by.form_id),
        of=_GIVEN_UP | {JobStatus.SUCCEEDED},
    ),
)
ACTIONS = {action.name: action for action in _ALL}


class ConfirmForm(forms.Form):
    """The confirmation form: a reason, and the action's value."""

    reason = ReasonField()

    def __init__(self, action: Action, data: Any = None) -> None:
        super().__init__(data, auto_id=False)
        if action.takes:
            self.fields["value"] = deepcopy(action.takes)

    @property
    def asks_for_a_time(self) -> bool:
        """Whether the value is a time."""
        return isinstance(self.fields.get("value"), MomentField)
