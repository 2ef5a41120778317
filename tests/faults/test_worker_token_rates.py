"""Estimates are learned from what the model counted: in a worker's own runs, and in earlier ones at its start."""

import re

from derive.evidence.tokens import Estimate, TokenRates, make_up_of
from derive.worker.token_history import counted_prompts, learn_from_prompts
from tests.fake_ollama import behaviours
from tests.faults.worker_world import GOOD_ANSWER, PASSAGE, World, input_json, wait_until

MODEL = "llama3.2:latest"


def in_a_world_that_counts(world: World, tokens: int, runs: int = 4) -> str:
    """Let a worker make some runs whose prompts count so many tokens, and return the last one's prompt."""
    world.fake.always(behaviours.answer(GOOD_ANSWER, prompt_eval_count=tokens))
    job_ids = [world.enqueue() for _ in range(runs)]
    world.work(runs=runs)
    return world.file(world.run(job_ids[-1]), "prompt.txt").decode()


def is_near(estimate: Estimate, tokens: int) -> bool:
    return estimate.low <= tokens <= estimate.high and abs(estimate.expected - tokens) < 0.1 * tokens


def test_the_runs_of_late_teach_what_a_model_takes(world: World) -> None:
    prompt = in_a_world_that_counts(world, 1_700)
    make_up = make_up_of(prompt)
    assert not is_near(TokenRates().estimate(make_up, model=MODEL), 1_700)
    rates = TokenRates()
    assert learn_from_prompts(rates, counted_prompts(), world.lake) == 4
    assert is_near(rates.estimate(make_up, model=MODEL), 1_700)


def test_prompts_that_are_gone_from_the_lake_are_passed_over(world: World) -> None:
    in_a_world_that_counts(world, 1_700, runs=2)
    for prompt in list(world.lake_root.rglob("prompt.txt"))[:1]:
        prompt.unlink()
    assert learn_from_prompts(TokenRates(), counted_prompts(), world.lake) == 1


def test_a_worker_knows_at_its_start_and_learns_from_its_own_runs(world: World) -> None:
    make_up = make_up_of(in_a_world_that_counts(world, 1_700))
    with world.working() as running:
        rates = running.worker._endpoints[0].tools.sources.token_rates
        wait_until(lambda: is_near(rates.estimate(make_up, model=MODEL), 1_700), "the worker knows")
        world.fake.always(behaviours.answer(GOOD_ANSWER, prompt_eval_count=1_400))
        for _ in range(8):
            world.wait_for(world.enqueue(), "SUCCEEDED")
        assert is_near(rates.estimate(make_up, model=MODEL), 1_400)


def test_a_prompt_that_the_model_is_known_to_count_too_high_is_not_asked(world: World) -> None:
    world.ollama |= {"num_ctx": 3_000}
    longer = input_json(text=PASSAGE + " They say the ship is old." * 160)
    assert TokenRates().estimate(make_up_of(in_a_world_that_counts(world, 2_000) + longer), model=MODEL).low < 2_700
    with world.working() as running:
        rates = running.worker._endpoints[0].tools.sources.token_rates
        wait_until(lambda: rates._models, "the worker knows")
        asked = len(world.fake.chats)
        job_id = world.enqueue(input_json=longer)
        world.wait_for(job_id, "FAILED")
    assert len(world.fake.chats) == asked
    assert world.job(job_id).error_kind == "evidence_too_large"
    assert "tokens (" in world.job(job_id).last_error


def test_a_refusal_for_length_tells_the_estimate_with_its_range(world: World) -> None:
    world.fake.next(behaviours.prompt_too_long())
    job_id = world.enqueue()
    world.work()
    error = world.job(job_id).last_error
    assert "the input length exceeds the context length" in error
    assert re.search(r"expected to be about \d+ tokens \(\d+ to \d+\)$", error)
