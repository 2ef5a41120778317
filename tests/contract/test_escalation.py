"""Escalation: jobs that wait for too long rise, step by step, to a bound, and nothing else changes."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from derive.contracts import AgedPlace, Ageing
from derive.deadline import Deadline
from derive.errors import BadArgument
from derive.models import EscalationPolicy, JobEvent, ScheduleRun
from derive.queue import JobQueue
from derive.schedules.due import run_due
from derive.schedules.escalation import count_aged, escalate
from derive.schedules.single_flight import TaskOutcome
from derive.sql import procedures
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.contract.scenes import ACTOR, WORKER, at_once, claim_one, in_state, job_of, pass_time, queued, ref, said
from tests.contract.sessions import a_session

HOUR = Ageing(waiting_seconds=3_600, raise_by=10, max_priority=125)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def raised(queue: JobQueue, ageing: Ageing = HOUR) -> int:
    """Go through all priorities once, as a policy does; return how many jobs were raised."""
    total, after = 0, None
    while True:
        step = queue.escalate(ageing, actor="schedule:aged", after=after, reason="they wait")
        total, after = total + step.raised, step.after
        if after is None:
            return total


def priority_of(job: Any) -> int:
    return int(job_of(job).priority)


def test_a_job_that_waited_long_enough_is_raised_with_a_reason_in_its_history(queue: JobQueue) -> None:
    old = queued(queue)
    pass_time(3_601)
    young = queued(queue)
    assert raised(queue) == 1
    assert (priority_of(old), priority_of(young)) == (110, 100)
    (event,) = JobEvent.objects.filter(job_id=old.job_id, event="reprioritized")
    assert (event.actor, event.reason, event.from_status, event.to_status) == (
        "schedule:aged",
        "they wait",
        "NEW",
        "NEW",
    )
    assert json.loads(str(event.detail_json)) == {"priority": {"from": 100, "to": 110}}


def test_a_job_rises_again_only_after_it_has_waited_for_so_long_once_more(queue: JobQueue) -> None:
    job = queued(queue)
    pass_time(3_601)
    assert [raised(queue), raised(queue)] == [1, 0]
    pass_time(3_500)
    assert raised(queue) == 0
    pass_time(101)
    assert raised(queue) == 1
    assert priority_of(job) == 120


def test_a_job_rises_to_the_bound_and_no_further(queue: JobQueue) -> None:
    jobs = [queued(queue, priority=priority) for priority in (120, 125, 130)]
    pass_time(3_601)
    assert raised(queue) == 1
    assert [priority_of(job) for job in jobs] == [125, 125, 130]


def test_the_greatest_priorities_are_no_reason_to_overflow(queue: JobQueue) -> None:
    job = queued(queue, priority=2**31 - 3)
    pass_time(3_601)
    assert raised(queue, Ageing(waiting_seconds=60, raise_by=2**31 - 1, max_priority=2**31 - 1)) == 1
    assert priority_of(job) == 2**31 - 1


def test_a_job_that_was_queued_again_waits_from_then_on(queue: JobQueue) -> None:
    job = queued(queue)
    pass_time(3_601)
    raised(queue)
    pass_time(3_601)
    queue.cancel([ref(job)], actor=ACTOR)
    queue.requeue([ref(job)], actor=ACTOR)
    assert raised(queue) == 0


def test_only_ready_jobs_rise(queue: JobQueue) -> None:
    jobs = {status: in_state(queue, status) for status in JobStatus if status is not JobStatus.RUNNING}
    before = {status: priority_of(job) for status, job in jobs.items()}
    pass_time(3_601)
    everything = Ageing(waiting_seconds=60, raise_by=1, max_priority=2**31 - 1)
    assert raised(queue, everything) == 1
    assert [status for status, job in jobs.items() if priority_of(job) != before[status]] == [JobStatus.NEW]


def test_jobs_of_one_interrogation_rise_and_the_others_stay(queue: JobQueue) -> None:
    one, other = queued(queue, interrogation_key="one"), queued(queue, interrogation_key="other")
    pass_time(3_601)
    assert raised(queue, HOUR.model_copy(update={"interrogation_key": "one"})) == 1
    assert (priority_of(one), priority_of(other)) == (110, 100)


def test_each_call_is_bounded_and_a_pass_finds_every_job_once(queue: JobQueue) -> None:
    for priority in (100, 100, 100, 100, 100, 90, 110, 5):
        queued(queue, priority=priority)
    pass_time(3_601)
    place: dict[str, Any] = {}
    steps = []
    while True:
        arguments = {"waiting_seconds": 3_600, "raise_by": 10, "max_priority": 125, "max_rows": 2, **place}
        ((amount, priority, utc, number),) = said(procedures.ESCALATE_AGED_JOBS, actor=ACTOR, **arguments)
        steps.append(amount)
        if priority is None:
            break
        known = {"after_priority": priority, "after_utc": utc, "after_job_seq": number}
        place = {name: value for name, value in known.items() if value is not None}
    assert max(steps) == 2
    assert sum(steps) == 8
    assert raised(queue) == 0


def test_locked_jobs_are_skipped(queue: JobQueue) -> None:
    held, free = queued(queue), queued(queue)
    pass_time(3_601)
    with a_session() as other:
        other.hold(held)
        assert raised(queue) == 1
    assert (priority_of(held), priority_of(free)) == (100, 110)
    assert raised(queue) == 1


def test_concurrent_with_claims_and_operators_every_job_is_claimed_once_with_complete_history(queue: JobQueue) -> None:
    jobs = [queued(queue) for _ in range(40)]
    pass_time(3_601)

    def claim(worker: str) -> list[Any]:
        return [claim.job_id for _ in range(10) for claim in JobQueue().claim(worker, max_jobs=2)]

    def reprioritize() -> list[Any]:
        JobQueue().reprioritize([ref(job) for job in jobs], actor=ACTOR, priority=3)
        return []

    def climb() -> list[Any]:
        raised(JobQueue())
        return []

    taken = at_once(partial(claim, "w1"), partial(claim, "w2"), reprioritize, climb, climb)
    claimed = [job_id for ids in taken for job_id in ids]
    assert len(claimed) == len(set(claimed))
    for job in jobs:
        moves = JobEvent.objects.filter(job_id=job.job_id, event="reprioritized").order_by("event_seq")
        steps = [json.loads(str(event.detail_json))["priority"] for event in moves]
        assert [step["from"] for step in steps] == [100, *(step["to"] for step in steps)][: len(steps)]
        assert priority_of(job) == (steps[-1]["to"] if steps else 100)
        assert sum(event.actor == "schedule:aged" for event in moves) <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor": " "},
        {"waiting_seconds": 0},
        {"waiting_seconds": 31_536_001},
        {"raise_by": 0},
        {"max_priority": 0},
        {"max_rows": 0},
        {"max_rows": 501},
    ],
)
def test_bad_arguments_raise_nothing(queue: JobQueue, wrong: dict[str, Any]) -> None:
    job = queued(queue)
    pass_time(3_601)
    good = {"actor": ACTOR, "waiting_seconds": 60, "raise_by": 1, "max_priority": 200}
    with pytest.raises(BadArgument):
        said(procedures.ESCALATE_AGED_JOBS, **{**good, **wrong})
    assert priority_of(job) == 100


def a_policy(**values: Any) -> EscalationPolicy:
    given = {"cron": "* * * * *", "waiting_seconds": 3_600, "raise_by": 10, "max_priority": 125, **values}
    return EscalationPolicy.objects.create(
        name="aged", next_utc=LONG_AGO, changed_by="ada", changed_utc=database_now(), **given
    )


def run_policies() -> None:
    run_due(EscalationPolicy, escalate, Deadline(60))


def test_a_policy_previews_its_jobs_and_raises_them_under_its_name(queue: JobQueue) -> None:
    job = queued(queue)
    pass_time(3_601)
    policy = a_policy()
    assert count_aged(policy) == (1, True)
    run_policies()
    assert count_aged(policy) == (0, True)
    (event,) = JobEvent.objects.filter(job_id=job.job_id, event="reprioritized")
    assert (event.actor, event.reason) == ("schedule:aged", "escalation policy aged")
    assert ScheduleRun.objects.get(task="escalation:aged").told == "1 job raised"


def test_a_policy_reports_that_it_ran_out_of_time(queue: JobQueue) -> None:
    result = escalate(a_policy(), LONG_AGO, Deadline(0))
    assert (result.outcome, result.text) == (
        TaskOutcome.DONE,
        "0 jobs raised; it took too long, the others wait for the next time",
    )


def test_a_policy_with_nothing_to_raise_leaves_no_row(queue: JobQueue) -> None:
    queued(queue)
    a_policy()
    run_policies()
    assert not ScheduleRun.objects.exists()


def test_a_raised_job_is_claimed_before_newer_ones_of_its_old_priority(queue: JobQueue) -> None:
    old = queued(queue, priority=95)
    pass_time(3_601)
    queued(queue)
    raised(queue)
    assert claim_one(queue, WORKER).job_id == old.job_id


def test_a_pass_continues_from_the_place_in_the_last_result(queue: JobQueue) -> None:
    queued(queue, priority=7)
    step = queue.escalate(HOUR, actor=ACTOR)
    assert step.after == AgedPlace(after_priority=7, after_utc=None, after_job_seq=None)
    assert queue.escalate(HOUR, actor=ACTOR, after=step.after).after is None
