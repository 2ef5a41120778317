"""How a worker retries a call that the database did not answer."""

import asyncio

import pytest

from derive.errors import BadContent, DatabaseUnavailable, QueueError
from derive.worker import database_retry


class Database:
    """Answers after so many failures; the retries' pauses are recorded instead of slept."""

    def __init__(self, failures: int, patch: pytest.MonkeyPatch, *, jitter: float = 1.0) -> None:
        self.failures = failures
        self.pauses: list[float] = []
        self.spreads: list[tuple[float, float]] = []
        patch.setattr(asyncio, "sleep", self._sleep)
        self._jitter = jitter
        patch.setattr(database_retry._rng, "uniform", self._uniform)

    def _uniform(self, low: float, high: float) -> float:
        self.spreads.append((low, high))
        return self._jitter

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def call(self) -> str:
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("connection refused")
        return "answer"

    def ask(self) -> str:
        return asyncio.run(database_retry.until_database_answers(self.call))


def test_an_answer_comes_back_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(0, monkeypatch)
    assert database.ask() == "answer"
    assert database.pauses == []


def test_pauses_double_from_a_tenth_of_a_second_up_to_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(8, monkeypatch)
    assert database.ask() == "answer"
    assert database.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])


def test_pauses_are_spread_so_that_workers_do_not_return_together(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(1, monkeypatch, jitter=0.7)
    database.ask()
    assert database.spreads == [(0.7, 1.3)]
    assert database.pauses == pytest.approx([0.07])


def test_every_failure_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(2, monkeypatch)
    told: list[str] = []
    asyncio.run(database_retry.until_database_answers(database.call, on_failure=lambda error: told.append(str(error))))
    assert told == ["connection refused"] * 2


def test_a_call_whose_values_are_at_fault_is_not_retried_nor_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise BadContent("too long")

    database = Database(0, monkeypatch)
    told: list[QueueError] = []
    with pytest.raises(BadContent):
        asyncio.run(database_retry.until_database_answers(fail, on_failure=told.append))
    assert (database.pauses, told) == ([], [])


def test_another_error_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise ValueError("not the database")

    database = Database(0, monkeypatch)
    with pytest.raises(ValueError, match="not the database"):
        asyncio.run(database_retry.until_database_answers(fail))
    assert database.pauses == []
