"""What a call that hands in several completions locks, and in which order."""

import json
from typing import Any
from uuid import UUID

from derive.contracts import Claim
from derive.models import JobEvent
from derive.queue import JobQueue
from derive.sql import procedures
from tests.contract.facts import LUKE, a_fact, completing
from tests.contract.scenes import WORKER, queued
from tests.contract.sessions import IMPATIENT_MS, a_session, is_free, waiting


def claims_of_luke(queue: JobQueue, count: int) -> list[Claim]:
    """Claim so many jobs, in the order of their numbers, which is not that of their ids."""
    for number in range(count):
        queued(queue, job_id=UUID(int=9 - number), **LUKE)
    return queue.claim(WORKER, max_jobs=count)


def together(*completions: dict[str, Any]) -> dict[str, str]:
    return {"outcomes_json": json.dumps(completions, default=str)}


def without_facts(claim: Claim) -> dict[str, Any]:
    return {**completing(claim), "facts_json": None}


def test_completions_in_one_call_lock_every_job_first_in_the_order_of_their_numbers(queue: JobQueue) -> None:
    *earlier, last, beside = claims_of_luke(queue, 6)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.hold(last)
        completions = together(*(completing(claim, a_fact()) for claim in (last, *earlier)))
        with waiting(procedures.COMPLETE_JOBS, **completions):
            free = [is_free(claim) for claim in earlier]
            has_entity = session.has_to_wait(procedures.COMPLETE_JOB, **completing(beside, a_fact()))
            session.roll_back()
            other.roll_back()
    assert free == [False] * 4
    assert not has_entity


def test_completions_without_facts_wait_for_no_entity(queue: JobQueue) -> None:
    first, second, beside = claims_of_luke(queue, 3)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.COMPLETE_JOB, **completing(beside, a_fact()))
        both = together(without_facts(first), without_facts(second))
        assert not session.has_to_wait(procedures.COMPLETE_JOBS, **both)


def test_completions_in_one_call_are_returned_in_the_order_of_job_seq(queue: JobQueue) -> None:
    claims = claims_of_luke(queue, 3)
    with a_session() as session:
        session.call(procedures.COMPLETE_JOBS, **together(*map(without_facts, reversed(claims))))
        session.commit()
    told = JobEvent.objects.filter(event="completed").order_by("event_seq").values_list("job_id", flat=True)
    assert list(told) == [claim.job_id for claim in claims]
