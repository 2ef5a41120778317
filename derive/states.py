"""The states of jobs and runs, the allowed transitions between them, and the event for each.

The values are those of the ``llm`` schema: both engines' CHECK constraints list exactly these.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobStatus(StrEnum):
    """The state of a job."""

    NEW = "NEW"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    SPLIT = "SPLIT"
    """It waits for its parts, jobs of their own that each read a window of its evidence."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    DEADLETTER = "DEADLETTER"
    CANCELLED = "CANCELLED"


class RunStatus(StrEnum):
    """The state of a run."""

    RUNNING = "RUNNING"
    SPLIT = "SPLIT"
    """It queued its job's parts instead of asking a model."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class LeaseState(StrEnum):
    """What a heartbeat learns about a run."""

    HELD = "held"
    CANCEL_REQUESTED = "cancel_requested"
    LOST = "lost"
    STRAY = "stray"


class Verdict(StrEnum):
    """Whether a quote supports a value, contradicts it, or leaves it open."""

    SUPPORTED = "SUPPORTED"
    REFUTED = "REFUTED"
    NOT_ENOUGH_INFO = "NOT_ENOUGH_INFO"


class ReviewStatus(StrEnum):
    """The review of a fact: not needed, open, or one of three decisions."""

    NONE = "NONE"
    OPEN = "OPEN"
    ACCEPTED = "ACCEPTED"
    CORRECTED = "CORRECTED"
    REJECTED = "REJECTED"


class ReviewDecision(StrEnum):
    """What a person decides about a fact."""

    ACCEPTED = "ACCEPTED"
    CORRECTED = "CORRECTED"
    REJECTED = "REJECTED"
    NOT_SURE = "NOT_SURE"
    """Somebody else decides."""
    NONE = "NONE"
    """Takes back what the same person decided."""
    ADDED = "ADDED"
    """A fact that the answer lacks."""


ADDED_BY_PERSON = "person"
"""The ``proof`` of a fact that a person added: no rule judged it."""
FIRST_ADDED_FACT = 1_000_000
"""The ``fact_index`` from which added facts of an answer are numbered."""


class JobEventName(StrEnum):
    """The events that ``llm.job_event`` records."""

    ENQUEUED = "enqueued"
    PROMOTED = "promoted"
    CLAIMED = "claimed"
    COMPLETED = "completed"
    RETRIED = "retried"
    DEAD_LETTERED = "dead_lettered"
    RELEASED = "released"
    LEASE_EXPIRED = "lease_expired"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    REQUEUED = "requeued"
    RESCHEDULED = "rescheduled"
    REPRIORITIZED = "reprioritized"
    MODEL_CHANGED = "model_changed"
    HELD = "held"
    UNHELD = "unheld"
    PURGED = "purged"
    """The job was deleted; only this event remains."""
    FACT_REVIEWED = "fact_reviewed"
    """A person decided about one of its facts."""
    SPLIT = "split"
    """A run queued the job's parts."""
    JOINED = "joined"
    """All its parts have ended: it is ready for the run that joins their answers."""


class BatchEventName(StrEnum):
    """What was done to a batch."""

    CREATED = "batch_created"
    FILLED = "batch_filled"
    """All its jobs are queued: it ends when they have."""
    PAUSED = "batch_paused"
    RESUMED = "batch_resumed"
    CANCELLED = "batch_cancelled"
    BUDGET_CHANGED = "batch_budget_changed"
    FINISHED = "batch_finished"
    CONTINUED = "batch_continued"
    """What follows it was queued, or (``error`` in the detail) can never be."""


class SubjectState(StrEnum):
    """The state of a derivation's subject."""

    MISSING = "MISSING"
    """It has not been asked about."""
    QUEUED = "QUEUED"
    CURRENT = "CURRENT"
    """Its answer is to its present evidence, definition and model."""
    STALE = "STALE"
    """Its answer is out of date, and in use until the next one succeeded."""
    FAILED = "FAILED"
    """Its newest job ended without an answer; an earlier answer stays in use."""
    RETIRED = "RETIRED"
    """It is gone from the source, or a rule leaves it out."""


class StaleBecause(StrEnum):
    """Why an answer is out of date."""

    EVIDENCE = "evidence"
    DEFINITION = "definition"
    MODEL = "model"
    ASKED = "asked"
    """Somebody asked for a new answer."""


STATE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        JobStatus.NEW: "Ready",
        JobStatus.SCHEDULED: "Scheduled",
        JobStatus.RUNNING: "Running",
        JobStatus.SPLIT: "In parts",
        JobStatus.SUCCEEDED: "Succeeded",
        JobStatus.FAILED: "Failed",
        JobStatus.DEADLETTER: "Gave up",
        JobStatus.CANCELLED: "Cancelled",
    }
)
"""What pages call the states of jobs, and of runs; SQL, commands and the API use the codes."""


def name_of_event(event: str, to_status: str) -> str:
    """Return an event's name for people: ``completed`` by the run's outcome, any other as it is recorded."""
    if event == JobEventName.COMPLETED:
        return "succeeded" if to_status == JobStatus.SUCCEEDED else "failed"
    return event


class EndpointState(StrEnum):
    """The state of a model server, as reported by a worker that uses it."""

    UP = "UP"
    DOWN = "DOWN"
    """It does not answer correctly; the worker probes it."""
    PAUSED = "PAUSED"
    """It rejects this worker because of a configuration error; it gets no requests until that is corrected."""


WAITING = frozenset({JobStatus.NEW, JobStatus.SCHEDULED})
LIVE = frozenset({JobStatus.NEW, JobStatus.SCHEDULED, JobStatus.RUNNING, JobStatus.SPLIT})
ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.CANCELLED})
REQUEUEABLE = frozenset({JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.CANCELLED})
HOLDS_DEDUPE_KEY = LIVE | {JobStatus.SUCCEEDED}
"""A job holds its ``dedupe_key`` in these states."""

LEGAL_MOVES: dict[JobStatus | None, frozenset[JobStatus]] = {
    None: WAITING,
    JobStatus.NEW: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.SCHEDULED}),
    JobStatus.SCHEDULED: frozenset({JobStatus.NEW, JobStatus.CANCELLED}),
    JobStatus.RUNNING: ENDED | WAITING | {JobStatus.SPLIT},
    JobStatus.SPLIT: frozenset({JobStatus.NEW, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: WAITING | {JobStatus.SPLIT},
    JobStatus.DEADLETTER: WAITING | {JobStatus.SPLIT},
    JobStatus.CANCELLED: WAITING | {JobStatus.SPLIT},
}
"""For each state (None: not yet queued), the states a stored procedure may move a job to."""


def is_legal_move(from_status: JobStatus | None, to_status: JobStatus) -> bool:
    """Whether a job may move from one state to the other; staying is always allowed."""
    return from_status == to_status or to_status in LEGAL_MOVES[from_status]
