"""Derivations: what is missing or out of date is queued once, an answer stays in use until the next is there."""

import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from derive.contracts import FactDecision, RunFacts
from derive.deadline import Deadline
from derive.derivation_contracts import SubjectChange
from derive.derivations.applying import Limits, NotApplied, ask_again
from derive.derivations.declarations import find_declared
from derive.errors import BadArgument, ConfigurationError
from derive.models import Batch, Derivation, Fact, Job, PastAnswer, Subject
from derive.queue import JobQueue
from derive.review.waiting import waiting_facts
from derive.schedules.derivations import apply_due
from derive.schedules.single_flight import TaskOutcome
from derive.sql import procedures
from derive.states import JobStatus, ReviewDecision, StaleBecause, SubjectState, Verdict
from tests.contract.derived import NAME, World, row, states, subject
from tests.contract.facts import a_fact
from tests.contract.scenes import ACTOR, KEY, WORKER, at_once, job_of, ref, said, success
from tests.contract.test_admitted_facts import admitted

CURRENT, QUEUED, MISSING = SubjectState.CURRENT, SubjectState.QUEUED, SubjectState.MISSING
STALE, FAILED, RETIRED = SubjectState.STALE, SubjectState.FAILED, SubjectState.RETIRED


@pytest.fixture
def world(queue: JobQueue, tmp_path: Path, settings: Any) -> World:
    return World(tmp_path, settings)


def test_a_plan_counts_and_writes_nothing(world: World) -> None:
    world.write("hoth", "naboo")
    plan = world.plan()
    assert (plan.new, plan.changed, plan.gone, plan.current, plan.to_derive) == (2, 0, 0, 0, 2)
    assert not Job.objects.exists()
    assert not Derivation.objects.exists()
    assert not Subject.objects.exists()


def test_an_application_queues_what_is_missing_as_a_batch_and_twice_is_once(world: World) -> None:
    world.write("hoth", "naboo")
    applied = world.apply(reason="first time")
    assert (applied.queued, applied.left, applied.retired) == (2, 0, 0)
    assert states() == {"hoth": QUEUED, "naboo": QUEUED}
    batch = Batch.objects.get()
    assert (batch.batch_id, batch.derivation_key, batch.queued_jobs) == (applied.batch_id, NAME, 2)
    assert batch.filled_utc is not None
    assert world.apply().queued == 0
    assert Job.objects.count() == 2
    assert world.work() == 2
    assert states() == {"hoth": CURRENT, "naboo": CURRENT}
    assert subject("hoth").run_id is not None
    plan = world.plan()
    assert (plan.current, plan.to_derive) == (2, 0)
    assert world.apply().queued == 0
    assert Job.objects.count() == 2
    assert row().applied_utc is not None


def test_the_fingerprint_is_the_hash_of_the_evidence_that_a_run_is_shown(world: World) -> None:
    """Else everything would be derived again, or nothing."""
    from derive.evidence.bundle import build_bundle
    from derive.evidence.redaction import Redactor
    from derive.evidence.sources import collect_sources
    from derive.interrogations.registry import Registry

    world.write("hoth", text="Write to someone@example.com about {name}.")
    world.apply()
    job = Job.objects.get()
    texts = collect_sources(
        job_input={}, evidence_ref_json=job.evidence_ref_json, read_lake=lambda _: b"", read_run_output=lambda _: ""
    )
    bounds = Registry.load(None).get(KEY).bounds
    bundle = build_bundle(texts, bounds=bounds, redactor=Redactor(), delimiter_key=b"k")
    assert "example.com" not in bundle.items[0].text
    assert subject("hoth").evidence_sha256 == bundle.sha256


def test_a_changed_text_is_derived_again_and_its_answer_stays_in_use_until_then(world: World) -> None:
    world.write("hoth", "naboo")
    world.apply()
    world.work()
    first = subject("hoth")
    world.write("hoth", text="It is warm on {name} now.")
    plan = world.plan()
    assert (plan.changed, plan.current, plan.new) == (1, 1, 0)
    assert world.apply().queued == 1
    asked = subject("hoth")
    assert (asked.state, asked.run_id, asked.answer_job_id) == (QUEUED, first.run_id, first.answer_job_id)
    assert not PastAnswer.objects.exists()
    world.work()
    answered = subject("hoth")
    assert (answered.state, answered.answer_job_id) == (CURRENT, asked.job_id)
    assert answered.run_id != first.run_id
    assert [(past.job_id, past.because) for past in PastAnswer.objects.all()] == [(first.job_id, "superseded")]


