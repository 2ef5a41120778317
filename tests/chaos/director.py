"""Lets happen what was planned, when it was planned; and ends what lasts for a while."""

import heapq
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.chaos.appliers import Appliers
from tests.chaos.crew import LEASE_SECONDS, Crew
from tests.chaos.operators import Operators
from tests.chaos.plan import Fault, PlannedFault
from tests.chaos.world import ChaosWorld

LOOK_SECONDS = 0.1
AGAIN_SECONDS = 0.2
"""Until a fault that found nobody to hit tries again."""
UP_SECONDS = 60.0

Act = Callable[[], None]


class Director:
    """Runs a plan against a world and its crew; ``injected`` counts what did happen."""

    def __init__(self, world: ChaosWorld, crew: Crew, operators: Operators, appliers: Appliers) -> None:
        self.injected: Counter[str] = Counter()
        self._world = world
        self._crew = crew
        self._operators = operators
        self._appliers = appliers
        self._order = itertools.count()
        self._due: list[tuple[float, int, Act]] = []
        self._lasting: dict[Fault, Act] = {}
        self._waiting: dict[Fault, PlannedFault] = {}
        self._begun = 0.0
        self._aimed: dict[Fault, Callable[[PlannedFault], object]] = {
            Fault.KILL: self._hit_a_worker,
            Fault.TERMINATE: self._hit_a_worker,
            Fault.PAUSE: self._hit_a_worker,
            Fault.DATABASE_CUT: lambda planned: world.cut_connections(max(0.1, planned.pick)),
            Fault.KILL_APPLIER: lambda _: appliers.kill_one(),
            Fault.CHANGE_TEXTS: lambda _: appliers.change_texts(),
        }
        """What may find nobody, and is then tried again."""
        faults = world.database_faults
        self._of_database: dict[Fault, Callable[[], Act]] = {
            Fault.DATABASE_FULL: faults.fill_disk,
            Fault.DATABASE_SLOW: faults.limit_statements,
            Fault.DATABASE_FROZEN: faults.freeze_connections,
            Fault.LOGIN_REFUSED: faults.refuse_login,
        }

    def run(self, plan: Sequence[PlannedFault], *, seconds: float) -> None:
        self._wait_for_the_crew()
        self._begun = time.monotonic()
        for planned in plan:
            self._push(planned.at_seconds, lambda planned=planned: self._begin(planned))  # type: ignore[misc]
        while (now := time.monotonic() - self._begun) < seconds:
            while self._due and self._due[0][0] <= now:
                _, _, act = heapq.heappop(self._due)
                act()
            self._crew.tend()
            self._appliers.tend()
            time.sleep(LOOK_SECONDS)

    def _wait_for_the_crew(self) -> None:
        deadline = time.monotonic() + UP_SECONDS
        while len(self._crew.up) < self._crew.size and time.monotonic() < deadline:
            self._crew.tend()
            time.sleep(LOOK_SECONDS)

    def end_all(self) -> None:
        """End whatever still lasts."""
        for end in list(self._lasting.values()):
            end()
        self._world.wait_for_database()
        for place, _ in self._crew.up:
            self._crew.send(place, signal.SIGCONT)

    def _push(self, at_seconds: float, act: Act) -> None:
        heapq.heappush(self._due, (at_seconds, next(self._order), act))

    def _begin(self, planned: PlannedFault) -> None:
        fault = planned.fault
        if self._operators.can(fault):
            self._operators.act(fault)
        elif fault in self._aimed:
            if not self._aimed[fault](planned):
                return self._try_again(planned)
        elif fault is Fault.DATABASE_CRASH:
            self._world.crash_database(away_seconds=planned.lasts_seconds)
        elif fault is Fault.POOLER_CRASH:
            if self._world.pooler is None:
                return None
            self._world.crash_pooler(away_seconds=planned.lasts_seconds)
        else:
            self._last(planned, self._switch(fault))
        self._waiting.pop(fault, None)
        self.injected[fault.value] += 1
        self._world.note(f"{fault.name} for {planned.lasts_seconds:.1f} s")
        return None

    def _try_again(self, planned: PlannedFault) -> None:
        """Put off a fault that found nobody; one of a kind waits, or all would hit the first who comes up."""
        if self._waiting.setdefault(planned.fault, planned) is planned:
            self._after(AGAIN_SECONDS, lambda: self._begin(planned))

    def _hit_a_worker(self, planned: PlannedFault) -> bool:
        """Hit a worker that is up and not hit yet, one that has runs under way if there is any; never the last one."""
        up = [(place, process) for place, process in self._crew.up if not (process.is_paused or process.must_end)]
        holders = [(place, process) for place, process in up if process.holds_runs]
        found = [place for place, _ in holders or up]
        if len(up) < min(2, self._crew.size):
            return False
        place = found[int(planned.pick * len(found))]
        if planned.fault is Fault.KILL:
            self._crew.kill(place)
        elif planned.fault is Fault.TERMINATE:
            self._crew.send(place, signal.SIGTERM)
        else:
            self._after(LEASE_SECONDS + planned.lasts_seconds, self._crew.pause(place))
        return True

    def _switch(self, fault: Fault) -> Act:
        """Make it so, and return what ends it."""
        world = self._world
        if fault is Fault.OLLAMA_AWAY:
            world.fake.go_away()
            return world.fake.come_back
        if fault is Fault.LAKE_READ_ONLY:
            world.set_lake_writable(writable=False)
            return lambda: world.set_lake_writable(writable=True)
        if fault in self._of_database:
            return self._of_database[fault]()
        world.set_lake_full(full=True)
        return lambda: world.set_lake_full(full=False)

    def _last(self, planned: PlannedFault, switch_back: Act) -> None:
        def end() -> None:
            if self._lasting.pop(planned.fault, None) is not None:
                switch_back()

        self._lasting[planned.fault] = end
        self._after(planned.lasts_seconds, end)

    def _after(self, seconds: float, act: Act) -> None:
        self._push(time.monotonic() - self._begun + seconds, act)
