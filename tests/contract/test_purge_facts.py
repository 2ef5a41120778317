"""What a purge leaves of other jobs, and that it changes an entity's facts only while nobody else does."""

import json
from datetime import UTC, datetime
from typing import Any

from derive.contracts import RunFacts
from derive.models import Artifact, Fact, FactSet, Job, JobEvent, LakeDeletion, Run
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import JobStatus
from tests.contract.facts import LUKE, OTHER_EVIDENCE, a_fact, completing, conflicts, facts_of, slot_of, told
from tests.contract.scenes import ACTOR, an_artifact, claim_one, claimed, pass_time, queued, ref, said, success
from tests.contract.sessions import IMPATIENT_MS, a_session, waiting
from tests.contract.test_purge import DAY, purge, yesterday


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


def test_a_purge_leaves_all_rows_of_other_jobs(queue: JobQueue) -> None:
    kept, gone, later = (claimed(queue, **LUKE) for _ in range(3))
    files = (an_artifact("prompt_text"), an_artifact("manifest")), (an_artifact(),)
    for claim, evidence, artifacts in ((kept, "a", ()), (gone, "b", files[0]), (later, "c", files[1])):
        run = RunFacts(evidence_sha256=evidence * 64)
        queue.complete(success(claim, run=run, artifacts=artifacts, facts=(a_fact(),)))
    queue.set_hold([ref(kept), ref(later)], actor=ACTOR, hold=True)
    events = JobEvent.objects.exclude(job_id=gone.job_id).count()
    pass_time(2 * DAY)
    assert purge(queue) == {gone.job_id}
    for model, rows in ((Job, 2), (Run, 2), (Artifact, 1), (Fact, 2), (FactSet, 2), (LakeDeletion, 2)):
        assert model.objects.count() == rows, model
    assert set(LakeDeletion.objects.values_list("job_id", flat=True)) == {gone.job_id}
    assert JobEvent.objects.exclude(job_id=gone.job_id).count() == events
    (left,) = JobEvent.objects.filter(job_id=gone.job_id)
    assert left.detail_json == '{"runs": 1, "artifacts": 2, "facts": 1}'


def test_a_run_that_is_to_be_repeated_keeps_its_own_job_alone(queue: JobQueue) -> None:
    repeated, other = claimed(queue), claimed(queue)
    for claim in (repeated, other):
        queue.complete(success(claim))
    pass_time(2 * DAY)
    queued(queue, repeats_run_id=repeated.run_id)
    assert purge(queue) == {other.job_id}


def test_a_purge_deletes_the_facts_and_records_how_many(queue: JobQueue) -> None:
    claim = told(queue, a_fact(), a_fact(1))
    pass_time(2 * 86_400)
    queue.purge(finished_before_utc=datetime.now(UTC), statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    assert not Fact.objects.exists()
    assert not FactSet.objects.exists()
    (left,) = JobEvent.objects.filter(job_id=claim.job_id)
    assert json.loads(left.detail_json)["facts"] == 2


def test_purging_the_newest_run_makes_the_previous_one_current_again(queue: JobQueue) -> None:
    first = told(queue, a_fact(value="1 BBY"))
    second = told(queue, a_fact(value="2 BBY"))
    third = told(queue, a_fact(value="3 BBY"))
    beside = told(queue, a_fact(value="2 BBY"), evidence=OTHER_EVIDENCE)
    queue.set_hold([ref(claim) for claim in (first, second, beside)], actor=ACTOR, hold=True)
    queue.purge(finished_before_utc=datetime.now(UTC), statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    assert facts_of(third) == []
    assert [facts_of(claim)[0].is_current for claim in (first, second, beside)] == [False, True, True]
    assert conflicts() != {}
