"""One small fault in one file."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATH_VARIABLE = "MUTANT_PATH"
TEXT_VARIABLE = "MUTANT_TEXT_FILE"
"""How a process that imports a mutant is told of it: the file it stands for, below ROOT, and where its text is."""


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

    @cached_property
    def sha256(self) -> str:
        """The hash of the mutant's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def digest_of(paths: tuple[str, ...]) -> str:
    """Return one hash of the texts of files below ROOT."""
    return hashlib.sha256(b"\0".join(Path(ROOT, path).read_bytes() for path in sorted(paths))).hexdigest()
