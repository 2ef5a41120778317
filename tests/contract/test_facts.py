"""The facts of answers: stored with their run, judged against each other, kept through a rebuild, gone with a purge."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from derive.contracts import Claim, JudgedFact, RunFacts
from derive.errors import BadArgument
from derive.models import Fact, FactSet, JobEvent, Run
from derive.queue import JobQueue
from derive.sql import payloads, procedures
from derive.states import JobStatus, ReviewStatus, RunStatus, Verdict
from tests.contract.scenes import (
    ACTOR,
    KEY,
    THREAD_SECONDS,
    WORKER,
    at_once,
    claimed,
    failure,
    pass_time,
    queued,
    ref,
    run_of,
    said,
    status_of,
    success,
)
from tests.contract.sessions import IMPATIENT_MS, a_session, somebody_waits, waiting

LUKE = {"entity_type": "character", "entity_id": "luke"}
EVIDENCE, OTHER_EVIDENCE = "ab" * 32, "cd" * 32


def a_fact(fact_index: int = 0, **values: Any) -> JudgedFact:
    text = str(values.get("value", "19 BBY"))
    given = {
        "path": f"facts[{fact_index}]",
        "fact_key": "birth",
        "value": text,
        "value_key": text.lower(),
        "quote": f"in {text}",
        "evidence_id": "e1",
        "quote_start": 3,
        "quote_end": 6 + len(text),
        "occurrences": 1,
        "proof": "date",
        "verdict": Verdict.SUPPORTED,
        **values,
    }
    return JudgedFact(fact_index=fact_index, **given)


def told(queue: JobQueue, *facts: JudgedFact, evidence: str | None = EVIDENCE, **job: Any) -> Claim:
    """Queue a job about Luke and let a run answer it with these facts."""
    claim = claimed(queue, **{**LUKE, **job})
    assert queue.complete(success(claim, run=RunFacts(evidence_sha256=evidence), facts=facts)).accepted
    return claim


def facts_of(claim: Claim) -> list[Any]:
    return list(Fact.objects.filter(run_id=claim.run_id).order_by("fact_index"))


def conflicts() -> dict[str, set[str]]:
    """The values that share each conflict, by its id."""
    found: dict[str, set[str]] = {}
    for fact in Fact.objects.exclude(conflict_id=None):
        found.setdefault(str(fact.conflict_id), set()).add(fact.value)
    return found


def test_facts_are_stored_with_the_run_that_found_them(queue: JobQueue) -> None:
    fact = a_fact(
        value='ä€🚀 "quoted"\n\\',
        evidence_ids=("e1", "e2"),
        confidence=87.5,
        why="The quote says 19 BBY.",
    )
    claim = told(queue, fact, a_fact(1, verdict=Verdict.NOT_ENOUGH_INFO))
    first, second = facts_of(claim)
    for name in JudgedFact.model_fields.keys() - {"evidence_ids", "confidence"}:
        assert getattr(first, name) == getattr(fact, name), name
    assert (json.loads(first.evidence_ids), float(first.confidence)) == (["e1", "e2"], 87.5)
    assert (first.job_id, first.interrogation_key) == (claim.job_id, KEY)
    assert (first.entity_type, first.entity_id, first.is_current) == ("character", "luke", True)
    assert (first.review_status, second.review_status) == (ReviewStatus.NONE, ReviewStatus.OPEN)
    assert first.fact_id != second.fact_id
    (stored,) = FactSet.objects.all()
    assert (stored.run_id, stored.run_seq, stored.fact_count) == (claim.run_id, run_of(claim).run_seq, 2)
    assert (stored.evidence_sha256, stored.stored_by) == (EVIDENCE, WORKER)


def test_a_fact_without_key_value_or_place_is_stored_too(queue: JobQueue) -> None:
    lost = JudgedFact(fact_index=0, path="facts[0]", proof="quote", verdict=Verdict.NOT_ENOUGH_INFO)
    (stored,) = facts_of(told(queue, lost))
    assert (stored.fact_key, stored.value, stored.evidence_id, stored.quote_start) == (None, None, None, None)
    assert stored.occurrences == 0


def test_a_completion_with_facts_said_twice_stores_them_once(queue: JobQueue) -> None:
    claim = claimed(queue, **LUKE)
    outcome = success(claim, facts=(a_fact(),))
    assert queue.complete(outcome) == queue.complete(outcome)
    assert Fact.objects.count() == 1


def test_an_answer_without_facts_is_told_from_one_whose_facts_nobody_judged(queue: JobQueue) -> None:
    judged, unjudged = claimed(queue), claimed(queue, priority=200)
    queue.complete(success(judged, facts=()))
    queue.complete(success(unjudged))
    assert [row.run_id for row in FactSet.objects.all()] == [judged.run_id]
    assert queue.runs_without_facts() == [(run_of(unjudged).run_seq, unjudged.run_id)]


GOOD = json.loads(a_fact().model_dump_json())
BAD_FACTS: list[tuple[str, Any]] = [
    ("not an array", {}),
    ("an element that is no object", [1]),
    ("no place", [{**GOOD, "fact_index": None}]),
    ("a place below 0", [{**GOOD, "fact_index": -1}]),
    ("a place that is there twice", [GOOD, GOOD]),
    ("no path", [{**GOOD, "path": None}]),
    ("a path that is too long", [{**GOOD, "path": "x" * 401}]),
    ("a key that is too long", [{**GOOD, "fact_key": "x" * 201}]),
    ("an unknown verdict", [{**GOOD, "verdict": "MAYBE"}]),
    ("no verdict", [{**GOOD, "verdict": None}]),
    ("no rule", [{**GOOD, "proof": None}]),
    ("no count", [{**GOOD, "occurrences": None}]),
    ("a count below 0", [{**GOOD, "occurrences": -1}]),
    ("a confidence above 100", [{**GOOD, "confidence": 100.5}]),
    ("a confidence below 0", [{**GOOD, "confidence": -0.5}]),
    ("an offset that is no number", [{**GOOD, "quote_start": "here"}]),
    ("an end before the start", [{**GOOD, "quote_start": 5, "quote_end": 4}]),
    ("offsets without their item", [{**GOOD, "evidence_id": None}]),
    ("a start below 0", [{**GOOD, "quote_start": -1}]),
    ("an end without its item", [{**GOOD, "evidence_id": None, "quote_start": None}]),
    ("an item without offsets", [{**GOOD, "quote_end": None}]),
    ("a reason that is too long", [{**GOOD, "why": "x" * 1001}]),
]


@pytest.mark.parametrize("facts", [facts for _, facts in BAD_FACTS], ids=[name for name, _ in BAD_FACTS])
def test_malformed_facts_are_refused_whether_or_not_they_would_be_stored(queue: JobQueue, facts: Any) -> None:
    claim = claimed(queue, **LUKE)
    for run_id in (claim.run_id, uuid4()):
        with pytest.raises(BadArgument, match="facts_json is malformed") as refused:
            said(
                procedures.COMPLETE_JOB,
                job_id=claim.job_id,
                run_id=run_id,
                status="SUCCEEDED",
                facts_json=json.dumps(facts),
            )
        assert refused.value.number == 12
    assert (status_of(claim), Fact.objects.count()) == (JobStatus.RUNNING, 0)


def test_facts_of_a_run_that_did_not_succeed_are_refused(queue: JobQueue) -> None:
    claim = claimed(queue)
    with pytest.raises(BadArgument, match="not SUCCEEDED") as refused:
        queue.complete(failure(claim, facts=(a_fact(),)))
    assert refused.value.number == 12
    assert queue.complete(failure(claim, facts=())).accepted
    assert not FactSet.objects.exists()


def test_ten_thousand_facts_are_stored_and_one_more_is_refused(queue: JobQueue) -> None:
    many = tuple(a_fact(n, fact_key=f"key-{n}") for n in range(10_001))
    claim = claimed(queue, **LUKE)
    with pytest.raises(BadArgument, match="10000"):
        queue.complete(success(claim, facts=many))
    of_nobody = success(claim).model_copy(update={"run_id": uuid4()})
    with pytest.raises(BadArgument, match="10000"):
        queue.complete(of_nobody.model_copy(update={"facts": many}))
    assert not queue.complete(of_nobody.model_copy(update={"facts": many[:-1]})).accepted
    assert queue.complete(success(claim, facts=many[:-1])).accepted
    assert Fact.objects.count() == 10_000


def test_facts_that_disagree_within_a_run_share_a_conflict(queue: JobQueue) -> None:
    told(
        queue,
        a_fact(0, value="19 BBY"),
        a_fact(1, value="41 BBY"),
        a_fact(2, value="Tatooine", fact_key="home"),
        a_fact(3, value="many", fact_key="alias", value_key=None),
        a_fact(4, value="other", fact_key="alias", value_key=None),
    )
    assert list(conflicts().values()) == [{"19 BBY", "41 BBY"}]


def test_facts_of_runs_over_other_evidence_stand_in_conflict_when_they_disagree(queue: JobQueue) -> None:
    told(queue, a_fact(value="19 BBY"))
    told(queue, a_fact(value="19 BBY"), evidence=OTHER_EVIDENCE)
    told(queue, a_fact(value="5 BBY"), entity_id="leia")
    assert conflicts() == {}
    told(queue, a_fact(value="41 BBY"), evidence="ef" * 32)
    assert list(conflicts().values()) == [{"19 BBY", "41 BBY"}]
    assert Fact.objects.exclude(conflict_id=None).count() == 3


def test_without_an_entity_facts_stand_in_conflict_within_their_run_alone(queue: JobQueue) -> None:
    nobody = {"entity_type": None, "entity_id": None}
    told(queue, a_fact(value="19 BBY"), **nobody)
    told(queue, a_fact(value="41 BBY"), **nobody)
    assert conflicts() == {}
    for _ in range(2):
        told(queue, a_fact(0, value="19 BBY"), a_fact(1, value="41 BBY"), **nobody)
    assert list(conflicts().values()) == [{"19 BBY", "41 BBY"}] * 2


def test_a_newer_run_over_the_same_evidence_supersedes_the_facts_of_the_older(queue: JobQueue) -> None:
    older = told(queue, a_fact(value="41 BBY"))
    other_evidence = told(queue, a_fact(value="19 BBY"), evidence=OTHER_EVIDENCE)
    other_question = told(queue, a_fact(value="19 BBY"), interrogation_key="other")
    unknown_evidence = told(queue, a_fact(value="19 BBY"), evidence=None)
    newer = told(queue, a_fact(value="19 BBY"))
    current = {claim.run_id for claim in (other_evidence, other_question, unknown_evidence, newer)}
    assert set(Fact.objects.filter(is_current=True).values_list("run_id", flat=True)) == current
    assert [fact.is_current for fact in facts_of(older)] == [False]


def test_a_newer_run_without_facts_supersedes_too(queue: JobQueue) -> None:
    older = told(queue, a_fact())
    told(queue)
    assert [fact.is_current for fact in facts_of(older)] == [False]


def test_a_run_that_ends_after_a_newer_one_is_not_current(queue: JobQueue) -> None:
    older, newer = claimed(queue, **LUKE), claimed(queue, priority=200, **LUKE)
    for claim in (newer, older):
        queue.complete(success(claim, run=RunFacts(evidence_sha256=EVIDENCE), facts=(a_fact(),)))
    assert [facts_of(claim)[0].is_current for claim in (older, newer)] == [False, True]


def test_a_superseded_fact_makes_no_conflict(queue: JobQueue) -> None:
    told(queue, a_fact(value="41 BBY"))
    told(queue, a_fact(value="19 BBY"))
    assert conflicts() == {}


def test_completions_about_one_entity_at_the_same_moment_do_not_miss_their_conflict(queue: JobQueue) -> None:
    for turn in range(8):
        job = {"entity_type": "character", "entity_id": f"luke-{turn}"}
        for _ in range(4):
            queued(queue, **job)
        claims = queue.claim(WORKER, max_jobs=4)
        at_once(
            *(
                partial(
                    queue.complete,
                    success(
                        claim, run=RunFacts(evidence_sha256=f"{n}" * 64), facts=(a_fact(value=f"{n} BBY"), a_fact(1))
                    ),
                )
                for n, claim in enumerate(claims)
            )
        )
        facts = Fact.objects.filter(entity_id=f"luke-{turn}")
        assert len({fact.conflict_id for fact in facts}) == 1
        assert facts[0].conflict_id is not None


def completing(claim: Claim, *facts: JudgedFact, evidence: str = EVIDENCE) -> dict[str, Any]:
    """The arguments of a completion with facts."""
    return {
        "job_id": claim.job_id,
        "run_id": claim.run_id,
        "status": "SUCCEEDED",
        "run_json": json.dumps({"evidence_sha256": evidence}),
        "facts_json": payloads.facts_json(facts),
    }


def test_a_completion_waits_for_one_about_the_same_entity_that_is_not_committed_yet(queue: JobQueue) -> None:
    queued(queue, **LUKE)
    queued(queue, **LUKE)
    queued(queue, **{**LUKE, "entity_id": "leia"})
    first, second, of_another = queue.claim(WORKER, max_jobs=3)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.COMPLETE_JOB, **completing(first, a_fact()))
        assert session.has_to_wait(procedures.COMPLETE_JOB, **completing(second, a_fact()))
        session.roll_back()
        assert session.call(procedures.COMPLETE_JOB, **completing(of_another, a_fact()))[0][0]


def test_the_second_of_two_completions_at_the_same_moment_sees_the_facts_of_the_first(queue: JobQueue) -> None:
    queued(queue, **LUKE)
    queued(queue, **LUKE)
    first, second = queue.claim(WORKER, max_jobs=2)
    answer = partial(said, procedures.COMPLETE_JOB, **completing(second, a_fact(value="41 BBY"), evidence="cd" * 32))
    with a_session() as other, ThreadPoolExecutor(1) as pool:
        other.call(procedures.COMPLETE_JOB, **completing(first, a_fact(value="19 BBY")))
        running = pool.submit(at_once, answer)
        while not (running.done() or somebody_waits()):
            pass
        other.commit()
        running.result(THREAD_SECONDS)
    assert list(conflicts().values()) == [{"19 BBY", "41 BBY"}]


def test_completions_and_purges_about_one_entity_leave_the_newest_current(queue: JobQueue) -> None:
    for n in range(6):
        told(queue, a_fact(value=f"{n} BBY"))
    for _ in range(8):
        queued(queue, **LUKE)
    claims = queue.claim(WORKER, max_jobs=8)
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    def complete(some: list[Claim]) -> None:
        for claim in some:
            queue.complete(success(claim, run=RunFacts(evidence_sha256=EVIDENCE), facts=(a_fact(),)))

    def purge() -> None:
        for _ in range(4):
            queue.purge(finished_before_utc=tomorrow, statuses=[JobStatus.SUCCEEDED], actor=ACTOR, max_rows=2)

    at_once(partial(complete, claims[:4]), partial(complete, claims[4:]), purge)
    told(queue, a_fact())
    newest = Run.objects.order_by("-run_seq")[0]
    assert [fact.run_id for fact in Fact.objects.filter(is_current=True)] == [newest.run_id]


def test_a_purge_takes_the_facts_and_says_how_many(queue: JobQueue) -> None:
    claim = told(queue, a_fact(), a_fact(1))
    pass_time(2 * 86_400)
    queue.purge(finished_before_utc=datetime.now(UTC), statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    assert not Fact.objects.exists()
    assert not FactSet.objects.exists()
    (left,) = JobEvent.objects.filter(job_id=claim.job_id)
    assert json.loads(left.detail_json)["facts"] == 2


def test_when_the_newest_run_is_purged_the_one_before_is_current_again(queue: JobQueue) -> None:
    first = told(queue, a_fact(value="1 BBY"))
    second = told(queue, a_fact(value="2 BBY"))
    third = told(queue, a_fact(value="3 BBY"))
    beside = told(queue, a_fact(value="2 BBY"), evidence=OTHER_EVIDENCE)
    queue.set_hold([ref(claim) for claim in (first, second, beside)], actor=ACTOR, hold=True)
    queue.purge(finished_before_utc=datetime.now(UTC), statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    assert facts_of(third) == []
    assert [facts_of(claim)[0].is_current for claim in (first, second, beside)] == [False, True, True]
    assert conflicts() != {}


def test_a_rebuild_stores_the_facts_of_an_earlier_run(queue: JobQueue) -> None:
    claim = claimed(queue, **LUKE)
    queue.complete(success(claim, run=RunFacts(evidence_sha256=EVIDENCE)))
    answer = queue.rebuild_facts(claim.run_id, [a_fact(), a_fact(1)], actor=ACTOR)
    assert (answer.stored, answer.fact_count, answer.why) == (True, 2, None)
    assert [fact.entity_id for fact in facts_of(claim)] == ["luke", "luke"]
    assert FactSet.objects.get(run_id=claim.run_id).stored_by == ACTOR
    assert queue.runs_without_facts() == []


def test_a_rebuild_keeps_what_is_unchanged_and_what_people_decided(queue: JobQueue) -> None:
    claim = told(queue, *(a_fact(n, value=f"{n} BBY") for n in range(4)))
    before = {fact.fact_index: fact for fact in facts_of(claim)}
    decide(before[0], ReviewStatus.REJECTED)
    again = [
        a_fact(0, value="0 BBY", verdict=Verdict.REFUTED, why="The quote says another."),
        a_fact(1, value="1 BBY", verdict=Verdict.REFUTED),
        a_fact(2, value="2 BBY", quote="another quote"),
    ]
    for _ in range(2):
        assert queue.rebuild_facts(claim.run_id, again, actor=ACTOR).fact_count == 3
    after = {fact.fact_index: fact for fact in facts_of(claim)}
    assert {n: fact.fact_id == before[n].fact_id for n, fact in after.items()} == {0: True, 1: True, 2: False}
    assert (after[0].verdict, after[0].review_status, after[0].reviewed_by) == ("REFUTED", "REJECTED", ACTOR)
    assert (after[1].verdict, after[1].review_status) == ("REFUTED", "OPEN")
    assert FactSet.objects.get().fact_count == 3


def test_a_rebuild_of_an_older_run_does_not_pass_for_the_newest(queue: JobQueue) -> None:
    older = claimed(queue, **LUKE)
    queue.complete(success(older, run=RunFacts(evidence_sha256=EVIDENCE)))
    told(queue)
    queue.rebuild_facts(older.run_id, [a_fact()], actor=ACTOR)
    assert [fact.is_current for fact in facts_of(older)] == [False]


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.FAILED])
def test_a_run_that_did_not_succeed_is_not_rebuilt(queue: JobQueue, status: RunStatus) -> None:
    claim = claimed(queue)
    if status is RunStatus.FAILED:
        queue.complete(failure(claim))
    answer = queue.rebuild_facts(claim.run_id, [a_fact()], actor=ACTOR)
    assert (answer.stored, answer.why) == (False, f"the run is {status}")
    assert not Fact.objects.exists()


def test_a_run_that_never_was_is_not_rebuilt(queue: JobQueue) -> None:
    assert not queue.rebuild_facts(uuid4(), [a_fact()], actor=ACTOR).stored


def test_runs_without_facts_are_listed_by_number_from_where_the_last_list_ended(queue: JobQueue) -> None:
    claims = []
    for _ in range(5):
        claims.append(claimed(queue))
        queue.complete(success(claims[-1]))
    first = queue.runs_without_facts(limit=3)
    rest = queue.runs_without_facts(after_run_seq=first[-1][0], limit=3)
    assert [run_id for _, run_id in (*first, *rest)] == [claim.run_id for claim in claims]


def decide(fact: Any, status: ReviewStatus, corrected_value: str | None = None) -> None:
    """Decide about a fact as a review would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE llm.fact SET review_status = %s, reviewed_by = %s, corrected_value = %s WHERE fact_seq = %s",
            [status, ACTOR, corrected_value, fact.fact_seq],
        )


def slot_of(entity_id: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT llm.entity_slot('character', %s)", [entity_id])
        return int(cursor.fetchone()[0])


def test_completions_in_one_call_hold_no_entity_while_they_wait_for_one_before_it(queue: JobQueue) -> None:
    earlier, later = sorted(("luke", "leia"), key=slot_of)
    for entity_id in (later, earlier, earlier, later):
        queued(queue, entity_type="character", entity_id=entity_id)
    first, second, of_earlier, of_later = queue.claim(WORKER, max_jobs=4)
    both = json.dumps([completing(first, a_fact()), completing(second, a_fact())], default=str)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.COMPLETE_JOB, **completing(of_earlier, a_fact()))
        with waiting(procedures.COMPLETE_JOBS, outcomes_json=both):
            held = session.has_to_wait(procedures.COMPLETE_JOB, **completing(of_later, a_fact()))
            session.roll_back()
            other.roll_back()
    assert not held
