"""Whatever the model server does: the job's state, what is counted, and what is kept are as the contract says."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fake_ollama import Behaviour, behaviours
from tests.fake_ollama.answers import facts_content
from tests.faults.worker_world import ANSWERED, ASKED, GOOD_ANSWER, JUDGED, QUOTE, REFUSED, SUCCEEDED, World


@dataclass(frozen=True)
class Fault:
    """One way to answer, and what it must come to."""

    name: str
    behaviour: Behaviour
    error_kind: str
    status: str
    leaves: frozenset[str]
    counted: bool = True


QUICK: dict[str, Any] = {"first_byte_seconds": 0.3, "idle_seconds": 0.3}
FAULTS = (
    Fault("overloaded", behaviours.overloaded(), "model_overloaded", "NEW", REFUSED, counted=False),
    Fault("missing", behaviours.model_not_found(), "model_unavailable", "NEW", REFUSED, counted=False),
    Fault("redirect", behaviours.redirect("http://127.0.0.1:1/"), "model_unavailable", "NEW", ASKED, counted=False),
    Fault("crashed", behaviours.crashed(), "model_crashed", "SCHEDULED", REFUSED),
    Fault("ends early", behaviours.ends_early(), "model_crashed", "SCHEDULED", REFUSED),
    Fault("breaks off", behaviours.breaks_off(), "model_crashed", "SCHEDULED", REFUSED),
    Fault("cut line", behaviours.cut_line(), "model_crashed", "SCHEDULED", REFUSED),
    Fault("error line in a 200", behaviours.error_line(), "model_crashed", "SCHEDULED", REFUSED),
    Fault("done false", behaviours.done_false(), "model_crashed", "SCHEDULED", REFUSED),
    Fault("not UTF-8", behaviours.not_utf8(), "model_crashed", "SCHEDULED", REFUSED),
    Fault("not JSON lines", behaviours.not_json_line(), "model_crashed", "SCHEDULED", REFUSED),
    Fault("reset before headers", behaviours.reset_before_headers(), "model_crashed", "SCHEDULED", ASKED),
    Fault("silent", behaviours.silent(), "model_timeout", "SCHEDULED", ASKED),
    Fault("falls silent", behaviours.falls_silent(), "model_timeout", "SCHEDULED", REFUSED),
    Fault("prompt too long", behaviours.prompt_too_long(), "evidence_too_large", "FAILED", REFUSED),
    Fault("truncated", behaviours.truncated(), "truncated_output", "NEW", ANSWERED),
    Fault("not JSON", behaviours.not_json_content(), "invalid_output", "NEW", JUDGED),
    Fault("not the schema", behaviours.not_the_schema(), "invalid_output", "NEW", JUDGED),
    Fault("NaN", behaviours.nan(), "invalid_output", "NEW", JUDGED),
    Fault("Infinity", behaviours.infinity(), "invalid_output", "NEW", JUDGED),
    Fault("wrong quote", behaviours.wrong_quote("e1"), "ungrounded_output", "NEW", JUDGED),
    Fault("unknown evidence id", behaviours.unknown_evidence_id(QUOTE), "ungrounded_output", "NEW", JUDGED),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_ends_the_run_as_the_contract_says(fault: Fault, world: World) -> None:
    world.ollama |= QUICK
    # Always: a request that kept connections did not take is sent again, until it was sent on a new one.
    world.fake.always(fault.behaviour)
    job_id = world.enqueue()
    report = world.work()
    job, run = world.job(job_id), world.run(job_id)
    assert report.last_status == job.status == fault.status
    assert (run.status, run.error_kind, run.counted) == ("FAILED", fault.error_kind, fault.counted)
    assert (job.error_kind, job.last_error) == (run.error_kind, run.error)
    assert job.attempt_count == (1 if fault.counted else 0)
    world.has_left(run, fault.leaves)


@pytest.mark.parametrize(
    ("behaviour", "error_kind", "status"),
    [
        (behaviours.crashed(), "model_crashed", "DEADLETTER"),
        (behaviours.truncated(), "truncated_output", "DEADLETTER"),
        (behaviours.not_json_content(), "invalid_output", "DEADLETTER"),
        (behaviours.wrong_quote("e1"), "ungrounded_output", "DEADLETTER"),
        (behaviours.overloaded(), "model_overloaded", "NEW"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_last_attempt_is_a_dead_letter_unless_it_does_not_count(
    behaviour: Behaviour, error_kind: str, status: str, world: World
) -> None:
    world.fake.next(behaviour)
    job_id = world.enqueue(max_attempts=1)
    world.work()
    assert (world.job(job_id).status, world.job(job_id).error_kind) == (status, error_kind)


def test_a_refused_answer_is_retried_at_once_and_told_what_was_wrong(world: World) -> None:
    world.fake.next(behaviours.answer(facts_content(("e1", "words that stand nowhere"))))
    job_id = world.enqueue()
    world.work(2)
    first, second = world.runs(job_id)
    job = world.job(job_id)
    assert (job.status, job.attempt_count, job.error_kind, job.last_error) == ("SUCCEEDED", 2, None, None)
    assert (first.error_kind, first.counted, second.status) == ("ungrounded_output", True, "SUCCEEDED")
    world.has_left(first, JUDGED)
    world.has_left(second, SUCCEEDED | {"correction.json"})
    correction = json.loads(world.file(second, "correction.json"))
    assert correction["previous_run_id"] == str(first.run_id)
    assert correction["error_kind"] == "ungrounded_output"
    prompts = [world.file(run, "prompt.txt").decode() for run in (first, second)]
    assert "words that stand nowhere" not in prompts[0]
    assert "words that stand nowhere" in prompts[1]
    assert [chat.json["messages"][0]["content"] for chat in world.fake.chats] == prompts
    assert second.output_json.encode() == world.file(second, "output.json")


def test_three_refused_answers_are_a_dead_letter(world: World) -> None:
    world.fake.always(behaviours.not_the_schema())
    job_id = world.enqueue()
    world.work(3)
    assert (world.job(job_id).status, world.job(job_id).attempt_count) == ("DEADLETTER", 3)
    assert [run.counted for run in world.runs(job_id)] == [True] * 3


def test_a_cut_answer_is_retried_with_twice_the_room(world: World) -> None:
    world.ollama |= {"num_predict": 500, "num_ctx": 8192}
    world.fake.next(behaviours.truncated(), behaviours.truncated())
    job_id = world.enqueue()
    world.work(3)
    assert world.job(job_id).status == "SUCCEEDED"
    assert [chat.json["options"]["num_predict"] for chat in world.fake.chats] == [500, 1000, 2000]
    assert [json.loads(run.options_json)["num_predict"] for run in world.runs(job_id)] == [500, 1000, 2000]


def test_a_cut_answer_without_more_room_fails(world: World) -> None:
    world.ollama |= {"num_predict": 1700, "num_ctx": 2000}
    world.fake.next(behaviours.answer('{"facts"', done_reason="length", prompt_eval_count=300))
    job_id = world.enqueue()
    world.work()
    assert (world.job(job_id).status, world.job(job_id).error_kind) == ("FAILED", "truncated_output")
    world.has_left(world.run(job_id), ANSWERED)


def test_room_once_given_stays_when_the_next_answer_is_bad_otherwise(world: World) -> None:
    world.ollama |= {"num_predict": 500, "num_ctx": 8192}
    world.fake.next(behaviours.truncated(), behaviours.not_the_schema(), behaviours.answer(GOOD_ANSWER))
    job_id = world.enqueue()
    world.work(3)
    assert world.job(job_id).status == "SUCCEEDED"
    assert [chat.json["options"]["num_predict"] for chat in world.fake.chats] == [500, 1000, 1000]


def test_the_jobs_own_model_that_is_missing_fails_the_job(world: World) -> None:
    job_id = world.enqueue(model_hint="nope")
    world.work()
    job, run = world.job(job_id), world.run(job_id)
    assert (job.status, job.error_kind, job.attempt_count) == ("FAILED", "model_not_found", 1)
    assert (run.model_name, run.model_tag) == ("nope", "latest")
    assert world.fake.chats == []
    world.has_left(run, ASKED - {"model.json"})


def test_a_success_keeps_every_byte_and_number(world: World) -> None:
    job_id = world.enqueue(priority=7)
    report = world.work()
    job, run = world.job(job_id), world.run(job_id)
    assert (report.runs, report.last_status, report.refusal) == (1, "SUCCEEDED", None)
    assert (job.status, job.attempt_count, run.attempt, run.counted) == ("SUCCEEDED", 1, 1, True)
    world.has_left(run, SUCCEEDED)
    (chat,) = world.fake.chats
    assert world.file(run, "request.json") == chat.body
    assert json.loads(world.file(run, "response.json"))["message"]["content"] == GOOD_ANSWER
    assert json.loads(run.metrics_json)["eval_duration"] == 900_000_000
    assert (run.prompt_tokens, run.output_tokens) == (321, 12)
    assert (run.model_name, run.model_tag) == ("llama3.2", "latest")
    assert run.model_digest == json.loads(world.file(run, "model.json"))["digest"]
    assert run.ollama_base_url == world.fake.url
    assert run.started_utc <= run.completed_utc
    assert run.worker_id.startswith("worker-")
