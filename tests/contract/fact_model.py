"""Stored facts as plain Python: which are current and which conflict, without SQL or locks."""

from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID


@dataclass
class ModelAnswer:
    """A SUCCEEDED run with the values of its facts; ``values`` is None while they are not stored.

    ``conflicts`` are the places and values of facts that were once in conflict: a fact keeps its conflict id.
    """

    job_id: UUID
    run_id: UUID
    run_order: int
    entity_id: str | None
    evidence: str | None
    values: list[str] | None
    conflicts: set[tuple[int, str]] = field(default_factory=set)
    is_held: bool = False

    @property
    def subject(self) -> str | UUID:
        """What its facts are about: the entity or, without one, only this run."""
        return self.entity_id or self.run_id

    @property
    def facts(self) -> list[tuple[int, str]]:
        """The place and value of each stored fact."""
        return list(enumerate(self.values or ()))


@dataclass(frozen=True)
class ExpectedFact:
    """What a row of ``llm.fact`` says; facts with equal ``conflict`` share a conflict id, None has none."""

    value: str
    is_current: bool
    conflict: str | UUID | None


class ModelFacts:
    """All SUCCEEDED runs, in the order in which they ended. All facts have the same key."""

    def __init__(self) -> None:
        self.answers: list[ModelAnswer] = []

    def is_current(self, answer: ModelAnswer) -> bool:
        """Whether no newer run with stored facts has the same entity and evidence; an unknown one equals no other."""
        if answer.entity_id is None or answer.evidence is None:
            return True
        return not any(
            other.run_order > answer.run_order
            for other in self.answers
            if other.values is not None and (other.entity_id, other.evidence) == (answer.entity_id, answer.evidence)
        )

    def settle(self) -> None:
        """Put current facts about one subject in conflict if their values differ; call it after each change."""
        current = [answer for answer in self.answers if self.is_current(answer)]
        said: dict[str | UUID, set[str]] = defaultdict(set)
        for answer in current:
            said[answer.subject].update(answer.values or ())
        for answer in self.answers:
            answer.conflicts.intersection_update(answer.facts)
        for answer in current:
            if len(said[answer.subject]) > 1:
                answer.conflicts.update(answer.facts)

    def expected(self) -> dict[tuple[UUID, int], ExpectedFact]:
        """Return what each row says, by its run and ``fact_index``."""
        return {
            (answer.run_id, place): ExpectedFact(
                value, self.is_current(answer), answer.subject if (place, value) in answer.conflicts else None
            )
            for answer in self.answers
            for place, value in answer.facts
        }
