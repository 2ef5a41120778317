"""The workers of a chaos run: as many as wanted, each replaced when it has gone."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from holocron.embedded_postgres.account import become
from tests.chaos.processes import WorkerProcess
from tests.chaos.promises import Violation
from tests.chaos.spans import Span
from tests.chaos.world import ChaosWorld

LEASE_SECONDS = 3
CONCURRENCY = 4
POLL_SECONDS = 0.3
GRACE_SECONDS = 2
REFUSED_START_SECONDS = 1.5
"""Between a start that the database's absence, or a lease not yet over, refused and the next one."""


@dataclass(frozen=True, slots=True)
class Kill:
    worker_id: str
    at: float


class Crew:
    """Starts workers and replaces them; every second one keeps its id over a restart, as a service would.

    Every second start goes through the pooler.
    """

    def __init__(self, world: ChaosWorld, *, size: int) -> None:
        self.size = size
        self.kills: list[Kill] = []
        self.restarts = 0
        self.refused_starts = 0
        self.violations: list[Violation] = []
        self.events: Counter[str] = Counter()
        self.blind: list[Span] = []
        self._world = world
        self._places: list[WorkerProcess | None] = [None] * size
        self._worker_ids = [""] * size
        self._start_at = [0.0] * size
        self._started = 0
        self._blind_since: float | None = time.time()

    @property
    def up(self) -> list[tuple[int, WorkerProcess]]:
        """The places whose workers run, paused ones too."""
        return [(place, process) for place, process in enumerate(self._places) if process and process.is_up]

    def tend(self) -> None:
        """Look after everyone: hear what was logged, note who ended and why, start who is missing."""
        now = time.time()
        for place, process in enumerate(self._places):
            if process is not None:
                process.listen()
                if process.exit_code is not None:
                    self._part_with(place, process)
            if self._places[place] is None and now >= self._start_at[place]:
                self._start(place)
        self._note_blindness(now)

    def _start(self, place: int) -> None:
        self._started += 1
        keeps_its_id = place % 2
        self._worker_ids[place] = f"worker-{place}" if keeps_its_id else f"worker-{place}-{self._started}"
        world = self._world
        self._places[place] = WorkerProcess(
            [
                *("--worker-id", self._worker_ids[place]),
                *("--concurrency", str(CONCURRENCY)),
                *("--lease-seconds", str(LEASE_SECONDS)),
                *("--poll-seconds", str(POLL_SECONDS)),
                *("--grace-seconds", str(GRACE_SECONDS)),
            ],
            environment=world.pooled_environment if self._started % 2 else world.straight_environment,
            log=world.folder / f"{self._worker_ids[place]}.{self._started}.log",
            preexec=become(world.account, signal_at_parents_death=signal.SIGKILL),
        )

    def _part_with(self, place: int, process: WorkerProcess) -> None:
        process.listen()
        self.events.update(process.events)
        code = process.exit_code
        if process.must_end:
            self.restarts += 1
            if process.events["worker.started"] and code not in (0, -signal.SIGKILL):
                self._blame(f"{self._worker_ids[place]} ended with {code} when told to stop", process)
        elif code == 2 and not process.events["worker.started"]:
            self.refused_starts += 1
            self._start_at[place] = time.time() + REFUSED_START_SECONDS
        else:
            self._blame(f"{self._worker_ids[place]} ended with {code}, and nobody told it to", process)
        self._places[place] = None

    def _blame(self, what: str, process: WorkerProcess) -> None:
        what = f"{what}; its last words:\n{process.last_words()}"
        self.violations.append(Violation("a worker ends when told to, and in good order", what))

    def kill(self, place: int) -> None:
        process = self._places[place]
        assert process is not None
        process.send(signal.SIGKILL)
        self.kills.append(Kill(self._worker_ids[place], time.time()))
        self._world.note(f"killed {self._worker_ids[place]}")
        process.wait()
        self._start_at[place] = time.time()

    def send(self, place: int, number: signal.Signals) -> None:
        process = self._places[place]
        if process is not None and process.exit_code is None:
            process.send(number)
            self._world.note(f"{number.name} to {self._worker_ids[place]}")

    def pause(self, place: int) -> Callable[[], None]:
        """Pause a worker, and return what lets this very process go on."""
        process = self._places[place]
        assert process is not None
        self.send(place, signal.SIGSTOP)

        def go_on() -> None:
            if process.exit_code is None:
                process.send(signal.SIGCONT)

        return go_on

    def stop(self) -> None:
        """Tell everyone to stop, and see that they do in good order."""
        working = [(place, process) for place, process in enumerate(self._places) if process is not None]
        for _, process in working:
            process.send(signal.SIGCONT)
            if not process.must_end:
                process.send(signal.SIGTERM)
        for place, process in working:
            process.wait()
            self._part_with(place, process)
        self._note_blindness(time.time())

    def end(self) -> None:
        """Make sure that nobody is left."""
        for process in self._places:
            if process is not None:
                process.end()

    def _note_blindness(self, now: float) -> None:
        """Keep the spans in which no worker could have reaped."""
        sees = any(process is not None and process.can_reap for process in self._places)
        if sees and self._blind_since is not None:
            self.blind.append((self._blind_since, now))
            self._blind_since = None
        elif not sees and self._blind_since is None:
            self._blind_since = now

    def worker_id(self, place: int) -> str:
        return self._worker_ids[place]

    def logs(self) -> Iterator[Path]:
        yield from sorted(self._world.folder.glob("worker-*.log"))
