"""The chaos run's promises about processes and callers notice when they are broken: here each is, on purpose.

The workers are real processes that get real signals and misbehave; the callers ask the real queue for what it refuses.
"""

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar, cast

import pytest
from django.db import connections
from typing_extensions import override

from derive.errors import DatabaseUnavailable
from derive.queue import JobQueue
from holocron.embedded_postgres.account import choose_account
from tests.chaos import crew, operators, processes
from tests.chaos.crew import Crew
from tests.chaos.ledger import Ledger
from tests.chaos.operators import Operators
from tests.chaos.plan import Fault
from tests.chaos.processes import DEADLINE_SECONDS, WorkerProcess
from tests.chaos.world import ChaosWorld
from tests.contract.scenes import queued

STARTED = 'print(\'{"event": "worker.started"}\', flush=True)'
WAITS = "signal.pause()"
GOOD = f"signal.signal(15, lambda *_: sys.exit(0)); {STARTED}; {WAITS}"


class Grounds:
    """What a crew needs of its world."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.account = folder, choose_account()
        self.environment: Mapping[str, str] = {}
        self.pooled_environment: Mapping[str, str] = {}
        self.straight_environment: Mapping[str, str] = {}

    def note(self, what: str) -> None:
        """Forget it."""


class OddWorker(WorkerProcess):
    """A worker that does what a test says, whatever the crew asked it for."""

    program: ClassVar[str]

    @override
    def __init__(self, arguments: Sequence[str], **given: Any) -> None:
        super().__init__(arguments, **given, command=[sys.executable, "-c", f"import signal, sys; {self.program}"])


@pytest.fixture
def own_crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.setattr(crew, "WorkerProcess", OddWorker)
    monkeypatch.setattr(processes, "BASE_DIR", Path("/"))
    own = Crew(cast(ChaosWorld, Grounds(tmp_path)), size=1)
    yield own
    own.end()


def started(own: Crew, program: str) -> WorkerProcess:
    """Have the crew start its worker, and wait until that has said so."""
    OddWorker.program = program
    deadline = time.monotonic() + DEADLINE_SECONDS
    own.tend()
    (process,) = [one for one in own._places if one is not None]
    while not process.events["worker.started"]:
        assert time.monotonic() < deadline, process.last_words()
        process.listen()
    return process


def blamed(own: Crew) -> list[str]:
    assert {one.promise for one in own.violations} <= {"a worker ends when told to, and in good order"}
    return [one.what.partition(";")[0].partition(" ended ")[2] for one in own.violations]


def test_a_worker_that_ends_when_told_to_breaks_no_promise(own_crew: Crew) -> None:
    started(own_crew, GOOD)
    own_crew.stop()
    started(own_crew, GOOD)
    own_crew.kill(0)
    own_crew.tend()
    own_crew.stop()
    assert blamed(own_crew) == []


@pytest.mark.parametrize(("code", "told"), [("0", "with 0, and"), ("2", "with 2, and"), ("'no'", "with 1, and")])
def test_a_worker_that_ends_by_itself_is_found(own_crew: Crew, code: str, told: str) -> None:
    process = started(own_crew, f"{STARTED}; sys.exit({code})")
    process.wait()
    own_crew.tend()
    assert blamed(own_crew) == [f"{told} nobody told it to"]


def test_a_worker_that_dies_of_a_signal_nobody_sent_is_found(own_crew: Crew) -> None:
    process = started(own_crew, GOOD)
    process._process.send_signal(signal.SIGKILL)
    process.wait()
    own_crew.tend()
    assert blamed(own_crew) == ["with -9, and nobody told it to"]


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (f"signal.signal(15, lambda *_: sys.exit(1)); {STARTED}; {WAITS}", 1),
        (f"{STARTED}; {WAITS}", -15),
    ],
    ids=["it fails", "it never listened"],
)
def test_a_worker_that_ends_badly_when_told_to_is_found(own_crew: Crew, program: str, code: int) -> None:
    started(own_crew, program)
    own_crew.stop()
    assert blamed(own_crew) == [f"with {code} when told to stop"]


def test_a_start_that_was_refused_is_none_of_its_own(own_crew: Crew) -> None:
    OddWorker.program = "sys.exit(2)"
    own_crew.tend()
    (process,) = [one for one in own_crew._places if one is not None]
    process.wait()
    own_crew.tend()
    assert (own_crew.refused_starts, blamed(own_crew)) == (1, [])


@pytest.fixture
def queue(empty_queue: None) -> JobQueue:
    return JobQueue()


class PassingOperators(Operators):
    """Operators of one test: their connections end with what they did."""

    @override
    def _do(self, *given: Any) -> None:
        try:
            super()._do(*given)
        finally:
            connections.close_all()


def after(fault: Fault) -> list[str]:
    """Return what broke a promise when an operator did this once."""
    own = PassingOperators(Random(1), Ledger())
    own.act(fault)
    own.end()
    assert {one.promise for one in own.violations} <= {"the queue answers its callers"}
    return [one.what for one in own.violations]


def test_a_caller_who_is_answered_or_gives_up_breaks_no_promise(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(queue)
    assert after(Fault.REPRIORITISE) == after(Fault.REAP_TWICE) == []

    def away(*_given: object, **_named: object) -> None:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(JobQueue, "cancel", away)
    assert after(Fault.CANCEL) == []


def test_a_caller_whom_the_queue_refuses_is_found(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(queue)
    monkeypatch.setattr(operators, "ACTOR", " ")
    (what,) = after(Fault.CANCEL)
    assert what.startswith("BadArgument: ")
    assert len(after(Fault.REAP_TWICE)) <= 2
