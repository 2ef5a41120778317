"""What a chaos run says at its end: what went wrong on purpose, what came of it, and each promise that was broken."""

import json
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any
from uuid import UUID

from tests.chaos.run import ChaosReport
from tests.chaos.story import story_of

MAX_STORIES = 10


def lines_of(report: ChaosReport, *, seed: int) -> Iterator[str]:
    history, crew = report.history, report.crew
    yield f"seed {seed}: {report.seconds:.0f} s, of which draining {report.drain_seconds:.1f} s"
    yield f"jobs {len(history.jobs)}: {_counts(job.status for job in history.jobs.values())}"
    yield f"runs {len(history.runs)}: {_counts(run.error_kind or run.status for run in history.runs.values())}"
    yield "faults injected:"
    for name, count in report.injected.items():
        yield f"  {count:6} {name}"
    yield (
        f"workers: {len(crew.kills)} killed, {crew.restarts} replaced, {crew.refused_starts} starts refused;"
        f" runs lost {crew.events['run.lost']}, refused {crew.events['run.refused']}, strays {crew.events['run.stray']}"
    )
    yield report.recovery.line()
    if report.overdue:
        yield f"reaped after a lease's end: p50 {median(report.overdue):.1f} s, max {max(report.overdue):.1f} s"
    yield (
        f"lake: {len(report.lake.files)} files, {report.lake.hidden} left half-way under hidden names,"
        f" {len(report.verified.orphans)} orphans; verify_runs: {report.verified.runs} runs,"
        f" {len(report.verified.findings)} faults"
    )
    yield (
        f"derivation: {len(history.derived)} jobs derived, {len(history.past_answers)} past;"
        f" subjects: {_counts(subject.state for subject in history.subjects)}"
    )
    yield from _broken(report, seed=seed)


def _broken(report: ChaosReport, *, seed: int) -> Iterator[str]:
    told: set[UUID] = set()
    for violation in report.violations:
        yield f"VIOLATION (seed {seed}) {violation.line()}"
        job_id = violation.job_id
        if job_id is not None and job_id not in told and len(told) < MAX_STORIES:
            told.add(job_id)
            yield from story_of(report.history, job_id)
    yield f"{len(report.violations)} violations"


def summary_of(report: ChaosReport, *, seed: int) -> str:
    """Return one line of JSON."""
    calm = report.recovery.calm
    summary: dict[str, Any] = {
        "seed": seed,
        "seconds": round(report.seconds),
        "jobs": len(report.history.jobs),
        "runs": len(report.history.runs),
        "injected": report.injected,
        "kills": len(report.crew.kills),
        "restarts": report.crew.restarts,
        "recovery_p50_seconds": round(median(calm), 2) if calm else None,
        "recovery_max_seconds": round(max(calm), 2) if calm else None,
        "orphans": len(report.verified.orphans),
        "violations": len(report.violations),
    }
    return json.dumps(summary)


def _counts(words: Iterator[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())
