"""The source ``jobs``: the latest answers of an earlier interrogation, so that interrogations chain.

For example::

    [[source]]
    name = "summaries"
    kind = "jobs"
    entity_type = "contract"            # of the jobs, and so of the subjects
    interrogation = "contract_summary"

Each entity with a succeeded answer is a subject; the answer's JSON is its evidence, and the run's id its change token.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from urllib.parse import quote

from pydantic import Field

from derive.errors import SourceError
from derive.evidence.references import EvidenceRef
from derive.sources.answers import LatestAnswer, LatestAnswers
from derive.sources.contract import SkippedSubject, Source, SourceSubject, SubjectEvidence, Unreadable
from derive.sources.declaration import EntityType, SourceDeclaration
from derive.sources.row_values import checked_text
from derive.sources.sql_database import ROWS_AT_ONCE, system_of_record
from derive.strict_types import Frozen, Key200

DEFAULT_TIMEOUT_SECONDS = 60


class JobsKeys(Frozen):
    """The keys of a source of kind ``jobs``."""

    entity_type: EntityType
    interrogation: Key200
    timeout_seconds: int = Field(default=DEFAULT_TIMEOUT_SECONDS, ge=1, le=3600, strict=True)


class JobAnswersSource(Source):
    """The latest succeeded answer of an interrogation about each entity."""

    kind = "jobs"

    def __init__(self, name: str, keys: JobsKeys, answers: LatestAnswers) -> None:
        self.name = name
        self._keys = keys
        self._answers = answers

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        """As ``Source.subjects``."""
        return map(self._subject, self._answers.all(with_outputs=False))

    def read_all(self) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.read_all``."""
        return map(self._read, self._answers.all(with_outputs=True))

    def with_evidence(
        self, subjects: Iterable[SourceSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.with_evidence``; asks for a hundred subjects at a time."""
        remaining = iter(subjects)
        while chunk := list(islice(remaining, ROWS_AT_ONCE)):
            found = self._answers.about([subject.entity_id for subject in chunk])
            for subject in chunk:
                answer = found.get(subject.entity_id)
                gone = Unreadable(subject.address, "there is no succeeded answer about it any more", subject)
                yield gone if answer is None else self._read(answer)

    def _subject(self, answer: LatestAnswer) -> SourceSubject:
        address = f"run:{answer.run_id}"
        return SourceSubject(self._keys.entity_type, answer.entity_id, answer.run_id, address)

    def _read(self, answer: LatestAnswer) -> SubjectEvidence | Unreadable:
        subject = self._subject(answer)
        name = quote(self._keys.interrogation, safe="")[:200]
        try:
            text = checked_text(answer.output_json, column="its answer")
        except SourceError as error:
            return Unreadable(subject.address, str(error), subject)
        if text is None:
            return Unreadable(subject.address, "its run has no stored answer", subject)
        return SubjectEvidence(subject, (EvidenceRef(evidence_id=name, source_uri=subject.address, text=text),))


def open_jobs(declaration: SourceDeclaration) -> JobAnswersSource:
    """Return the declared source; raises as ``OpenSource``."""
    keys = JobsKeys.model_validate(declaration.keys)
    answers = LatestAnswers(
        system_of_record(declaration.seconds_of(keys.timeout_seconds)), keys.interrogation, keys.entity_type
    )
    return JobAnswersSource(declaration.name, keys, answers)
