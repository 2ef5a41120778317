"""Results of a verification: findings, orphans, and a summary."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from derive.plural import plural

MAX_WHAT_CHARACTERS = 600


class Check(StrEnum):
    """The check that found a problem."""

    ROW = "row"
    """An artifact row is missing, or differs from the manifest."""
    FACTS = "facts"
    """The run's row differs from the manifest."""
    MANIFEST = "manifest"
    """The manifest is invalid."""
    MISSING = "missing"
    """A file, or the whole folder, is missing from the lake."""
    EXTRA = "extra"
    """The folder contains a file that is not listed."""
    SIZE = "size"
    """A file's size differs from the record."""
    BYTES = "bytes"
    """A file's SHA-256 differs from the record."""
    UNREADABLE = "unreadable"
    """A file could not be read or parsed: a link, missing permissions, a broken disk, a wrong format."""
    DEFINITION = "definition"
    """The run's definition is missing, or does not match its hash."""
    EVIDENCE = "evidence"
    """The evidence bundle is inconsistent, or not the one the run names."""
    PROMPT = "prompt"
    """The rendered prompt differs."""
    REQUEST = "request"
    """The request does not match the prompt, definition and run."""
    MODEL = "model"
    """The model's snapshot does not match the run."""
    RESPONSE = "response"
    """The answer rebuilt from the stream differs."""
    METRICS = "metrics"
    """The run's metrics differ from the answer's."""
    VALIDATION = "validation"
    """Validating the answer again gives another result."""
    FACTS_STORED = "fact_rows"
    """The rows of the run's facts differ from judging the answer again: a verdict, an offset, a value."""
    OUTPUT = "output"
    """The output differs from the answer, or between SQL and the lake."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem. ``file`` is a name in the run's folder, empty if it concerns the whole run.

    ``what`` never repeats a prompt, evidence or an answer.
    """

    run_id: UUID
    file: str
    check: Check
    what: str

    def line(self) -> str:
        """Format it on one line that is safe for terminals, whatever a file is called."""
        return f"{self.run_id} {one_line(self.file) or '-'} {self.check.value}: {one_line(self.what)}"

    def plain(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict."""
        return {"kind": "finding", **asdict(self), "run_id": str(self.run_id), "check": self.check.value}


@dataclass(frozen=True, slots=True)
class Orphan:
    """A run's folder without a manifest row; not a fault."""

    run_id: UUID
    folder: str
    why: str

    def line(self) -> str:
        """Format it on one line."""
        return f"{self.run_id} {self.folder}: {one_line(self.why)}"

    def plain(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict."""
        return {"kind": "orphan", **asdict(self), "run_id": str(self.run_id)}


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one run: its findings, and how much was checked."""

    run_id: UUID
    findings: tuple[Finding, ...]
    files: int
    bytes_read: int


@dataclass
class VerificationSummary:
    """How much was verified; ``seconds`` is the total time, including orphans."""

    runs: int = 0
    files: int = 0
    bytes_read: int = 0
    findings: int = 0
    orphans: int = 0
    seconds: float = 0.0
    by_check: Counter[str] = field(default_factory=Counter)

    @property
    def runs_per_second(self) -> float:
        """Runs verified per second."""
        return self.runs / self.seconds if self.seconds else 0.0

    @property
    def megabytes_per_second(self) -> float:
        """Megabytes read from the lake per second."""
        return self.bytes_read / 1e6 / self.seconds if self.seconds else 0.0

    def line(self) -> str:
        """Format the summary on one line."""
        return (
            f"verified {plural(self.runs, 'run')}, {plural(self.files, 'file')}, {plural(self.bytes_read, 'byte')} "
            f"in {self.seconds:.1f} s ({self.runs_per_second:.0f} runs/s, {self.megabytes_per_second:.1f} MB/s): "
            f"{plural(self.findings, 'fault')}, {plural(self.orphans, 'orphan')}"
        )

    def plain(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict."""
        return {
            "kind": "summary",
            "runs": self.runs,
            "files": self.files,
            "bytes": self.bytes_read,
            "seconds": round(self.seconds, 3),
            "runs_per_second": round(self.runs_per_second, 1),
            "megabytes_per_second": round(self.megabytes_per_second, 2),
            "findings": self.findings,
            "by_check": dict(self.by_check),
            "orphans": self.orphans,
        }


class Findings:
    """Collects the findings of one run, and which files must not be used further."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.found: list[Finding] = []

    def add(self, file: str, check: Check, what: str) -> None:
        """Add a finding."""
        self.found.append(Finding(self.run_id, file, check, shortened(what)))


def shortened(text: str) -> str:
    """Shorten the text to fit a line."""
    return text if len(text) <= MAX_WHAT_CHARACTERS else text[: MAX_WHAT_CHARACTERS - 1] + "…"


def one_line(text: str) -> str:
    """Escape line breaks and terminal control characters."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode() for one in text
    )
