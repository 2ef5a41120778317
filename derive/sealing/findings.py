"""Findings of a verification of the sealed history, and its summary."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from derive.plural import plural
from derive.verify.findings import one_line


class FindingKind(StrEnum):
    """What happened to something that was, or should have been, sealed."""

    CHANGED = "changed"
    MISSING = "missing"
    """Deleted without a purge event."""
    INSERTED = "inserted"
    """Exists, but was not sealed."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One difference from the sealed history. ``thing``: seal, event, job, run, artifact or file; ``name``: which."""

    thing: str
    name: str
    what: FindingKind
    why: str
    job_id: UUID | None = field(default=None, compare=False)
    """The job it concerns, if any: its consequences are not reported again."""

    def line(self) -> str:
        """Format it on one line that is safe for terminals, whatever a file is called."""
        return f"{self.thing} {one_line(self.name)} {self.what.value}: {one_line(self.why)}"

    def plain(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict."""
        job_id = None if self.job_id is None else str(self.job_id)
        return {"kind": "finding", **asdict(self), "what": self.what.value, "job_id": job_id}


@dataclass
class AuditSummary:
    """The amount verified; ``seal_seq`` and ``head`` are the last seal's, to be stored where nobody can change them."""

    seal_seq: int = 0
    head: str = "0" * 64
    seals: int = 0
    events: int = 0
    runs: int = 0
    files: int = 0
    bytes_read: int = 0
    purged_jobs: int = 0
    unsealed_events: int = 0
    findings: int = 0
    seconds: float = 0.0
    by_thing: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """Format the summary on one line."""
        return (
            f"verified {plural(self.seals, 'seal')}, {plural(self.events, 'event')}, {plural(self.runs, 'run')}, "
            f"{plural(self.files, 'file')} ({plural(self.bytes_read, 'byte')}) in {self.seconds:.1f} s; "
            f"{plural(self.purged_jobs, 'job')} purged, {plural(self.unsealed_events, 'event')} not sealed yet: "
            f"{plural(self.findings, 'finding')}; head {self.seal_seq}:{self.head}"
        )

    def plain(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict."""
        return {"kind": "summary", **asdict(self), "seconds": round(self.seconds, 3), "by_thing": dict(self.by_thing)}
