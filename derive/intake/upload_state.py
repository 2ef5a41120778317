"""An upload's progress, as stored in its folder."""

from derive.intake.line_format import LineFormat
from derive.strict_types import Frozen, Guid, Utc

MAX_BAD = 10_000
"""Checking stops after this many invalid lines: fix the file first."""
MAX_JOBS = 20_000
"""Valid jobs that are queued as a whole, in one request: staged in parts, then published by one call.

Nobody waits while the parts are staged. The publishing call holds its locks until it commits: on SQL Server the gap of
every dedupe key it looked for and a dozen locks a job, which never escalate on llm.job. Whoever ends or queues a job
with a neighbouring key waits for it, and on either engine so do sealing, roll-up and exports. For so many jobs that is
a few seconds, below every time-out; ``enqueue_jobs`` queues more of them, a transaction for each batch.
"""


class UploadRefused(ValueError):
    """The request is not possible for this upload; the message says why and what to do."""


class HeldKey(Frozen):
    """A dedupe key that queued nothing, and the job that holds it."""

    dedupe_key: str
    job_id: Guid
    status: str


class UploadState(Frozen):
    """The progress of an upload. Lines count from 1; ``…_bytes`` are the sizes of its files.

    ``good`` above MAX_JOBS: there are too many, and the lines from ``next_line`` on were not checked. ``proof`` is a
    job that exists if, and only if, the file was queued.

    ``held_before`` and ``repeated`` predict ``duplicates``: valid jobs whose dedupe key was held when they were
    checked, and those whose free key an earlier line has.
    """

    name: str
    line_format: LineFormat
    size_bytes: int
    uploaded_utc: Utc
    next_line: int = 1
    read_bytes: int = 0
    good: int = 0
    good_bytes: int = 0
    bad: int = 0
    bad_bytes: int = 0
    marks_bytes: int = 0
    held_before: int = 0
    repeated: int = 0
    without_evidence: int = 0
    is_checked: bool = False
    is_queued: bool = False
    reason: str | None = None
    batch_id: Guid | None = None
    queued: int = 0
    duplicates: int = 0
    held: tuple[HeldKey, ...] = ()
    proof: Guid | None = None

    @property
    def is_too_long(self) -> bool:
        """Whether the file has more jobs than can be queued as a whole."""
        return self.good > MAX_JOBS

    @property
    def gave_up(self) -> bool:
        """Whether checking stopped at too many jobs or invalid lines, so the rest is unknown."""
        return self.is_too_long or self.bad >= MAX_BAD

    def why_not(self, *, skip_invalid: bool) -> str:
        """Return why nothing can be queued; empty if it can."""
        if not self.is_checked:
            return "The file is not checked to its end yet."
        if self.is_too_long:
            return (
                f"The file holds more than {MAX_JOBS:,} jobs, the most that are queued all or nothing: split it, or "
                "queue it on the server with manage.py enqueue_jobs, which takes files of any size, batch by batch."
            )
        if not self.good or self.gave_up:
            return "There is nothing to queue: fix the file and upload it again."
        if self.bad and not skip_invalid:
            return (
                "Some lines are invalid, so nothing was queued: fix the file, or choose to queue the valid ones alone."
            )
        return ""