def test_a_text_that_was_only_touched_is_not_derived_again(world: World) -> None:
    world.write("hoth")
    world.apply()
    world.work()
    os.utime(world.folder / "hoth.txt", (1, 1))
    before = subject("hoth").change_token
    assert world.plan().current == 1
    assert world.apply().queued == 0
    assert subject("hoth").change_token != before
    assert (states(), Job.objects.count()) == ({"hoth": CURRENT}, 1)


def test_a_text_that_returns_to_an_earlier_one_takes_the_answer_it_had(world: World) -> None:
    world.write("hoth")
    world.apply()
    world.work()
    first = subject("hoth")
    world.write("hoth", text="Other.")
    world.apply()
    world.work()
    world.write("hoth")
    assert world.apply().queued == 1
    back = subject("hoth")
    assert (back.state, back.run_id, back.job_id) == (CURRENT, first.run_id, first.job_id)
    assert Job.objects.count() == 2, "its job is there already, and is not run again"
    assert list(PastAnswer.objects.values_list("job_id", flat=True)) != [first.job_id]


def test_a_subject_that_is_gone_is_retired_and_comes_back_with_its_answer(world: World) -> None:
    world.write("hoth", "naboo")
    world.apply()
    world.work()
    answer = subject("hoth").answer_job_id
    (world.folder / "hoth.txt").rename(world.folder / "away")
    assert world.plan().gone == 1
    assert world.apply().retired == 1
    assert states() == {"hoth": RETIRED, "naboo": CURRENT}
    assert [(past.job_id, past.because) for past in PastAnswer.objects.all()] == [(answer, "retired")]
    assert world.plan().gone == 0
    (world.folder / "away").rename(world.folder / "hoth.txt")
    assert world.plan().current == 2
    assert world.apply().queued == 0
    assert states() == {"hoth": CURRENT, "naboo": CURRENT}
    assert not PastAnswer.objects.exists()


def test_what_was_asked_before_a_subject_was_gone_is_past_when_it_comes_back_with_another_text(world: World) -> None:
    world.write("hoth")
    world.apply()
    first = subject("hoth").job_id
    (world.folder / "hoth.txt").unlink()
    world.apply()
    world.write("hoth", text="It is warm on {name} now.")
    world.apply()
    world.work()
    assert subject("hoth").answer_job_id == subject("hoth").job_id != first
    assert list(PastAnswer.objects.values_list("job_id", flat=True)) == [first]


def test_a_subject_that_comes_back_changed_uses_its_answer_even_while_there_is_no_room_to_ask(world: World) -> None:
    world.write("hoth")
    world.apply()
    world.work()
    (world.folder / "hoth.txt").unlink()
    world.apply()
    world.declare(depth_limit=1)
    world.write("bespin")
    world.write("hoth", text="It is warm on {name} now.")
    assert world.apply().left == 1
    back = subject("hoth")
    assert (back.state, back.stale_because) == (STALE, StaleBecause.EVIDENCE)
    assert not PastAnswer.objects.exists()


def test_an_answer_that_has_come_but_was_not_settled_is_in_use_until_the_next_one(world: World) -> None:
    world.write("hoth")
    world.apply()
    queue = JobQueue()
    (claim,) = queue.claim(WORKER)
    queue.complete(success(claim))
    world.write("hoth", text="It is warm on {name} now.")
    assert world.apply().queued == 1
    asked = subject("hoth")
    assert (asked.state, asked.answer_job_id) == (QUEUED, claim.job_id)
    assert not PastAnswer.objects.exists()


def test_with_the_policy_keep_the_answer_of_a_gone_subject_stays_in_use(world: World) -> None:
    world.declare(retire_policy="keep")
    world.write("hoth")
    world.apply()
    world.work()
    (world.folder / "hoth.txt").unlink()
    assert world.apply().retired == 1
    assert states() == {"hoth": RETIRED}
    assert not PastAnswer.objects.exists()


def test_another_model_and_another_definition_make_answers_stale(world: World, settings: Any) -> None:
    world.write("hoth", "naboo")
    world.apply()
    world.work()
    world.declare(model="qwen3:8b")
    plan = world.plan()
    assert (plan.stale[StaleBecause.MODEL], plan.current, plan.to_derive) == (2, 0, 2)
    assert world.apply(limits=Limits(max_jobs=1)).left == 1
    stale = Subject.objects.get(state=STALE)
    assert (stale.stale_because, stale.run_id is not None) == ("model", True)
    world.declare()
    assert world.plan().changed == 0
    Subject.objects.none()
    world.apply()
    assert set(states().values()) == {CURRENT}, "what was asked before is answered already"


