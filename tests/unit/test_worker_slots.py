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


@pytest.mark.parametrize(("seconds", "ahead"), [(1.0, 1), (0.25, 4), (0.125, 8), (0.05, 8)])
def test_a_quarter_of_a_second_of_work_is_made_ready_and_two_runs_a_slot_at_most(seconds: float, ahead: int) -> None:
    slots = Slots(4)
    slots.learn(seconds)
    assert slots.ahead == ahead


def test_the_measured_speed_follows_new_answers_by_a_fifth() -> None:
    slots = Slots(100)
    slots.learn(1.0)
    slots.learn(3.0)
    assert slots.ahead == int(25 / 1.4)


@pytest.mark.parametrize(("waiting", "room"), [(0, 8), (6, 2), (7, 0), (8, 0)])
def test_work_is_made_ready_in_few_full_claims(waiting: int, room: int) -> None:
    async def run() -> int:
        slots = Slots(4)
        slots.learn(0.125)
        for _ in range(4):
            await slots.enter().asking().__aenter__()
        for _ in range(waiting):
            slots.enter()
        return slots.room()

    assert asyncio.run(run()) == room


def test_two_answered_runs_a_slot_may_wait_to_be_written() -> None:
    slots = Slots(3)
    for ending in range(6):
        assert slots.room() == min(3, 6 - ending)
        slots.enter().begin_ending()
    assert slots.room() == 0


def test_a_change_wakes_a_waiter_once() -> None:
    async def run() -> None:
        slots = Slots(1)
        for change in (slots.nudge, slots.enter, lambda: slots.move(Stage.WAITING, None)):
            waiter = asyncio.create_task(slots.wait_for_change())
            await asyncio.sleep(0)
            assert not waiter.done()
            change()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert waiter.done()

    asyncio.run(run())


def test_an_answers_duration_is_what_passed_while_the_model_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        now = 100.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
        slots = Slots(8)
        place = slots.enter()
        async with place.asking():
            now = 100.5
        assert place.model_seconds == 0.5
        assert slots.ahead == 4

    asyncio.run(run())
