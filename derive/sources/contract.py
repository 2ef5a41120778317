"""What a source promises: its subjects, each with a change token, and their evidence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from derive.errors import SourceError
from derive.evidence.references import EvidenceRef

MAX_ENTITY_ID_CHARACTERS = 400
"""The size of ``job.entity_id``."""


@dataclass(frozen=True, slots=True)
class SourceSubject:
    """One thing to ask about: a file, or a row.

    ``change_token`` is opaque: while it equals the last one, the subject's text has not changed and need not be read.
    None means that the source cannot tell without reading the text. ``address`` is the URI of the original, without
    secrets. ``entity_id`` has at most 400 characters; a source may yield the same one twice.
    """

    entity_type: str
    entity_id: str
    change_token: str | None
    address: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something of the source that could not be read; ``reason`` says why, and what to do.

    ``subject`` is None if the original is not known to be one, such as a folder that cannot be opened.
    """

    address: str
    reason: str
    subject: SourceSubject | None = None


@dataclass(frozen=True, slots=True)
class SkippedSubject:
    """A subject that a rule of the source leaves out, with the rule's name and reason."""

    subject: SourceSubject
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class SubjectEvidence:
    """A subject with its evidence as a job carries it: the items of ``evidence_ref_json``.

    If a rule of the source routes the subject, ``interrogation_key`` is the interrogation that it is meant for and
    ``rule`` the rule's name; other interrogations do not ask about it. Otherwise both are None.
    """

    subject: SourceSubject
    items: tuple[EvidenceRef, ...] = field(repr=False)
    interrogation_key: str | None = None
    rule: str | None = None


class Source(Protocol):
    """One declared source. Only reads.

    What cannot be read of it is yielded among the rest as ``Unreadable``; SourceError is raised if the source as a
    whole cannot be read. Order is the same from call to call while nothing changes, as far as the original has one.
    """

    name: str
    kind: str

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        """Yield all subjects in constant memory, without reading their texts if they have change tokens."""

    def with_evidence(
        self, subjects: Iterable[SourceSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """Yield each of the given subjects with its evidence, in their order, in constant memory.

        The subject in the result carries the change token of what was read. A subject that is gone is ``Unreadable``.
        """

    def read_all(self) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """Yield all subjects with their evidence in one pass, in constant memory."""
        for found in self.subjects():
            if isinstance(found, SourceSubject):
                yield from self.with_evidence([found])
            else:
                yield found

    def evidence(self, subject: SourceSubject) -> tuple[EvidenceRef, ...]:
        """Return one subject's evidence; raise SourceError with the reason if there is none to be had."""
        for found in self.with_evidence([subject]):
            if isinstance(found, SubjectEvidence):
                return found.items
            raise SourceError(found.reason)
        raise SourceError(f"{self.name}: {subject.entity_id} is no longer in the source")
