"""How far an upload has come, as its folder remembers it."""

from derive.contracts import Frozen, Guid, Utc
from derive.intake.records import LineFormat

MAX_BAD = 10_000
"""Bad lines after which checking stops: whoever has so many mends the file before anything else."""


class UploadRefused(ValueError):
    """What was asked for cannot be done with this upload; the message says why and what to do."""


class Held(Frozen):
    """A dedupe key that queued nothing, and the job that holds it."""

    dedupe_key: str
    job_id: Guid
    status: str


class UploadState(Frozen):
    """How far an upload has come. Lines count from 1; ``…_bytes`` is what each of its files holds.

    ``held_before`` and ``repeated`` foretell what ``duplicates`` will be: good jobs whose dedupe key somebody held when
    they were checked, and those whose free key an earlier line has.
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
    is_queueing: bool = False
    is_queued: bool = False
    reason: str | None = None
    next_to_queue: int = 1
    queued: int = 0
    duplicates: int = 0
    held: tuple[Held, ...] = ()

    @property
    def gave_up(self) -> bool:
        """Whether checking ended at too many bad lines, so that the rest is unknown."""
        return self.bad >= MAX_BAD

    def why_not(self, *, skip_invalid: bool) -> str:
        """Return why nothing can be queued; empty when it can."""
        if not self.is_checked:
            return "The file is not checked to its end yet."
        if not self.good or self.gave_up:
            return "There is nothing to queue: mend the file and upload it again."
        if self.bad and not skip_invalid:
            return "Some lines are bad, so nothing was queued: mend the file, or choose to queue the good ones alone."
        return ""