def test_somebody_may_ask_again_and_each_wish_is_a_job_of_its_own(world: World) -> None:
    world.write("hoth", "naboo")
    world.apply()
    world.work()
    assert ask_again(find_declared(NAME), JobQueue(), actor=ACTOR, entities=iter([("planet", "hoth.txt")])) == 1
    assert (states()["hoth"], subject("hoth").stale_because) == (STALE, "asked")
    assert world.plan().stale[StaleBecause.ASKED] == 1
    assert world.apply().queued == 1
    assert world.apply().queued == 0
    world.work()
    assert states() == {"hoth": CURRENT, "naboo": CURRENT}
    assert Job.objects.count() == 3


def test_a_failed_job_makes_its_subject_failed_until_it_is_requeued_or_asked_again(world: World) -> None:
    world.write("hoth", "naboo")
    world.apply()
    world.work(succeeds=False)
    assert set(states().values()) == {FAILED}
    plan = world.plan()
    assert (plan.failed, plan.to_derive) == (2, 0)
    assert world.apply().queued == 0
    queue = JobQueue()
    queue.requeue([ref(Job.objects.get(entity_id="hoth.txt"))], actor=ACTOR)  # type: ignore[arg-type]
    world.settle()
    assert states() == {"hoth": QUEUED, "naboo": FAILED}
    assert ask_again(find_declared(NAME), queue, actor=ACTOR, states=(FAILED,)) == 1
    assert states() == {"hoth": QUEUED, "naboo": MISSING}
    assert world.apply().queued == 1
    world.work()
    assert set(states().values()) == {CURRENT}
    assert Job.objects.count() == 3


def test_the_depth_limit_bounds_what_is_unfinished(world: World) -> None:
    world.declare(depth_limit=3)
    world.write(*"abcde")
    applied = world.apply()
    assert (applied.queued, applied.left) == (3, 2)
    assert "depth limit" in str(applied.why)
    assert sorted(states().values()) == [MISSING] * 2 + [QUEUED] * 3
    assert row().applied_utc is None
    assert world.apply().queued == 0
    world.work()
    assert world.apply().queued == 2
    assert Batch.objects.count() == 1, "the next call goes on with the batch"
    world.work()
    JobQueue().sweep_batches()
    assert set(states().values()) == {CURRENT}
    assert Batch.objects.get().finished_utc is not None


def test_the_rate_spreads_the_starts_of_jobs_over_calls(world: World) -> None:
    world.declare(rate_per_minute=2)
    world.write("a", "b")
    world.apply()
    world.write("c")
    world.apply()
    times = list(Job.objects.order_by("job_seq").values_list("available_utc", flat=True))
    steps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert steps == [30, 30]
    assert [job.status for job in Job.objects.order_by("job_seq")] == [
        JobStatus.NEW,
        JobStatus.SCHEDULED,
        JobStatus.SCHEDULED,
    ]


def test_a_budget_is_that_of_the_batch(world: World) -> None:
    world.declare(budget_tokens=500)
    world.write("hoth")
    world.apply(limits=Limits(budget_model_seconds=9))
    batch = Batch.objects.get()
    assert (batch.budget_tokens, batch.budget_model_seconds) == (500, 9)
    JobQueue().pause_batch(batch.batch_id, actor=ACTOR)
    with pytest.raises(NotApplied, match="paused"):
        world.apply()


def test_a_paused_derivation_queues_nothing(world: World) -> None:
    world.write("hoth")
    world.apply()
    assert JobQueue().pause_derivation(NAME, actor=ACTOR, paused=True, reason="later").changed
    world.write("naboo")
    with pytest.raises(NotApplied, match="resume"):
        world.apply()
    assert world.plan().new == 1
    assert JobQueue().pause_derivation(NAME, actor=ACTOR, paused=False).changed
    assert world.apply().queued == 1


def test_of_two_applications_at_once_each_subject_is_queued_by_one(world: World) -> None:
    names = [f"planet-{number}" for number in range(40)]
    world.write(*names)
    at_once(*[world.apply] * 3)
    assert Job.objects.count() == len(names)
    assert Subject.objects.count() == len(names)
    assert set(states().values()) == {QUEUED}
    assert Batch.objects.get().queued_jobs == len(names)


def test_an_application_that_was_stopped_is_gone_on_with(world: World) -> None:
    world.write(*"abcdef")
    looks = iter([False, False, True])
    stopped = world.apply(stop_asked=lambda: next(looks))
    assert (stopped.is_stopped, stopped.queued) == (True, 2)
    assert Batch.objects.get().filled_utc is not None or stopped.left == 0
    assert world.apply().queued == 4
    assert Job.objects.count() == 6


