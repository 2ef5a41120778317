"""What goes wrong when: drawn from a seed before anything runs."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    KILL = "worker killed (SIGKILL)"
    TERMINATE = "worker told to stop (SIGTERM)"
    PAUSE = "worker paused beyond its lease (SIGSTOP, SIGCONT)"
    DATABASE_CRASH = "PostgreSQL stopped hard and started again"
    DATABASE_CUT = "connections of PostgreSQL cut"
    DATABASE_FULL = "database disk full (53100)"
    DATABASE_SLOW = "statement time-outs (57014)"
    DATABASE_FROZEN = "connections of PostgreSQL frozen"
    LOGIN_REFUSED = "login refused"
    OLLAMA_AWAY = "Ollama away"
    LAKE_READ_ONLY = "lake read-only"
    LAKE_FULL = "lake full"
    REAP_TWICE = "two reapers at once"
    CANCEL = "operator cancels"
    REQUEUE = "operator requeues"
    REPRIORITISE = "operator reprioritises"
    RESCHEDULE = "operator reschedules"
    HOLD = "operator holds"
    DUPLICATES = "one key queued by several at once"
    POOLER_CRASH = "PgBouncer killed and started again"
    KILL_APPLIER = "applier of a derivation killed (SIGKILL)"
    CHANGE_TEXTS = "texts of a source changed or removed"


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """A fault comes every so many seconds on average, once at least, and lasts between the bounds."""

    every_seconds: float
    lasts_seconds: tuple[float, float] = (0.0, 0.0)


RHYTHMS = {
    Fault.KILL: Rhythm(every_seconds=7),
    Fault.TERMINATE: Rhythm(every_seconds=14),
    Fault.PAUSE: Rhythm(every_seconds=10, lasts_seconds=(2.5, 4.0)),
    Fault.DATABASE_CRASH: Rhythm(every_seconds=25, lasts_seconds=(0.2, 3.0)),
    Fault.DATABASE_CUT: Rhythm(every_seconds=7),
    Fault.OLLAMA_AWAY: Rhythm(every_seconds=18, lasts_seconds=(0.3, 2.0)),
    Fault.LAKE_READ_ONLY: Rhythm(every_seconds=18, lasts_seconds=(0.3, 2.0)),
    Fault.LAKE_FULL: Rhythm(every_seconds=18, lasts_seconds=(0.3, 2.0)),
    Fault.REAP_TWICE: Rhythm(every_seconds=3),
    Fault.CANCEL: Rhythm(every_seconds=2),
    Fault.REQUEUE: Rhythm(every_seconds=2),
    Fault.REPRIORITISE: Rhythm(every_seconds=2),
    Fault.RESCHEDULE: Rhythm(every_seconds=2),
    Fault.HOLD: Rhythm(every_seconds=3),
    Fault.DUPLICATES: Rhythm(every_seconds=2),
    Fault.DATABASE_FULL: Rhythm(every_seconds=20, lasts_seconds=(0.3, 3.0)),
    Fault.DATABASE_SLOW: Rhythm(every_seconds=20, lasts_seconds=(0.3, 3.0)),
    Fault.DATABASE_FROZEN: Rhythm(every_seconds=20, lasts_seconds=(0.5, 6.0)),
    Fault.LOGIN_REFUSED: Rhythm(every_seconds=20, lasts_seconds=(0.3, 3.0)),
    Fault.POOLER_CRASH: Rhythm(every_seconds=20, lasts_seconds=(0.1, 1.5)),
    Fault.KILL_APPLIER: Rhythm(every_seconds=4),
    Fault.CHANGE_TEXTS: Rhythm(every_seconds=1),
}


@dataclass(frozen=True, kw_only=True)
class PlannedFault:
    """``pick`` in [0, 1) says whom it hits, of those who are there then."""

    at_seconds: float
    fault: Fault
    lasts_seconds: float
    pick: float


def make_plan(rng: Random, *, seconds: float) -> list[PlannedFault]:
    """Return the faults of a run in their order; each kind comes at least once."""
    plan = []
    for fault, rhythm in RHYTHMS.items():
        at_seconds = rng.uniform(0, min(rhythm.every_seconds, seconds / 2))
        while at_seconds < seconds:
            lasts_seconds = rng.uniform(*rhythm.lasts_seconds)
            plan.append(
                PlannedFault(at_seconds=at_seconds, fault=fault, lasts_seconds=lasts_seconds, pick=rng.random())
            )
            at_seconds += lasts_seconds + rng.expovariate(1 / rhythm.every_seconds)
    return sorted(plan, key=lambda planned: planned.at_seconds)
