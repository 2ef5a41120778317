"""The profile's clock, and that it finds what it measures."""

import asyncio
import time

import pytest

from tests.profile.clock import StepClock
from tests.profile.worker import STEPS, find


def spend(milliseconds: float) -> None:
    until = time.thread_time() + milliseconds / 1000
    while time.thread_time() < until:
        pass


def test_a_step_costs_what_it_spends_itself() -> None:
    clock = StepClock()
    inner = clock.measure("inner", lambda: spend(4))

    def both() -> None:
        spend(2)
        inner()

    clock.measure("outer", both)()
    spent = clock.nanoseconds()
    assert spent.keys() == {"inner", "outer"}
    assert spent["inner"] >= 4e6
    assert 2e6 <= spent["outer"] < spent["inner"]


def test_what_a_coroutine_waits_for_is_not_its_own() -> None:
    clock = StepClock()

    async def wait() -> str:
        await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "done"

    async def run() -> object:
        task = asyncio.ensure_future(clock.measure_async("waiting", wait)())
        await asyncio.sleep(0)
        spend(20)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(run()) == "done"
    assert clock.nanoseconds()["waiting"] < 20e6


@pytest.mark.parametrize("place", [place for places in STEPS.values() for place in places])
def test_every_step_names_what_there_is(place: str) -> None:
    owner, name = find(place)
    assert callable(getattr(owner, name))