def test_what_cannot_be_read_is_told_and_keeps_what_it_has(world: World) -> None:
    world.write("hoth", "naboo")
    world.apply()
    world.work()
    (world.folder / "hoth.txt").write_bytes(b"\xff\xfe\xff broken")
    plan = world.plan()
    assert (plan.unreadable, plan.current, plan.gone) == (1, 1, 0)
    assert "hoth" in plan.shown[0].address
    assert world.apply().queued == 0
    assert states() == {"hoth": CURRENT, "naboo": CURRENT}


def test_an_interrogation_that_does_not_take_such_subjects_refuses_each(world: World) -> None:
    world.write("hoth")
    world.file.write_text(world.file.read_text("utf-8").replace('"planet"', '"contract"'), "utf-8")
    applied = world.apply()
    assert (applied.queued, applied.unreadable) == (0, 1)
    assert "entity_type" in applied.shown[0].reason


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"interrogation": "no_such_v1"}, "no interrogation"),
        ({"version": "0.1"}, "pinned"),
        ({"source": "elsewhere"}, "no source"),
        ({"schedule": "often"}, "schedule"),
        ({"priority": -1}, "priority"),
        ({"depth_limit": 0}, "depth_limit"),
        ({"retire_policy": "burn"}, "retire_policy"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_where_it_is_planned(
    world: World, members: dict[str, Any], why: str
) -> None:
    from derive.errors import HolocronError

    world.declare(**members)
    with pytest.raises(HolocronError, match=why):
        world.plan()


def test_a_derivation_that_its_file_no_longer_declares_is_not_applied(world: World) -> None:
    world.write("hoth")
    world.apply()
    world.file.write_text(
        '[[source]]\nname = "texts"\nkind = "files"\nentity_type = "planet"\nfolder = "texts"\n', "utf-8"
    )
    with pytest.raises(ConfigurationError, match="no longer declares"):
        world.apply()
    with pytest.raises(ConfigurationError, match="there is no derivation"):
        find_declared("others")


def test_facts_are_admitted_while_their_answer_is_in_use(world: World) -> None:
    """A stale answer's stay until the next one succeeded, with which they do not disagree; a retired one's go."""

    def answer(value: str) -> None:
        (claim,) = JobQueue().claim(WORKER)
        queue = JobQueue()
        queue.complete(success(claim, run=RunFacts(evidence_sha256=value * 32), facts=(a_fact(value=value),)))
        world.settle()

    world.write("hoth")
    world.apply()
    answer("ab")
    world.write("hoth", text="Other.")
    world.apply()
    assert admitted() == ["ab"]
    answer("cd")
    assert admitted() == ["cd"], "the answer before is superseded, and disagrees with nothing"
    (world.folder / "hoth.txt").unlink()
    world.apply()
    assert admitted() == []
    world.write("hoth", text="Other.")
    world.apply()
    assert admitted() == ["cd"]


def test_no_reviewer_is_given_a_fact_whose_answer_is_no_longer_in_use(world: World) -> None:
    queue = JobQueue()

    def answer(value: str) -> None:
        (claim,) = queue.claim(WORKER)
        doubted = a_fact(value=value, verdict=Verdict.NOT_ENOUGH_INFO)
        queue.complete(success(claim, run=RunFacts(evidence_sha256=value * 32), facts=(doubted,)))
        world.settle()

    def given(reviewer: str) -> list[str | None]:
        """What is given to somebody who has not looked yet, and what the page says is waiting."""
        facts = [Fact.objects.get(fact_id=one.fact_id) for one in queue.claim_facts(actor=reviewer, max_facts=9)]
        assert len(facts) == waiting_facts().count
        with connection.cursor() as cursor:
            cursor.execute("UPDATE llm.fact SET review_claim_expires_utc = NULL")
        return [fact.value for fact in facts]

    world.write("hoth")
    world.apply()
    answer("ab")
    assert given("ann") == ["ab"]
    first = Fact.objects.get()
    queue.review_facts([FactDecision(decision=ReviewDecision.NOT_SURE, fact_id=first.fact_id)], actor="ann")
    world.write("hoth", text="Other.")
    world.apply()
    assert given("ben") == ["ab"], "a stale answer is in use until the next one is there"
    answer("cd")
    assert given("ben") == ["cd"]
    (world.folder / "hoth.txt").unlink()
    world.apply()
    assert given("ben") == []
    world.write("hoth")
    world.apply()
    assert given("ben") == ["ab"], "it is in use again, and waits for another opinion"


def test_the_scheduler_applies_a_derivation_when_it_is_due_and_not_before(world: World) -> None:
    world.declare(schedule="0 0 1 1 *")
    world.write("hoth")
    assert apply_due(Deadline(60)).outcome is TaskOutcome.IDLE
    assert row().next_utc is not None
    assert not Job.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.derivation SET next_utc = created_utc")
    result = apply_due(Deadline(60))
    assert (result.outcome, result.text) == (TaskOutcome.DONE, f"{NAME}: 1 queued, 0 retired")
    assert Job.objects.get().created_by == f"schedule:{NAME}"
    assert apply_due(Deadline(60)).outcome is TaskOutcome.IDLE
    assert Job.objects.count() == 1


def test_a_derivation_that_cannot_be_applied_is_told_and_tried_at_its_next_time(world: World) -> None:
    world.declare(schedule="0 0 1 1 *")
    apply_due(Deadline(60))
    world.folder.rmdir()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.derivation SET next_utc = created_utc")
    apply_due(Deadline(60))
    assert row().next_utc > row().created_utc
    assert not Job.objects.exists()


def test_an_answer_in_use_is_not_purged(world: World) -> None:
    """Else a retention policy would have everything derived again."""
    world.write("hoth", "naboo")
    world.apply()
    world.work()
    (world.folder / "hoth.txt").unlink()
    world.apply()
    later = datetime(2999, 1, 1, tzinfo=UTC)
    JobQueue().purge(finished_before_utc=later, statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    assert list(Job.objects.values_list("entity_id", flat=True)) == ["naboo.txt"]
    world.settle()
    assert states() == {"hoth": RETIRED, "naboo": CURRENT}


# The procedures

SUBJECT = {"entity_type": "planet", "entity_id": "hoth", "state": "MISSING"}


@pytest.mark.parametrize(
    ("number", "procedure", "arguments"),
    [
        (59, procedures.SET_DERIVATION, {"derivation_key": " ", "actor": "ada"}),
        (59, procedures.SET_DERIVATION, {"derivation_key": "k", "actor": "ada", "declaration_json": "[]"}),
        (59, procedures.SET_DERIVATION, {"derivation_key": "k", "actor": "ada", "declaration_json": "{}"}),
        (14, procedures.SET_DERIVATION, {"derivation_key": "k", "actor": " "}),
        (60, procedures.SET_SUBJECTS, {"derivation_key": "k", "subjects_json": "{}", "actor": "ada"}),
        (60, procedures.SET_SUBJECTS, {"derivation_key": "k", "subjects_json": "[]", "actor": "ada"}),
        (61, procedures.SET_SUBJECTS, {"derivation_key": "k", "subjects_json": [SUBJECT], "actor": "ada"}),
        (60, procedures.SET_SUBJECTS, {"derivation_key": "k", "subjects_json": [SUBJECT, SUBJECT], "actor": "ada"}),
        (14, procedures.SET_SUBJECTS, {"derivation_key": "k", "subjects_json": [SUBJECT], "actor": ""}),
        (62, procedures.SETTLE_SUBJECTS, {"max_events": 0}),
    ],
)
def test_a_bad_argument_is_refused_by_its_number(
    queue: JobQueue, number: int, procedure: Any, arguments: dict[str, Any]
) -> None:
    import json

    sent = {name: json.dumps(value) if isinstance(value, list) else value for name, value in arguments.items()}
    with pytest.raises(BadArgument, match=f"HC0{number}"):
        said(procedure, **sent)
    assert not Derivation.objects.exists()
    assert not Subject.objects.exists()


def test_no_subject_is_queued_without_its_job(world: World) -> None:
    world.write("hoth")
    world.apply()
    change = SubjectChange(
        entity_type="planet",
        entity_id="endor",
        state=QUEUED,
        evidence_sha256="ab" * 32,
        definition_sha256="cd" * 32,
        job_id=uuid4(),
    )
    with pytest.raises(BadArgument, match="HC060"):
        JobQueue().set_subjects(NAME, [change], actor=ACTOR)
    assert states() == {"hoth": QUEUED}


def test_a_cancelled_job_leaves_its_subject_failed(world: World) -> None:
    world.write("hoth")
    world.apply()
    JobQueue().cancel([ref(job_of(subject("hoth").job_id))], actor=ACTOR)
    world.settle()
    assert states() == {"hoth": FAILED}
