"""Frozen models of derivations: what is declared, and what a comparison found of a subject."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from derive.batch_contracts import MAX_BUDGET
from derive.states import StaleBecause, SubjectState
from derive.strict_types import MAX_INT, Frozen, Guid, Key200, Key400, Sha256
from derive.target_contracts import Target

RetirePolicy = Literal["keep", "retire"]
"""Whether the facts of a subject that is gone stay admitted."""
DerivationKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]


def _check_cron(text: str) -> str:
    # Imported when it is needed: workers, who load this module with the queue, read no cron.
    from derive.cron import Cron

    return Cron.read(text).expression


class Declaration(Frozen):
    """A derivation: a source, the interrogation to ask about each of its subjects, and how.

    ``version`` pins the interrogation's; None means live: the version that workers use. ``model`` None means the
    workers' own. ``depth_limit`` bounds its unfinished jobs, ``rate_per_minute`` how many of them start in a minute;
    the budgets are those of each batch. ``schedule`` is a cron expression in UTC. ``target`` is the table that answers
    are delivered to.
    """

    source: DerivationKey
    interrogation: Key200
    version: Annotated[str, StringConstraints(min_length=1, max_length=40)] | None = None
    model: Key200 | None = None
    priority: int = Field(default=100, ge=0, le=MAX_INT)
    max_attempts: int = Field(default=3, ge=1, le=1000)
    schedule: Annotated[str, AfterValidator(_check_cron)] | None = None
    rate_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    depth_limit: int | None = Field(default=None, ge=1, le=MAX_INT)
    budget_tokens: int | None = Field(default=None, ge=1, le=MAX_BUDGET)
    budget_model_seconds: int | None = Field(default=None, ge=1, le=MAX_BUDGET)
    retire_policy: RetirePolicy = "retire"
    target: Target | None = None


class SubjectChange(Frozen):
    """What ``usp_set_subjects`` is to bring one subject to; see there what each state needs."""

    entity_type: Key200
    entity_id: Key400
    state: SubjectState
    stale_because: StaleBecause | None = None
    why: Annotated[str, StringConstraints(max_length=400)] | None = None
    change_token: Annotated[str, StringConstraints(max_length=400)] | None = None
    evidence_sha256: Sha256 | None = None
    definition_sha256: Sha256 | None = None
    model: Annotated[str, StringConstraints(max_length=200)] | None = None
    job_id: Guid | None = None


class Settled(Frozen):
    """How many subjects took the state of their jobs; ``is_caught_up`` false: call again."""

    settled: int
    is_caught_up: bool


class DueSubject(Frozen):
    """A subject taken from the outbox, as it is now. ``run_id`` None: it has no answer."""

    delivery_seq: int
    entity_type: str
    entity_id: str
    state: SubjectState
    run_id: Guid | None
    changed_utc: datetime


class Filled(Frozen):
    """How many deliveries were queued after a target was declared; ``is_done`` false: call again."""

    filled: int
    is_done: bool
