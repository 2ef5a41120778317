"""A source whose rules skip or route its subjects."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from derive.sources.answers import LatestAnswers
from derive.sources.contract import SkippedSubject, Source, SourceSubject, SubjectEvidence, Unreadable
from derive.sources.rules import CompiledRule, SourceRule
from derive.sources.sql_database import ROWS_AT_ONCE, SqlDatabase

Found = SubjectEvidence | Unreadable | SkippedSubject


class RuledSource(Source):
    """Applies rules to another source; the first that applies to a subject decides."""

    def __init__(self, source: Source, rules: Iterable[SourceRule], database: SqlDatabase) -> None:
        self.name = source.name
        self.kind = source.kind
        self._source = source
        self._rules = [CompiledRule(rule) for rule in rules]
        self._database = database
        self._asks_for_answers = any(one.rule.answer is not None for one in self._rules)

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        """As ``Source.subjects``; skips only what a rule skips by its entity alone."""
        for found in self._source.subjects():
            yield (self._skipped_unread(found) or found) if isinstance(found, SourceSubject) else found

    def with_evidence(self, subjects: Iterable[SourceSubject]) -> Iterator[Found]:
        """As ``Source.with_evidence``."""
        return self._judged(self._read_unskipped(subjects))

    def read_all(self) -> Iterator[Found]:
        """As ``Source.read_all``."""
        return self._judged(self._source.read_all())

    def _skipped_unread(self, subject: SourceSubject) -> SkippedSubject | None:
        """Apply the rules up to the first that needs the subject's texts or an answer."""
        for one in self._rules:
            if one.may_apply(subject):
                is_sure = one.rule.is_about_the_entity_alone and one.rule.skip is not None
                return SkippedSubject(subject, one.rule.name, one.rule.skip or "") if is_sure else None
        return None

    def _read_unskipped(self, subjects: Iterable[SourceSubject]) -> Iterator[Found]:
        """Read the subjects that no rule skips unread; keep the order."""
        order: deque[SkippedSubject | None] = deque()

        def unskipped() -> Iterator[SourceSubject]:
            for subject in subjects:
                order.append(self._skipped_unread(subject))
                if order[-1] is None:
                    yield subject

        for found in self._source.with_evidence(unskipped()):
            yield from _leading(order)
            order.popleft()
            yield found
        yield from _leading(order)

    def _judged(self, found: Iterator[Found]) -> Iterator[Found]:
        if not self._asks_for_answers:
            yield from (self._judge(one, {}) for one in found)
            return
        while chunk := list(islice(found, ROWS_AT_ONCE)):
            answers = self._answers_about(chunk)
            yield from (self._judge(one, answers) for one in chunk)

    def _judge(self, found: Found, answers: Mapping[tuple[str, str], str | None]) -> Found:
        if isinstance(found, SubjectEvidence):
            for one in self._rules:
                asked = one.rule.answer
                key = (asked.interrogation if asked else "", found.subject.entity_id)
                if one.applies(found, answers.get(key)):
                    return one.outcome(found)
        return found

    def _answers_about(self, chunk: list[Found]) -> dict[tuple[str, str], str | None]:
        """Return the answers that the rules ask for, by interrogation and entity."""
        subjects = [one.subject for one in chunk if isinstance(one, SubjectEvidence)]
        answers: dict[tuple[str, str], str | None] = {}
        for key in {one.rule.answer.interrogation for one in self._rules if one.rule.answer is not None}:
            for entity_type in {subject.entity_type for subject in subjects}:
                entities = [subject.entity_id for subject in subjects if subject.entity_type == entity_type]
                about = LatestAnswers(self._database, key, entity_type).about(entities)
                answers |= {(key, entity): answer.output_json for entity, answer in about.items()}
        return answers


def _leading(order: deque[SkippedSubject | None]) -> Iterator[SkippedSubject]:
    while order and (skipped := order[0]) is not None:
        order.popleft()
        yield skipped
