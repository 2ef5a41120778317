"""Frozen models of jobs in parts: what a run queues instead of asking a model, and what became of it."""

from pydantic import Field

from derive.states import JobStatus
from derive.strict_types import Frozen, Guid, JsonObjectText

MAX_PARTS = 5_000
"""Parts of one job: all of them are queued in one transaction."""


class PartInput(Frozen):
    """One part to queue: its number, from 1, and the reference to its evidence."""

    part_no: int = Field(ge=1, le=MAX_PARTS)
    evidence_ref_json: JsonObjectText


class Split(Frozen):
    """The parts of a job, and the input that all of them have; a parameter of ``llm.usp_split_job``."""

    input_json: JsonObjectText
    parts: tuple[PartInput, ...] = Field(min_length=1, max_length=MAX_PARTS)


class Joined(Frozen):
    """A SPLIT job whose parts have ended: NEW for the run that joins them, or CANCELLED."""

    job_id: Guid
    final_status: JobStatus
