"""How soon a killed worker's jobs run again: measured with nothing else going wrong, and over the whole run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from derive.states import JobStatus
from tests.chaos.crew import LEASE_SECONDS, Kill
from tests.chaos.history import EventRow, History, RunRow
from tests.chaos.promises import Broken

RECOVERED_WITHIN_SECONDS = LEASE_SECONDS + 5.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """The seconds from each SIGKILL to each of its jobs' next run, where it was ready again at once."""

    calm: tuple[float, ...]
    amid_chaos: tuple[float, ...]

    def line(self) -> str:
        return (
            f"from SIGKILL to running again: {_spread(self.calm)} with nothing else wrong"
            f" (allowed: {RECOVERED_WITHIN_SECONDS:.1f} s); {_spread(self.amid_chaos)} amid chaos"
        )


def measure(history: History, kills: Sequence[Kill], *, calm_since: float) -> Recovery:
    """Find in SQL what every kill cost."""
    calm: list[float] = []
    amid_chaos: list[float] = []
    for kill in kills:
        (calm if kill.at >= calm_since else amid_chaos).extend(_seconds_after(history, kill))
    return Recovery(tuple(calm), tuple(amid_chaos))


def a_killed_workers_jobs_run_again_within_the_lease_and_five_seconds(recovery: Recovery) -> Broken:
    if not recovery.calm:
        yield None, "no recovery was measured"
    for seconds in recovery.calm:
        if seconds > RECOVERED_WITHIN_SECONDS:
            yield None, f"a killed worker's job ran again after {seconds:.1f} s"


def _seconds_after(history: History, kill: Kill) -> Iterator[float]:
    for job_id, runs in history.runs_of.items():
        for run, after in pairwise(runs):
            if _was_killed(run, kill) and _went_back_at_once(history.events_of[job_id], run):
                yield after.started_utc.timestamp() - kill.at


def _was_killed(run: RunRow, kill: Kill) -> bool:
    assert run.completed_utc is not None
    was_running = run.started_utc.timestamp() <= kill.at < run.completed_utc.timestamp()
    return was_running and run.worker_id == kill.worker_id


def _went_back_at_once(events: Sequence[EventRow], run: RunRow) -> bool:
    """Whether the run's end made its job ready: a second expiry is retried later, one too many never."""
    return any(event.run_id == run.run_id and event.to_status == JobStatus.NEW for event in events)


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    return f"p50 {median(seconds):.1f} s, max {max(seconds):.1f} s of {len(seconds)} jobs"
