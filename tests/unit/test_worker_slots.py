"""How many jobs a worker may claim, by where its runs stand and how fast answers come."""

import asyncio

import pytest

from derive.worker.slots import AHEAD_SECONDS, MAX_AHEAD_PER_SLOT, MAX_ENDING_PER_SLOT, Slots, Stage


def test_nothing_is_claimed_ahead_before_an_answer_was_timed() -> None:
    slots = Slots(4)
    assert (slots.ahead, slots.room()) == (0, 4)


@pytest.mark.parametrize(("seconds", "ahead"), [(30.0, 0), (AHEAD_SECONDS * 4.1, 0), (AHEAD_SECONDS * 2, 2), (1e-6, 8)])
def test_read_ahead_is_zero_for_slow_answers_and_bounded_for_quick_ones(seconds: float, ahead: int) -> None:
    slots = Slots(4)
    slots.learn(seconds)
    assert slots.ahead == ahead <= MAX_AHEAD_PER_SLOT * 4


def test_a_run_takes_a_slot_until_the_model_has_answered() -> None:
    async def run() -> None:
        slots = Slots(2)
        place = slots.enter()
        assert slots.room() == 1
        async with place.asking():
            assert (slots.room(), slots.count(Stage.ASKING)) == (1, 1)
        assert slots.room() >= 2
        assert slots.count(Stage.ENDING) == 1
        place.leave()
        assert [slots.count(stage) for stage in Stage] == [0, 0, 0]
        assert place.model_seconds is not None

    asyncio.run(run())


def test_runs_that_are_not_written_yet_hold_claiming_back() -> None:
    slots = Slots(1)
    places = [slots.enter() for _ in range(MAX_ENDING_PER_SLOT)]
    for place in places:
        place.begin_ending()
    assert slots.room() == 0
    places[0].leave()
    assert slots.room() == 1


def test_a_failure_teaches_nothing_of_the_models_speed() -> None:
    async def run() -> None:
        slots = Slots(1)
        with pytest.raises(ValueError, match="the model failed"):
            async with slots.enter().asking():
                raise ValueError("the model failed")
        assert slots.ahead == 0

    asyncio.run(run())
