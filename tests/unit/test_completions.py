"""Outcomes that wait for the queue's thread go together, and each hears of itself alone."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest

from derive.contracts import Completion, Outcome
from derive.errors import BadContent, DatabaseUnavailable
from derive.states import JobStatus, RunStatus
from derive.worker.completions import MAX_TOGETHER, Completions

BAD = "bad"


class Queue:
    """Takes calls one after the other, each when it is let in."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.away = False

    def complete(self, outcome: Outcome) -> Completion:
        return self._complete([outcome])[0]

    def complete_all(self, outcomes: Sequence[Outcome]) -> list[Completion]:
        return self._complete(outcomes)

    def _complete(self, outcomes: Sequence[Outcome]) -> list[Completion]:
        self.calls.append(len(outcomes))
        if self.away:
            raise DatabaseUnavailable("away")
        if any(outcome.error == BAD for outcome in outcomes):
            raise BadContent("one is bad")
        return [Completion(accepted=True, final_status=JobStatus.SUCCEEDED) for _ in outcomes]


def outcome(error: str | None = None) -> Outcome:
    return Outcome(job_id=uuid4(), run_id=uuid4(), status=RunStatus.SUCCEEDED, error=error)


def hand_in(queue: Queue, outcomes: Sequence[Outcome]) -> list[Any]:
    async def in_queue_thread(call: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        return call()

    async def run() -> list[Any]:
        completions = Completions(queue, worker_id="worker-1", in_queue_thread=in_queue_thread)  # type: ignore[arg-type]
        first = asyncio.ensure_future(completions.hand_in(outcomes[0]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = [asyncio.ensure_future(completions.hand_in(one)) for one in outcomes[1:]]
        return await asyncio.gather(first, *rest, return_exceptions=True)

    return asyncio.run(run())


def test_those_that_come_during_a_call_go_together_in_the_next() -> None:
    queue = Queue()
    answers = hand_in(queue, [outcome() for _ in range(6)])
    assert queue.calls == [1, 5]
    assert all(answer.accepted for answer in answers)


def test_a_call_takes_no_more_than_its_bound() -> None:
    queue = Queue()
    hand_in(queue, [outcome() for _ in range(MAX_TOGETHER + 3)])
    assert queue.calls == [1, MAX_TOGETHER, 2]


def test_one_that_is_bad_for_its_content_costs_the_others_nothing() -> None:
    queue = Queue()
    answers = hand_in(queue, [outcome(), outcome(), outcome(BAD), outcome()])
    assert queue.calls == [1, 3, 1, 1, 1]
    assert [isinstance(answer, BadContent) for answer in answers] == [False, False, True, False]


def test_a_database_outage_is_raised_to_each_caller_and_logged_once() -> None:
    queue = Queue()
    queue.away = True
    answers = hand_in(queue, [outcome() for _ in range(4)])
    assert queue.calls == [1, 3]
    assert all(isinstance(answer, DatabaseUnavailable) for answer in answers)
    assert len({id(answer) for answer in answers}) == 4


@pytest.mark.parametrize("count", [1, 3])
def test_an_internal_error_does_not_leave_callers_waiting(count: int) -> None:
    class Broken(Queue):
        def _complete(self, outcomes: Sequence[Outcome]) -> list[Completion]:
            raise ZeroDivisionError

    answers = hand_in(Broken(), [outcome() for _ in range(count)])
    assert all(isinstance(answer, ZeroDivisionError) for answer in answers)
