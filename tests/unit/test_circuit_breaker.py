"""When a worker claims nothing, how long it waits between probes, and what makes it claim again."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest

from derive.contracts import Outcome
from derive.errors import (
    ErrorKind,
    LakeUnavailable,
    ModelAccessRefused,
    ModelCrashed,
    ModelOverloaded,
    ModelUnavailable,
    Released,
    RunError,
)
from derive.states import RunStatus
from derive.worker import circuit_breaker
from derive.worker.circuit_breaker import CircuitBreaker, pause

LONG = 3600.0
AWAY = ModelUnavailable("connection refused")


class Server:
    """Answers probes, or refuses them; counts them."""

    def __init__(self, error: RunError | None = None) -> None:
        self.error = error
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.error is not None:
            raise self.error


class Scene:
    """A circuit breaker for a model server and a lake, whose pauses are recorded instead of waited for."""

    def __init__(self, patch: pytest.MonkeyPatch, *, jitter: float = 1.0) -> None:
        self.model, self.lake = Server(), Server()
        self.pauses: list[float] = []
        self.spreads: list[tuple[float, float]] = []
        self.is_stopped_in_pause = False
        self.breaker = CircuitBreaker(
            {
                ErrorKind.MODEL_UNAVAILABLE: self.model.probe,
                ErrorKind.MODEL_OVERLOADED: self.model.probe,
                ErrorKind.LAKE_UNAVAILABLE: self.lake.probe,
            },
            worker_id="w-1",
        )
        self._jitter = jitter
        patch.setattr(circuit_breaker, "pause", self._pause)
        patch.setattr(self.breaker._rng, "uniform", self._uniform)

    def _uniform(self, low: float, high: float) -> float:
        self.spreads.append((low, high))
        return self._jitter

    async def _pause(self, seconds: float, *, unless: asyncio.Event) -> bool:
        self.pauses.append(seconds)
        return self.is_stopped_in_pause

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            run(self.breaker.wait_and_probe)


def run(act: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await act(asyncio.Event())

    asyncio.run(bounded())


def ended(status: RunStatus, error: RunError | None = None) -> Outcome:
    return Outcome(
        job_id=uuid4(),
        run_id=uuid4(),
        status=status,
        error_kind=None if error is None else error.kind,
        error=None if error is None else str(error),
    )


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_at_first_claiming_is_allowed(scene: Scene) -> None:
    assert (scene.breaker.is_open, scene.breaker.why) == (True, "")


def test_pauses_double_from_half_a_second_up_to_fifteen_while_probes_fail(scene: Scene) -> None:
    scene.model.error = AWAY
    scene.breaker.close(AWAY.kind, str(AWAY))
    scene.wait(7)
    assert scene.pauses == [0.5, 1, 2, 4, 8, 15, 15]
    assert scene.model.probes == 7
    assert (scene.breaker.is_open, scene.breaker.why) == (False, "connection refused")


def test_a_server_is_left_alone_for_as_long_as_it_says_and_five_minutes_at_most(scene: Scene) -> None:
    busy = ModelOverloaded("slow down")
    for said, expected in ((7.0, 7.0), (0.1, 0.5), (9_999.0, 300.0)):
        busy.retry_after_seconds = said
        scene.breaker.record_failure(busy)
        scene.wait()
        assert scene.pauses.pop() == expected
        scene.breaker.record_outcome(ended(RunStatus.SUCCEEDED))
    scene.model.error = AWAY
    scene.breaker.record_failure(AWAY)
    scene.wait()
    assert scene.pauses == [0.5]


def test_a_refused_key_is_told_from_a_server_that_is_away(scene: Scene) -> None:
    refused = ModelAccessRefused("401")
    scene.breaker.record_failure(refused)
    told: list[tuple[ErrorKind | None, bool]] = [(scene.breaker.kind, scene.breaker.is_access_refused)]
    for error in (refused, AWAY, None):
        scene.model.error = error
        scene.wait()
        told.append((scene.breaker.kind, scene.breaker.is_access_refused))
    unavailable = ErrorKind.MODEL_UNAVAILABLE
    assert told == [(unavailable, True), (unavailable, True), (unavailable, False), (None, False)]


def test_pauses_are_spread_so_that_workers_do_not_probe_together(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, jitter=0.7)
    scene.breaker.close(AWAY.kind, str(AWAY))
    scene.wait()
    assert scene.spreads == [(0.7, 1.3)]
    assert scene.pauses == pytest.approx([0.35])


def test_a_server_that_answers_probes_but_refuses_work_is_probed_ever_more_rarely(scene: Scene) -> None:
    for _ in range(4):
        scene.breaker.record_failure(AWAY)
        scene.wait()
        assert scene.breaker.is_open
    assert scene.pauses == [0.5, 1, 2, 4]


def test_after_a_run_that_succeeded_pauses_are_short_again(scene: Scene) -> None:
    for outcome in (ended(RunStatus.FAILED, ModelCrashed("crashed")), ended(RunStatus.SUCCEEDED)):
        scene.breaker.record_failure(AWAY)
        scene.wait()
        scene.breaker.record_outcome(outcome)
    scene.breaker.record_failure(AWAY)
    scene.wait()
    assert scene.pauses == [0.5, 1, 0.5]


def test_a_probe_that_succeeds_allows_claims_again(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.breaker.close(AWAY.kind, str(AWAY))
    assert (scene.breaker.is_open, scene.breaker.why) == (False, "connection refused")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        scene.wait()
    assert (scene.breaker.is_open, scene.breaker.why) == (True, "")
    assert (scene.model.probes, scene.lake.probes) == (1, 1)
    assert [record.getMessage() for record in caplog.records] == ["worker.going_on"]


def test_every_probe_must_succeed(scene: Scene) -> None:
    scene.lake.error = LakeUnavailable("read-only file system")
    scene.breaker.close(AWAY.kind, str(AWAY))
    scene.wait()
    assert (scene.breaker.is_open, scene.breaker.why) == (False, "read-only file system")


def test_while_claiming_is_allowed_nothing_is_waited_for_or_probed(scene: Scene) -> None:
    scene.wait()
    assert (scene.pauses, scene.model.probes) == ([], 0)


def test_a_worker_that_stops_in_a_pause_probes_no_more(scene: Scene) -> None:
    scene.is_stopped_in_pause = True
    scene.breaker.close(AWAY.kind, str(AWAY))
    scene.wait()
    assert (len(scene.pauses), scene.model.probes, scene.breaker.is_open) == (1, 0, False)


def test_what_was_away_is_logged_with_its_reason_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            scene.breaker.close(AWAY.kind, "connection refused")
    assert [(record.getMessage(), getattr(record, "error", None)) for record in caplog.records] == [
        ("worker.waiting", "connection refused"),
        ("worker.still_waiting", None),
    ]
    assert [vars(record)["worker_id"] for record in caplog.records] == ["w-1", "w-1"]


@pytest.mark.parametrize(
    ("error", "is_open"), [(AWAY, False), (ModelCrashed("crashed"), True), (Released("left"), True)]
)
def test_only_failures_of_what_can_be_probed_stop_claiming(scene: Scene, error: RunError, is_open: bool) -> None:
    scene.breaker.record_failure(error)
    assert scene.breaker.is_open is is_open


@pytest.mark.parametrize("error", [ModelCrashed("crashed"), AWAY])
def test_an_outcome_that_the_lake_took_does_not_stop_claiming(scene: Scene, error: RunError) -> None:
    scene.breaker.record_outcome(ended(RunStatus.FAILED, error))
    assert scene.breaker.is_open


def test_an_outcome_that_the_lake_did_not_take_stops_claiming(scene: Scene) -> None:
    scene.breaker.record_outcome(ended(RunStatus.FAILED, LakeUnavailable("read-only file system")))
    assert (scene.breaker.is_open, scene.breaker.why) == (False, "read-only file system")


def test_before_the_first_claim_everything_is_probed_once(scene: Scene) -> None:
    run(scene.breaker.check_all)
    assert (scene.model.probes, scene.lake.probes, scene.breaker.is_open) == (1, 1, True)
    scene.model.error = AWAY
    run(scene.breaker.check_all)
    assert (scene.model.probes, scene.lake.probes) == (2, 1)
    assert (scene.breaker.is_open, scene.breaker.why, scene.pauses) == (False, "connection refused", [])


def test_a_probe_that_hangs_is_dropped_when_the_worker_stops() -> None:
    probes: list[str] = []

    async def hang() -> None:
        probes.append("begun")
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            probes.append("dropped")
            raise

    async def act(stopping: asyncio.Event) -> None:
        breaker = CircuitBreaker({ErrorKind.MODEL_UNAVAILABLE: hang}, worker_id="w-1")
        asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(stopping.set))
        await breaker.check_all(stopping)
        await asyncio.sleep(0)
        assert probes == ["begun", "dropped"]

    run(act)


def test_a_fault_in_a_probe_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("a fault of our own")

    breaker = CircuitBreaker({ErrorKind.MODEL_UNAVAILABLE: fail}, worker_id="w-1")
    with pytest.raises(ValueError, match="a fault of our own"):
        run(breaker.check_all)


def test_a_pause_ends_when_its_time_is_over_or_the_event_is_set() -> None:
    async def act(event: asyncio.Event) -> None:
        assert await pause(0, unless=event) is False
        event.set()
        assert await pause(LONG, unless=event) is True

    run(act)
