"""Models that want to be asked in their own way, and models that cannot be asked at all."""

import json
from typing import Any

import pytest

from derive.contracts import ModelLimits
from derive.worker.slots import Slots
from tests.fake_ollama import answers
from tests.faults.worker_world import OPERATOR, World

LLAMA = "llama3.2"
OTHER = "other:latest"
UNFIT = {"safetensors": answers.SAFETENSORS, "ollama.com": answers.CLOUD, "embedding": answers.EMBEDDING}


@pytest.mark.parametrize(
    ("show", "think"),
    [
        ({}, False),
        ({"capabilities": ["completion", "thinking"]}, False),
        (answers.HARMONY, "low"),
        (answers.HARMONY_PARSER, "low"),
        (answers.ALWAYS_THINKS, True),
    ],
)
def test_a_model_is_asked_in_the_way_that_gets_an_answer(show: dict[str, Any], think: bool | str, world: World) -> None:
    world.fake.shows[answers.MODEL] = show
    job_id = world.enqueue()
    world.work()
    run = world.run(job_id)
    assert (world.job(job_id).status, run.error) == ("SUCCEEDED", None)
    (chat,) = world.fake.chats
    assert chat.json["think"] == think
    assert world.file(run, "request.json") == chat.body
    checks = json.loads(world.file(run, "validation.json"))["answer_checks"]
    assert all(check["passed"] for check in checks if check["name"] == "no_thinking")


@pytest.mark.parametrize("why", UNFIT)
def test_a_configured_model_that_obeys_no_schema_is_refused_before_a_job_is_claimed(why: str, world: World) -> None:
    world.fake.shows[answers.MODEL] = UNFIT[why]
    job_id = world.enqueue()
    report = world.worker(once=True).report()
    assert report.runs == 0
    assert report.refusal is not None
    assert "has the model 'llama3.2', but it cannot be used: " in report.refusal
    assert why in report.refusal
    assert report.refusal.endswith("set OLLAMA_MODEL to another")
    assert (world.job(job_id).status, world.runs(job_id)) == ("NEW", [])


@pytest.mark.parametrize("why", UNFIT)
def test_a_jobs_own_model_that_obeys_no_schema_fails_it_at_once_and_is_not_asked(why: str, world: World) -> None:
    world.fake.models[OTHER] = "ab" * 32
    world.fake.shows[OTHER] = UNFIT[why]
    unfit, fit = world.enqueue(model_hint=OTHER, priority=200), world.enqueue()
    world.work(2)
    job = world.job(unfit)
    assert (job.status, job.error_kind, job.attempt_count) == ("FAILED", "model_not_found", 1)
    assert why in str(job.last_error)
    assert world.job(fit).status == "SUCCEEDED"
    assert [chat.json["model"] for chat in world.fake.chats] == ["llama3.2"]


def test_what_answered_is_held_against_what_was_asked_and_a_difference_is_reported(world: World) -> None:
    """The model is loaded with another window than was asked for."""
    job_id = world.enqueue()
    world.work()
    checks = json.loads(world.file(world.run(job_id), "validation.json"))["answer_checks"]
    assert {check["name"]: check["passed"] for check in checks} == {
        "model_name": True,
        "prompt_was_counted": True,
        "prompt_fits_context": True,
        "no_thinking": True,
        "stream_ended_cleanly": True,
        "context_length": False,
        "model_digest": True,
    }
    assert "loaded with 4096" in next(check["detail"] for check in checks if check["name"] == "context_length")


def models_asked(world: World) -> list[str]:
    return [chat.json["model"] for chat in world.fake.chats]


def enqueue_in_turn(world: World) -> None:
    world.fake.models[OTHER] = "ab" * 32
    for _ in range(3):
        world.enqueue(model_hint=OTHER)
        world.enqueue()


def test_a_worker_stays_with_the_model_that_is_loaded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slots, "ahead", 0)
    enqueue_in_turn(world)
    world.work(6)
    assert models_asked(world) == [OTHER] * 3 + [LLAMA] * 3


def test_after_its_quantum_a_model_gives_way_to_the_one_that_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Slots, "ahead", 0)
    enqueue_in_turn(world)
    world.work(6, model_quantum_seconds=0)
    assert models_asked(world) == [OTHER, LLAMA] * 3


def test_without_affinity_jobs_come_in_strict_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slots, "ahead", 0)
    world.fake.models[OTHER] = "ab" * 32
    for hint in (OTHER, None, None, OTHER):
        world.enqueue(model_hint=hint)
    world.work(4, model_affinity=False)
    assert models_asked(world) == [OTHER, LLAMA, LLAMA, OTHER]


@pytest.mark.parametrize("model_affinity", [True, False])
def test_a_worker_leaves_jobs_of_a_paused_model_alone(world: World, model_affinity: bool) -> None:
    enqueue_in_turn(world)
    world.queue.pause_model(LLAMA, actor=OPERATOR, reason="maintenance")
    for _ in range(4):
        world.worker(once=True, model_affinity=model_affinity).report()
    assert models_asked(world) == [OTHER] * 3


def test_a_model_is_asked_with_the_context_that_operators_gave_it(world: World) -> None:
    world.fake.models[OTHER] = "ab" * 32
    world.queue.limit_model(OTHER, ModelLimits(num_ctx=4096, num_predict=300), actor=OPERATOR)
    jobs = [world.enqueue(model_hint=OTHER), world.enqueue()]
    world.work(2)
    asked = [(chat.json["options"]["num_ctx"], chat.json["options"]["num_predict"]) for chat in world.fake.chats]
    assert asked == [(4096, 300), (8192, 2048)]
    assert [json.loads(world.run(job_id).options_json)["num_ctx"] for job_id in jobs] == [4096, 8192]
