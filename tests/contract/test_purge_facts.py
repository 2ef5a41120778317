"""A purge changes facts of an entity only while nobody else does."""

from typing import Any

from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import JobStatus
from tests.contract.scenes import ACTOR, claim_one, pass_time, queued, said
from tests.contract.sessions import IMPATIENT_MS, a_session, waiting
from tests.contract.test_facts import LUKE, OTHER_EVIDENCE, a_fact, completing, slot_of, told
from tests.contract.test_purge import DAY, yesterday


def old_facts_of(queue: JobQueue, *entity_ids: str) -> dict[str, Any]:
    """Let old runs have told facts of each entity; return the arguments of a purge that takes them."""
    for entity_id in entity_ids:
        told(queue, a_fact(), entity_id=entity_id)
    said(procedures.ROLL_UP_HOURS)
    pass_time(2 * DAY)
    return {"finished_before_utc": yesterday(), "statuses_json": f'["{JobStatus.SUCCEEDED}"]', "actor": ACTOR}


def about(queue: JobQueue, entity_id: str) -> dict[str, Any]:
    """Return the arguments of a completion that tells facts of an entity, of which it changes no row there was."""
    queued(queue, **{**LUKE, "entity_id": entity_id})
    return completing(claim_one(queue), a_fact(), evidence=OTHER_EVIDENCE)


def test_a_purge_waits_for_a_completion_about_an_entity_whose_facts_it_takes(queue: JobQueue) -> None:
    old = old_facts_of(queue, "luke")
    of_luke = about(queue, "luke")
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.COMPLETE_JOB, **of_luke)
        assert session.has_to_wait(procedures.PURGE_JOBS, **old)


def test_a_purge_takes_entities_in_the_order_of_their_slots(queue: JobQueue) -> None:
    earlier, later = sorted(("luke", "leia"), key=slot_of)
    old = old_facts_of(queue, later, earlier)
    of_earlier, of_later = about(queue, earlier), about(queue, later)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.COMPLETE_JOB, **of_later)
        with waiting(procedures.PURGE_JOBS, **old):
            held = session.has_to_wait(procedures.COMPLETE_JOB, **of_earlier)
            session.roll_back()
            other.roll_back()
    assert held, "the later slot was taken before the earlier one"
