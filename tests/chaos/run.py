"""One chaos run from end to end: chaos, calm, judgement."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from random import Random

from django.db import connection

from derive.models import Job
from derive.sql.reading import reading
from derive.states import JobStatus
from tests.chaos import (
    batch_promises,
    derivation_promises,
    fact_promises,
    job_promises,
    lake_promises,
    recovery,
    run_promises,
)
from tests.chaos.aftermath import Aftermath, NotInTime
from tests.chaos.appliers import Appliers
from tests.chaos.crew import LEASE_SECONDS, Crew
from tests.chaos.director import Director
from tests.chaos.history import History, read_history
from tests.chaos.lake_files import LakeFiles, read_lake
from tests.chaos.ledger import Ledger
from tests.chaos.operators import Operators
from tests.chaos.plan import make_plan
from tests.chaos.processes import BASE_DIR
from tests.chaos.promises import Violation, judged
from tests.chaos.spans import Span, merged
from tests.chaos.traffic import Traffic
from tests.chaos.verified import Verified
from tests.chaos.world import ChaosWorld

BACK_SECONDS = 0.5 + LEASE_SECONDS / 3
"""After the database's return: until a worker has noticed, and the heartbeat's time that it then gives the others."""
SECONDS_A_ROUND = 120.0
MAX_ROUNDS = 5


@dataclass(kw_only=True)
class ChaosReport:
    """What a run did and found."""

    seconds: float
    injected: dict[str, int]
    crew: Crew
    history: History
    lake: LakeFiles
    verified: Verified
    recovery: recovery.Recovery
    overdue: list[float]
    drain_seconds: float
    violations: list[Violation] = field(default_factory=list)


def run_chaos(world: ChaosWorld, rng: Random, *, seconds: float, workers: int) -> ChaosReport:
    """Run chaos for so many seconds, then see that all is well again, and judge every promise."""
    plan = make_plan(rng, seconds=seconds)
    ledger, crew = Ledger(), Crew(world, size=workers)
    operators = Operators(Random(rng.random()), ledger)
    appliers = Appliers(world, Random(rng.random()))
    director = Director(world, crew, operators, appliers)
    traffic = Traffic(Random(rng.random()), ledger, waiting=_count_ready)
    violations: list[Violation] = []
    begun = time.monotonic()
    traffic.start()
    try:
        director.run(plan, seconds=seconds)
        director.end_all()
        world.model_faults.is_calm = True
        traffic.end()
        operators.end()
        appliers.end()
        calm_since, drain_seconds = time.time(), time.monotonic()
        try:
            aftermath = Aftermath(world, crew, ledger, Random(rng.random()))
            aftermath.finish(appliers)
            aftermath.drain()
            drain_seconds = time.monotonic() - drain_seconds
            for _ in range(_rounds(seconds)):
                aftermath.see_everyone_work()
                aftermath.kill_one()
                aftermath.drain()
        except NotInTime as late:
            violations.append(Violation("the queue is drained in a bounded time", str(late)))
        appliers.settle()
        crew.stop()
    finally:
        appliers.end()
        crew.end()
    report = ChaosReport(
        seconds=time.monotonic() - begun,
        injected={
            **director.injected,
            **{f"Ollama: {name}": n for name, n in sorted(world.model_faults.injected.items())},
        },
        crew=crew,
        history=_read_history(),
        lake=read_lake(world.lake),
        verified=_verify(world),
        recovery=recovery.Recovery((), ()),
        overdue=[],
        drain_seconds=drain_seconds,
        violations=[*violations, *crew.violations, *operators.violations, *appliers.violations],
    )
    judge(report, ledger, calm_since=calm_since, blind=_blind(world, crew))
    of_texts = derivation_promises.every_text_has_a_subject_that_was_asked_about_it
    report.violations += judged(of_texts, report.history, appliers.texts())
    return report


def _rounds(seconds: float) -> int:
    return max(1, min(MAX_ROUNDS, int(seconds / SECONDS_A_ROUND)))


def _count_ready() -> int:
    return reading(lambda: int(Job.objects.filter(status=JobStatus.NEW).count()))


def _read_history() -> History:
    with connection.cursor() as cursor:
        return read_history(cursor)


def _verify(world: ChaosWorld) -> Verified:
    said = subprocess.run(
        [sys.executable, "manage.py", "verify_runs", "--json"],
        cwd=BASE_DIR,
        env=world.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if said.returncode not in (0, 1):
        raise RuntimeError(f"verify_runs ended with {said.returncode}: {said.stderr}")
    return Verified.read(said.stdout.splitlines())


def _blind(world: ChaosWorld, crew: Crew) -> list[Span]:
    """Return the spans in which nobody could reap."""
    away = [(since, until + BACK_SECONDS) for since, until in world.away]
    return merged([*crew.blind, *away])


def judge(report: ChaosReport, ledger: Ledger, *, calm_since: float, blind: list[Span]) -> None:
    """Add to the report what was measured, and everything that breaks a promise.

    ``calm_since`` is when nothing went wrong on purpose any more, in seconds; ``blind`` are the spans without a reaper.
    """
    history, lake, verified = report.history, report.lake, report.verified
    report.recovery = recovery.measure(history, report.crew.kills, calm_since=calm_since)
    report.overdue = [
        run_promises.overdue_seconds(run, history.now, blind)
        for run in history.runs.values()
        if run.error_kind == "lease_expired"
    ]
    found = report.violations
    for by_sql in (*job_promises.BY_SQL, *run_promises.BY_SQL, *batch_promises.BY_SQL, *derivation_promises.BY_SQL):
        found += judged(by_sql, history)
    for by_ledger in job_promises.BY_LEDGER:
        found += judged(by_ledger, history, ledger)
    found += judged(run_promises.nothing_stays_running_past_its_lease_and_the_reap_interval, history, blind)
    for by_lake in lake_promises.BY_LAKE:
        found += judged(by_lake, history, lake)
    found += judged(fact_promises.a_succeeded_runs_facts_are_what_its_artifacts_give_exactly_once, history, lake)
    found += judged(lake_promises.every_run_verifies_in_full, history, verified)
    found += judged(lake_promises.verify_runs_lists_every_orphan_and_only_those, history, lake, verified)
    found += judged(recovery.a_killed_workers_jobs_run_again_within_the_lease_and_five_seconds, report.recovery)
