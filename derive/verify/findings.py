"""What a verification says: findings, orphans, and a summary."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from derive.plural import plural

MAX_WHAT_CHARACTERS = 600


class Check(StrEnum):
    """What was looked at when something was found."""

    ROW = "row"
    """An artifact's row is missing, or is not what the manifest lists."""
    FACTS = "facts"
    """The run's row is not what the manifest says of the run."""
    MANIFEST = "manifest"
    """The manifest is no manifest."""
    MISSING = "missing"
    """A file, or the whole folder, is not in the lake."""
    EXTRA = "extra"
    """A file stands in the folder that nothing lists."""
    SIZE = "size"
    """A file has more or fewer bytes than recorded."""
    BYTES = "bytes"
    """A file's bytes do not have the SHA-256 recorded."""
    UNREADABLE = "unreadable"
    """A file could not be read or understood: a link, a right that is missing, a broken disk, not its format."""
    DEFINITION = "definition"
    """The definition the run was asked by is gone, or is not what its hash says."""
    EVIDENCE = "evidence"
    """The evidence bundle does not hold together, or is not the one the run names."""
    PROMPT = "prompt"
    """The prompt, rendered again, is another."""
    REQUEST = "request"
    """What was sent is not what prompt, definition and run say."""
    MODEL = "model"
    """The model's snapshot is not what the run says."""
    RESPONSE = "response"
    """The answer, put together again from the stream, is another."""
    METRICS = "metrics"
    """The run's numbers are not the answer's."""
    VALIDATION = "validation"
    """The answer, validated again, is judged otherwise."""
    FACTS_STORED = "fact_rows"
    """The rows of the run's facts are not what judging the answer again gives: a verdict, an offset, a value."""
    OUTPUT = "output"
    """The output is not what the answer says, or SQL's is another than the lake's."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold. ``file`` is a name in the run's folder, empty when it is about the whole run.

    ``what`` never repeats a prompt, evidence or an answer.
    """

    run_id: UUID
    file: str
    check: Check
    what: str

    def line(self) -> str:
        """Return the finding on one line, fit for a terminal whatever a file is called."""
        return f"{self.run_id} {one_line(self.file) or '-'} {self.check.value}: {one_line(self.what)}"

    def plain(self) -> dict[str, Any]:
        """Return what JSON takes."""
        return {"kind": "finding", **asdict(self), "run_id": str(self.run_id), "check": self.check.value}


@dataclass(frozen=True, slots=True)
class Orphan:
    """A run's folder that no manifest row stands for; no fault."""

    run_id: UUID
    folder: str
    why: str

    def line(self) -> str:
        """Return the orphan on one line."""
        return f"{self.run_id} {self.folder}: {one_line(self.why)}"

    def plain(self) -> dict[str, Any]:
        """Return what JSON takes."""
        return {"kind": "orphan", **asdict(self), "run_id": str(self.run_id)}


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came out of one run: its findings, and how much was looked at."""

    run_id: UUID
    findings: tuple[Finding, ...]
    files: int
    bytes_read: int


@dataclass
class VerificationSummary:
    """How much was verified; ``seconds`` is the whole time, orphans included."""

    runs: int = 0
    files: int = 0
    bytes_read: int = 0
    findings: int = 0
    orphans: int = 0
    seconds: float = 0.0
    by_check: Counter[str] = field(default_factory=Counter)

    @property
    def runs_per_second(self) -> float:
        """Runs verified a second."""
        return self.runs / self.seconds if self.seconds else 0.0

    @property
    def megabytes_per_second(self) -> float:
        """Millions of bytes read from the lake a second."""
        return self.bytes_read / 1e6 / self.seconds if self.seconds else 0.0

    def line(self) -> str:
        """Return the summary on one line."""
        return (
            f"verified {plural(self.runs, 'run')}, {plural(self.files, 'file')}, {plural(self.bytes_read, 'byte')} "
            f"in {self.seconds:.1f} s ({self.runs_per_second:.0f} runs/s, {self.megabytes_per_second:.1f} MB/s): "
            f"{plural(self.findings, 'fault')}, {plural(self.orphans, 'orphan')}"
        )

    def plain(self) -> dict[str, Any]:
        """Return what JSON takes."""
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
    """Takes the findings of one run, and remembers which files are not to be built on."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.found: list[Finding] = []

    def add(self, file: str, check: Check, what: str) -> None:
        """Take one finding."""
        self.found.append(Finding(self.run_id, file, check, shortened(what)))


def shortened(text: str) -> str:
    """Return the text, cut where it is too long for a line."""
    return text if len(text) <= MAX_WHAT_CHARACTERS else text[: MAX_WHAT_CHARACTERS - 1] + "…"


def one_line(text: str) -> str:
    """Return the text with whatever could end the line or mean something to a terminal escaped."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode() for one in text
    )
