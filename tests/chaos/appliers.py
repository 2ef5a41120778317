"""A derivation whose texts change while several appliers, killed at random, keep it current."""

import signal
import sys
from pathlib import Path
from random import Random

from derive.derivations.applying import NotApplied, apply_derivation, settle
from derive.derivations.declarations import find_declared
from derive.queue import JobQueue
from holocron.embedded_postgres.account import become
from tests.chaos.applier import APPLYING, ENDED, KEY
from tests.chaos.model_faults import KEPT_CURRENT, PASSAGE
from tests.chaos.processes import WorkerProcess
from tests.chaos.promises import Violation
from tests.chaos.traffic import until_answered
from tests.chaos.world import ChaosWorld

COMMAND = (sys.executable, "-W", "error", "-m", "tests.chaos.applier")
AT_ONCE = 2
NAMES = tuple(f"{number:02}.txt" for number in range(8))
EDITIONS = 2
"""So few that a text often returns to what it was."""
GONE_SHARE = 0.25
ENTITY_TYPE = "character"
DECLARED = f"""
[[source]]
name = "letters"
kind = "files"
entity_type = "{ENTITY_TYPE}"
folder = "letters"

[[derivation]]
key = "{KEY}"
source = "letters"
interrogation = "sw_entity_facts_v1"
depth_limit = 6
"""


class Appliers:
    """The folder of texts, and the processes that apply the derivation: each that was killed is replaced."""

    def __init__(self, world: ChaosWorld, rng: Random) -> None:
        self.violations: list[Violation] = []
        self._world = world
        self._rng = rng
        self.processes: list[WorkerProcess] = []
        self._started = 0
        self._is_ending = False
        self.folder = Path(world.folder) / "letters"
        self.folder.mkdir()
        world.sources_file.write_text(DECLARED, "utf-8")
        self.change_texts()

    def change_texts(self) -> int:
        """Write, write again or remove some of the texts; return how many."""
        names = self._rng.sample(NAMES, self._rng.randint(2, 6))
        for name in names:
            file = self.folder / name
            if self._rng.random() < GONE_SHARE:
                file.unlink(missing_ok=True)
            else:
                file.write_text(f"{PASSAGE} {KEPT_CURRENT} {self._rng.randrange(EDITIONS)}.", "utf-8")
        return len(names)

    def tend(self) -> None:
        """Start whoever is missing; note who ended without having been killed."""
        for process in list(self.processes):
            process.listen()
            if process.exit_code is not None:
                self.processes.remove(process)
                if not process.must_end:
                    what = f"it ended with {process.exit_code}; its last words:\n{process.last_words()}"
                    self.violations.append(Violation("an applier ends when killed, and never by itself", what))
        while len(self.processes) < AT_ONCE and not self._is_ending:
            self._start()

    def texts(self) -> dict[str, str]:
        """Return each text that is there, by its name."""
        return {file.name: file.read_text("utf-8") for file in sorted(self.folder.iterdir())}

    def apply_to_the_end(self) -> bool:
        """Apply once more; return whether nothing was left to the next time."""
        try:
            applied = until_answered(lambda: apply_derivation(find_declared(KEY), JobQueue(), actor="the last applier"))
        except NotApplied:
            return False
        return not applied.left and not applied.unreadable

    def settle(self) -> None:
        """Bring each subject to the state of its job."""
        queue = JobQueue()
        until_answered(queue.roll_up_hours)
        until_answered(lambda: settle(queue))

    def end(self) -> None:
        """Kill everybody, in the midst of whatever they do."""
        self.tend()
        self._is_ending = True
        for process in self.processes:
            process.send(signal.SIGKILL)
            process.wait()

    def _start(self) -> None:
        self._started += 1
        world = self._world
        self.processes.append(
            WorkerProcess(
                [],
                environment=world.environment,
                log=world.folder / f"applier-{self._started}.log",
                preexec=become(world.account, signal_at_parents_death=signal.SIGKILL),
                command=COMMAND,
            )
        )

    def kill_one(self) -> bool:
        """Kill one that is applying; return whether there was any."""
        busy = []
        for process in self.processes:
            process.listen()
            if process.exit_code is None and process.events[APPLYING] > process.events[ENDED]:
                busy.append(process)
        if not busy:
            return False
        process = self._rng.choice(busy)
        process.send(signal.SIGKILL)
        process.wait()
        return True
