"""Random histories of completions, reruns, rebuilds and purges, compared with the plain model of facts.

A deeper search: ``FACT_MODEL_EXAMPLES=500 FACT_MODEL_STEPS=60 pytest tests/contract/test_fact_model.py``.
"""

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from derive.contracts import Claim, JobRef, JudgedFact, RunFacts
from derive.models import Fact, FactSet, Job
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.conftest import empty_own_tables
from tests.contract.fact_model import ExpectedFact, ModelAnswer, ModelFacts
from tests.contract.facts import a_fact
from tests.contract.scenes import ACTOR, WORKER, a_job, failure, success

EXAMPLES = int(os.environ.get("FACT_MODEL_EXAMPLES", "12"))
STEPS = int(os.environ.get("FACT_MODEL_STEPS", "30"))

ENTITIES = st.sampled_from(["luke", "luke", "leia", None])
EVIDENCE = st.sampled_from(["ab" * 32, "ab" * 32, "cd" * 32, None])
VALUES = st.lists(st.sampled_from(["19 BBY", "41 BBY"]), max_size=2)
PLACES = st.integers(0, 1000)


class FactsAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        empty_own_tables()
        self.queue = JobQueue()
        self.model = ModelFacts()
        self.running: list[tuple[int, str | None, Claim]] = []
        self.claims = 0

    def is_running(self) -> bool:
        return bool(self.running)

    def has_answers(self) -> bool:
        return bool(self.model.answers)

    def answer_at(self, place: int) -> ModelAnswer:
        return self.model.answers[place % len(self.model.answers)]

    def claim(self, entity_id: str | None) -> None:
        (claim,) = self.queue.claim(WORKER)
        self.claims += 1
        self.running.append((self.claims, entity_id, claim))

    @rule(entity_id=ENTITIES)
    def begin(self, entity_id: str | None) -> None:
        entity_type = None if entity_id is None else "character"
        self.queue.enqueue(a_job(entity_type=entity_type, entity_id=entity_id), actor=ACTOR)
        self.claim(entity_id)

    @precondition(is_running)
    @rule(place=PLACES)
    def fail_and_run_again(self, place: int) -> None:
        _order, entity_id, claim = self.running.pop(place % len(self.running))
        self.queue.complete(failure(claim, retry_after_seconds=0, count_attempt=False))
        self.claim(entity_id)

    @precondition(is_running)
    @rule(place=PLACES, evidence=EVIDENCE, values=st.one_of(st.none(), VALUES, VALUES))
    def succeed(self, place: int, evidence: str | None, values: list[str] | None) -> None:
        order, entity_id, claim = self.running.pop(place % len(self.running))
        outcome = success(claim, run=RunFacts(evidence_sha256=evidence), facts=facts(values))
        for _ in range(2):
            assert self.queue.complete(outcome).accepted
        self.model.answers.append(ModelAnswer(claim.job_id, claim.run_id, order, entity_id, evidence, values))
        self.model.settle()

    @precondition(has_answers)
    @rule(place=PLACES, values=VALUES)
    def rebuild(self, place: int, values: list[str]) -> None:
        answer = self.answer_at(place)
        answer.values = values
        self.model.settle()
        for _ in range(2):
            rebuilt = self.queue.rebuild_facts(answer.run_id, facts(values) or [], actor=ACTOR)
            assert (rebuilt.stored, rebuilt.fact_count) == (True, len(values))

    @precondition(has_answers)
    @rule(place=PLACES, hold=st.booleans())
    def hold(self, place: int, hold: bool) -> None:
        answer = self.answer_at(place)
        self.queue.set_hold([JobRef(job_id=answer.job_id)], actor=ACTOR, hold=hold)
        answer.is_held = hold

    @rule(max_rows=st.integers(1, 3))
    def purge(self, max_rows: int) -> None:
        before = {answer.job_id for answer in self.model.answers}
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        self.queue.purge(finished_before_utc=tomorrow, statuses=[JobStatus.SUCCEEDED], actor=ACTOR, max_rows=max_rows)
        gone = before - set(Job.objects.values_list("job_id", flat=True))
        oldest = [answer.job_id for answer in self.model.answers if not answer.is_held][:max_rows]
        # A purge stops early while the hours cannot be counted, so the database says how many it deleted.
        assert gone == set(oldest[: len(gone)])
        self.model.answers = [answer for answer in self.model.answers if answer.job_id not in gone]
        self.model.settle()

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        rows = list(Fact.objects.all())
        subjects = {row.conflict_id: row.entity_id or row.run_id for row in rows if row.conflict_id}
        assert len(set(subjects.values())) == len(subjects), "two conflicts about one subject"
        found = {
            (row.run_id, row.fact_index): ExpectedFact(
                row.value, row.is_current, row.conflict_id and subjects[row.conflict_id]
            )
            for row in rows
        }
        assert found == self.model.expected()
        stored = {answer.run_id: len(answer.values) for answer in self.model.answers if answer.values is not None}
        assert {row.run_id: row.fact_count for row in FactSet.objects.all()} == stored


def facts(values: list[str] | None) -> tuple[JudgedFact, ...] | None:
    return None if values is None else tuple(a_fact(place, value=value) for place, value in enumerate(values))


@pytest.mark.slow
def test_facts_are_current_and_in_conflict_as_the_model_says(queue: JobQueue) -> None:
    run_state_machine_as_test(
        FactsAgainstModel,
        settings=settings(
            # No shrinking: on a real database it outlasts the time limit, and the failing steps would never be shown.
            phases=[Phase.explicit, Phase.generate],
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
