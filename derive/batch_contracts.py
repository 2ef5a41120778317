"""Frozen models of batches: what makes one, what follows it, and what became of a call."""

from pydantic import Field

from derive.contracts import JobInput
from derive.states import BatchEventName
from derive.strict_types import Frozen, Guid, Key200

MAX_BUDGET = 2**53
"""Far above any budget, and exact in every JSON reader."""


class FollowUp(Frozen):
    """Jobs that are queued once, when a batch has ended; with a ``name`` as a batch of that name.

    Budget and ``on_finish`` are the following batch's own, so continuations chain.
    """

    jobs: tuple[JobInput, ...] = Field(min_length=1)
    name: Key200 | None = None
    budget_tokens: int | None = Field(default=None, ge=1, le=MAX_BUDGET)
    budget_model_seconds: int | None = Field(default=None, ge=1, le=MAX_BUDGET)
    on_finish: "FollowUp | None" = None


class BatchInput(Frozen):
    """A batch to open: the parameters of ``llm.usp_open_batch``.

    A batch pauses itself when a budget is spent; ``budget_model_seconds`` is the model server's own time.
    """

    name: Key200
    budget_tokens: int | None = Field(default=None, ge=1, le=MAX_BUDGET)
    budget_model_seconds: int | None = Field(default=None, ge=1, le=MAX_BUDGET)
    on_finish: "FollowUp | None" = None
    derivation_key: Key200 | None = None


class OpenedBatch(Frozen):
    """The batch that a name stands for; ``is_new`` if this call made it."""

    batch_id: Guid
    is_new: bool


class BatchChange(Frozen):
    """Whether a batch was changed, and if not, why."""

    changed: bool
    why: str | None = None


class BatchMarked(Frozen):
    """One step of bringing a pause or resume to a batch's jobs."""

    marked: int
    is_done: bool


class Swept(Frozen):
    """What a sweep did to a batch; ``event`` None: a pause or resume has not reached all its jobs."""

    batch_id: Guid
    event: BatchEventName | None
