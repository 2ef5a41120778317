"""A promise is a function that looks for what breaks it, and is called after what it promises."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

Broken = Iterator[tuple[UUID | None, str]]
"""The job it happened to, None when it is no one job's; and what happened."""


@dataclass(frozen=True, slots=True)
class Violation:
    promise: str
    what: str
    job_id: UUID | None = None

    def line(self) -> str:
        return f"{self.promise}: {self.what}"


def judged(promise: Callable[..., Broken], *given: object) -> list[Violation]:
    """Return everything that breaks one promise."""
    return list(_violations(promise.__name__, promise(*given)))


def _violations(name: str, broken: Iterable[tuple[UUID | None, str]]) -> Iterator[Violation]:
    for job_id, what in broken:
        yield Violation(name.replace("_", " "), what, job_id)
