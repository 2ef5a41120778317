"""Concurrent completions and purges about one entity."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from derive.contracts import Claim, RunFacts
from derive.models import Fact, Run
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import JobStatus
from tests.contract.facts import EVIDENCE, LUKE, a_fact, completing, conflicts, slot_of, told
from tests.contract.scenes import ACTOR, THREAD_SECONDS, WORKER, at_once, queued, said, success
from tests.contract.sessions import IMPATIENT_MS, a_session, somebody_waits, waiting


def test_concurrent_completions_about_one_entity_find_their_conflict(queue: JobQueue) -> None:
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


def test_a_completion_waits_for_an_uncommitted_one_about_the_same_entity(queue: JobQueue) -> None:
    queued(queue, **LUKE)
    queued(queue, **LUKE)
    queued(queue, **{**LUKE, "entity_id": "leia"})
    first, second, of_another = queue.claim(WORKER, max_jobs=3)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.COMPLETE_JOB, **completing(first, a_fact()))
        assert session.has_to_wait(procedures.COMPLETE_JOB, **completing(second, a_fact()))
        session.roll_back()
        assert session.call(procedures.COMPLETE_JOB, **completing(of_another, a_fact()))[0][0]


def test_the_second_of_two_concurrent_completions_sees_the_facts_of_the_first(queue: JobQueue) -> None:
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


def test_concurrent_completions_and_purges_leave_the_newest_facts_current(queue: JobQueue) -> None:
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


def test_completions_in_one_call_lock_no_entity_while_they_wait_for_an_earlier_one(queue: JobQueue) -> None:
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
