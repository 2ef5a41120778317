"""``parts.json``: the parts that a joined answer was made of, and those that have no answer."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from derive.states import JobStatus
from derive.strict_types import Frozen, Guid, ReadableText, Sha256
from derive.windows.window import Window


class UnreadText(NamedTuple):
    """A stretch of an evidence item that was not read, in code points; the end is exclusive."""

    evidence_id: str
    start: int
    end: int


class PartRecord(Frozen):
    """One part: its windows, and the run that answered it with the hashes of its evidence, definition and answer.

    The columns of the run are None for a part without an answer; ``error_kind`` and ``error`` then say why.
    ``halvings``: how often its windows were halved because they were too much for the model.
    """

    part_no: Annotated[int, Field(ge=1)]
    job_id: Guid
    status: JobStatus
    windows: tuple[Window, ...]
    halvings: int = 0
    run_id: Guid | None = None
    definition_sha256: Sha256 | None = None
    evidence_sha256: Sha256 | None = None
    output_uri: str | None = None
    output_sha256: Sha256 | None = None
    error_kind: str | None = None
    error: ReadableText | None = None


class PartsDocument(Frozen):
    """The parts of a job in order; ``evidence_sha256`` is the hash of the whole evidence, which ``split_run_id``
    stored.
    """  # noqa: D205 - one sentence

    version: Literal[1] = 1
    split_run_id: Guid
    evidence_sha256: Sha256
    parts: tuple[PartRecord, ...]

    @property
    def unread(self) -> tuple[PartRecord, ...]:
        """The parts without an answer, whose evidence was not read."""
        return tuple(part for part in self.parts if part.run_id is None)

    def unread_text(self) -> list[UnreadText]:
        """Return the text that no part with an answer read, in the order of the parts; overlaps were read."""
        read: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for part in self.parts:
            if part.run_id is not None:
                for window in part.windows:
                    read[window.evidence_id].append((window.start, window.end))
        return [
            UnreadText(window.evidence_id, start, end)
            for part in self.unread
            for window in part.windows
            for start, end in _without((window.start, window.end), sorted(read[window.evidence_id]))
        ]


def _without(stretch: tuple[int, int], others: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what is left of a stretch without others, which are in ascending order."""
    start, end = stretch
    for other_start, other_end in others:
        if start < min(other_start, end):
            yield start, min(other_start, end)
        start = max(start, other_end)
    if start < end:
        yield start, end
