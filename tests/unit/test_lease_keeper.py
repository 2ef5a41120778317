"""When leases are renewed and reaped, and what a heartbeat's answer leads to, on a clock that can be set."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from derive.contracts import Lease, Reaped, WorkerFacts
from derive.errors import DatabaseUnavailable, QueueError, WorkerIdInUse
from derive.states import JobStatus, LeaseState
from derive.worker import lease
from derive.worker.lease import STRAY_REASON, LeaseKeeper, StopReason, call_seconds
from derive.worker.options import WorkerOptions

Result = TypeVar("Result")

AWAY = DatabaseUnavailable("connection refused")
HEARTBEAT_SECONDS = 3.0
OPTIONS = WorkerOptions(
    worker_id="w-1",
    host="host",
    pid=7,
    version="1.2",
    concurrency=4,
    lease_seconds=9,
    started_utc=datetime(2026, 1, 2, tzinfo=UTC),
)
MAX_WAITS = 100
"""A keeper that waits more often than that within a test's few seconds never lets the processor rest."""


class Scene(threading.Event):
    """A lease keeper with its clock, its database and what wakes it; nothing is waited for."""

    def __init__(self, patch: pytest.MonkeyPatch, *, jitter: float = 1.0) -> None:
        super().__init__()
        self.now = 0.0
        self.beats: list[float] = []
        self.reaps: list[float] = []
        self.held: list[list[UUID]] = []
        self.facts: list[WorkerFacts] = []
        self.released: list[tuple[UUID, str]] = []
        self.stopped: list[tuple[UUID, StopReason]] = []
        self.conflicts: list[QueueError] = []
        self.reaped: list[int] = []
        self.changes: list[tuple[bool, str | None]] = []
        self.spreads: list[tuple[float, float]] = []
        self.leases: list[Lease] = []
        self.found: list[Reaped] = []
        self.beat_error: Exception | None = None
        self.reap_error: Exception | None = None
        self.release_error: Exception | None = None
        self.during_beat: Callable[[], None] = lambda: None
        self.calls_made = ("", 0.0)
        self.not_claiming_why: str | None = None
        self.connection = ""
        self.has_shut_down = False
        self._jitter = jitter
        self._waits = 0
        self._then: list[tuple[float, Callable[[], None]]] = []
        patch.setattr(lease, "WorkerQueue", self._connect)
        patch.setattr(lease, "CallThread", self._make_calls)
        patch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: self.now))
        patch.setattr(lease, "threading", SimpleNamespace(Lock=threading.Lock, Event=lambda: self))
        self.keeper = LeaseKeeper(
            OPTIONS,
            stop_run=lambda run_id, reason: self.stopped.append((run_id, reason)),
            give_up=self.conflicts.append,
            on_reaped=self.reaped.append,
            on_change=lambda: self.changes.append((self.keeper.has_beaten, self.keeper.why_away)),
            why_not_claiming=lambda: self.not_claiming_why,
        )
        patch.setattr(self.keeper._rng, "uniform", self._uniform)

    def run(self, seconds: float, *, then: dict[float, Callable[[], None]] | None = None) -> None:
        """Let the keeper live for so long, and let things happen at their times."""
        self._then = [*sorted((then or {}).items(), key=lambda item: item[0]), (seconds, self.keeper.end)]
        self.keeper.run()

    # What wakes the keeper.

    def wait(self, timeout: float | None = None) -> bool:
        self._waits += 1
        assert self._waits < MAX_WAITS, "the keeper does not wait"
        assert timeout is not None
        until = self.now + timeout
        while not self.is_set() and self._then and self._then[0][0] <= until:
            self.now, act = self._then.pop(0)
            act()
        if not self.is_set():
            self.now = max(self.now, until)
        return self.is_set()

    # Its calls, made at once.

    def _make_calls(self, name: str, *, seconds: float) -> "Scene":
        self.calls_made = (name, seconds)
        return self

    def call(self, work: Callable[[], Result]) -> Result:
        return work()

    def shutdown(self) -> None:
        self.has_shut_down = True

    # Its database.

    def _connect(self, connection: str) -> "Scene":
        self.connection = connection
        return self

    def _uniform(self, low: float, high: float) -> float:
        self.spreads.append((low, high))
        return self._jitter

    def heartbeat(
        self, worker_id: str, run_ids: Sequence[UUID], *, lease_seconds: int, facts: WorkerFacts
    ) -> list[Lease]:
        assert (worker_id, lease_seconds) == ("w-1", 9)
        self.beats.append(self.now)
        self.held.append(list(run_ids))
        self.facts.append(facts)
        self.during_beat()
        if self.beat_error is not None:
            raise self.beat_error
        return self.leases

    def reap(self, *, actor: str) -> list[Reaped]:
        assert actor == "w-1"
        self.reaps.append(self.now)
        if self.reap_error is not None:
            raise self.reap_error
        return self.found

    def release(self, run_id: UUID, *, reason: str) -> None:
        self.released.append((run_id, reason))
        if self.release_error is not None:
            raise self.release_error


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def put(target: object, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(target, name, value)


def of(state: LeaseState, run_id: UUID | None = None) -> Lease:
    return Lease(run_id=run_id or uuid4(), state=state, lease_expires_utc=None)


def test_it_is_a_daemon_thread_with_its_own_connection(scene: Scene) -> None:
    assert (scene.keeper.name, scene.keeper.daemon) == ("lease-keeper", True)
    assert (scene.connection, scene.calls_made) == ("lease", ("lease-calls", 3.0))


@pytest.mark.parametrize(("lease_seconds", "seconds"), [(3, 2.0), (9, 3.0), (30, 10.0), (3600, 10.0)])
def test_a_call_may_take_a_third_of_the_lease_within_bounds(lease_seconds: int, seconds: float) -> None:
    assert call_seconds(lease_seconds) == seconds


def test_leases_are_renewed_each_third_and_others_reaped_every_second_and_a_half(scene: Scene) -> None:
    scene.run(6.5)
    assert scene.beats == [0, 3, 6, 6.5]
    assert scene.reaps == [0, 1.5, 3, 4.5, 6]
    assert scene.has_shut_down


def test_reaping_is_spread_so_that_workers_do_not_reap_together(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, jitter=0.8)
    scene.run(4)
    assert set(scene.spreads) == {(0.8, 1.2)}
    assert scene.reaps == pytest.approx([0, 1.2, 2.4, 3.6])
    assert scene.beats == [0, 3, 4]


def test_what_is_held_is_renewed_until_it_is_let_go(scene: Scene) -> None:
    first, second = sorted([uuid4(), uuid4()])
    scene.keeper.hold([second])
    scene.keeper.hold([first])
    scene.run(4, then={1: lambda: scene.keeper.let_go(first), 3.5: lambda: scene.keeper.let_go(second)})
    assert scene.held == [[first, second], [second], []]


def test_a_heartbeat_reports_the_workers_facts(scene: Scene) -> None:
    scene.run(1)
    assert scene.facts[0] == WorkerFacts(
        host="host", pid=7, version="1.2", started_utc=OPTIONS.started_utc, concurrency=4, stopping=False
    )


def test_a_stopping_worker_reports_it_at_once_and_keeps_its_leases(scene: Scene) -> None:
    scene.run(5, then={1: scene.keeper.announce_stop})
    assert scene.beats == [0, 1, 4, 5]
    assert [facts.stopping for facts in scene.facts] == [False, True, True, True]


def test_the_last_heartbeat_reports_that_the_worker_stops(scene: Scene) -> None:
    scene.run(1)
    assert [facts.stopping for facts in scene.facts] == [False, True]


def test_a_change_of_why_nothing_is_claimed_is_reported_at_once_and_only_once(scene: Scene) -> None:
    def change(why: str | None) -> Callable[[], None]:
        def act() -> None:
            scene.not_claiming_why = why
            scene.keeper.report_claiming()

        return act

    scene.run(8, then={1: change("Ollama is away"), 1.5: change("Ollama is away"), 5: change(None), 6: change(None)})
    assert scene.beats == [0, 1, 4, 5, 8]
    assert [facts.not_claiming_why for facts in scene.facts] == [None, "Ollama is away", "Ollama is away", None, None]


def test_without_a_database_a_change_of_why_nothing_is_claimed_waits_for_the_next_heartbeat(scene: Scene) -> None:
    def change() -> None:
        scene.not_claiming_why = "Ollama is away"
        scene.keeper.report_claiming()

    scene.beat_error = AWAY
    scene.run(1, then={0.2: change})
    assert scene.beats == [0, 0.5, 1]


def test_the_reason_for_not_claiming_is_reported_without_unstorable_characters(scene: Scene) -> None:
    scene.not_claiming_why = "500:\x00 no\nmodel"
    scene.run(1)
    assert scene.facts[0].not_claiming_why == "500:  no model"


def test_a_failed_heartbeat_is_retried_twice_a_second_without_reaping(scene: Scene) -> None:
    scene.run(5, then={2: put(scene, "beat_error", AWAY)})
    assert scene.beats == [0, 3, 3.5, 4, 4.5, 5]
    assert scene.reaps == [0, 1.5]
    assert scene.keeper.why_away == "connection refused"
    assert not scene.keeper.has_database


def test_after_an_outage_reaping_waits_until_other_workers_could_send_a_heartbeat(
    scene: Scene,
) -> None:
    scene.run(8, then={2: put(scene, "beat_error", AWAY), 3.75: put(scene, "beat_error", None)})
    assert scene.beats == [0, 3, 3.5, 4, 7, 8]
    assert scene.reaps == [0, 1.5, 4 + HEARTBEAT_SECONDS]
    assert scene.keeper.why_away is None
    assert scene.keeper.has_database


def test_failed_reaping_is_followed_by_an_immediate_heartbeat(scene: Scene) -> None:
    scene.run(5, then={1: put(scene, "reap_error", AWAY), 2: put(scene, "reap_error", None)})
    assert scene.beats == [0, 1.5, 4.5, 5]
    assert scene.reaps == [0, 1.5, 4.5]


def test_an_internal_error_in_a_heartbeat_is_logged_by_location_and_ends_nothing(scene: Scene) -> None:
    scene.beat_error = ValueError("a row's value")
    scene.run(1.25)
    assert scene.beats == [0, 0.5, 1, 1.25]
    assert scene.keeper.why_away is not None
    assert "ValueError" in scene.keeper.why_away
    assert "a row's value" not in scene.keeper.why_away


def test_an_internal_error_in_reaping_is_logged_and_reaping_continues(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.reap_error = ValueError("a row's value")
    scene.run(2)
    assert (scene.reaps, scene.beats) == ([0, 1.5], [0, 2])
    assert scene.keeper.has_database
    assert [record.getMessage() for record in caplog.records] == ["worker.reap_failed"] * 2


def test_changes_of_the_databases_reach_are_reported_once_each(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    assert (scene.keeper.has_beaten, scene.keeper.why_away) == (False, None)
    with caplog.at_level(logging.INFO):
        scene.run(8, then={5: put(scene, "beat_error", AWAY), 6.25: put(scene, "beat_error", None)})
    assert list(dict.fromkeys(scene.changes)) == [(True, None), (True, "connection refused")]
    assert scene.changes[0] == scene.changes[-1] == (True, None)
    assert scene.changes.count((True, None)) == 2
    assert [record.getMessage() for record in caplog.records] == ["worker.database_away", "worker.database_back"]
    assert {vars(record)["worker_id"] for record in caplog.records} == {"w-1"}


def test_a_database_that_was_never_there_is_reported_too(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.beat_error = AWAY
    scene.run(0.75)
    assert set(scene.changes) == {(True, "connection refused")}
    assert [record.getMessage() for record in caplog.records] == ["worker.database_away"]


def test_runs_that_are_cancelled_or_lost_are_stopped_and_others_are_not(scene: Scene) -> None:
    cancelled, lost = uuid4(), uuid4()
    scene.leases = [of(LeaseState.HELD), of(LeaseState.CANCEL_REQUESTED, cancelled), of(LeaseState.LOST, lost)]
    scene.run(0)
    assert scene.stopped == [(cancelled, StopReason.CANCELLED), (lost, StopReason.LOST)] * 2
    assert scene.released == []


def test_another_worker_of_this_id_is_reported_and_the_thread_lives_until_it_is_ended(scene: Scene) -> None:
    scene.beat_error = WorkerIdInUse("taken over")
    scene.run(1)
    assert scene.conflicts == [scene.beat_error] * 2
    assert scene.beats == [0, 1]
    assert scene.keeper.why_away is None


def test_a_stray_is_given_back(scene: Scene) -> None:
    stray = uuid4()
    with scene.keeper.claiming():
        pass
    scene.leases = [of(LeaseState.STRAY, stray)]
    scene.run(0)
    assert scene.released == [(stray, STRAY_REASON)] * 2


def test_a_predecessors_run_is_no_stray(scene: Scene) -> None:
    left, stray = uuid4(), uuid4()
    scene.keeper.leave([left])
    scene.leases = [of(LeaseState.STRAY, left), of(LeaseState.STRAY, stray)]
    scene.run(0)
    assert {run_id for run_id, _ in scene.released} == {stray}


def test_a_stray_that_could_not_be_given_back_is_tried_again(scene: Scene) -> None:
    stray = uuid4()
    scene.leases, scene.release_error = [of(LeaseState.STRAY, stray)], AWAY
    scene.run(4)
    assert scene.beats == [0, 3, 4]
    assert scene.released == [(stray, STRAY_REASON)] * 3


def test_nothing_is_a_stray_while_a_claim_is_under_way(scene: Scene) -> None:
    scene.leases = [of(LeaseState.STRAY)]
    with scene.keeper.claiming():
        scene.run(4)
    assert scene.released == []


def test_nothing_is_a_stray_that_a_claim_took_during_the_heartbeat(scene: Scene) -> None:
    def claim() -> None:
        with scene.keeper.claiming():
            pass

    scene.leases, scene.during_beat = [of(LeaseState.STRAY)], claim
    scene.run(4)
    assert scene.released == []


def test_how_many_were_reaped_is_reported(scene: Scene) -> None:
    one = Reaped(job_id=uuid4(), run_id=uuid4(), final_status=JobStatus.NEW, available_utc=None)
    scene.found = [one, one]
    scene.run(1)
    assert scene.reaped == [2]
