"""One small fault in one file."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATH_VARIABLE = "MUTANT_PATH"
TEXT_VARIABLE = "MUTANT_TEXT_FILE"
"""How a process of pytest is told its mutant: the file it stands for, below ROOT, and where its text is."""


@dataclass(frozen=True)
class Mutant:
    """A file's text with one small change. ``name`` stays the same when lines above the change move."""

    path: str
    line: int
    within: str
    change: str
    text: str

    @property
    def name(self) -> str:
        """Where and what, without a line number: ``derive/backoff.py backoff_seconds: min → max``."""
        return f"{self.path} {self.within}: {self.change}"
