"""Processor time of a worker a job, over that of a bare httpx loop a request, in one run and on one server."""

import asyncio
import resource
from typing import Any

from tests.bench.pipeline import SLOTS, enqueue, request_bodies, run_bare
from tests.bench.world import empty_queue, fake_ollama, manage

LATENCY_MS = 100
SHORT, LONG = 400, 2_000
"""Jobs of the two runs whose difference is taken: what a start and an end cost falls out of it."""
TARGET_MS = 4.8


def measure() -> dict[str, Any]:
    """Return milliseconds of processor time a job and a request. PostgreSQL and the model server are not counted."""
    empty_queue()
    with fake_ollama(latency_ms=LATENCY_MS, slots=SLOTS) as base_url:
        short, long = _of_worker(base_url, SHORT), _of_worker(base_url, LONG)
        bare = of_bare_loop(base_url, LONG)
    user, system = ((b - a) / (LONG - SHORT) * 1000 for a, b in zip(short, long, strict=True))
    job, request = user + system, sum(bare)
    return {
        "name": f"processor time a job, {LATENCY_MS} ms in {SLOTS} slots",
        "ms_a_job": round(job, 2),
        "user_ms": round(user, 2),
        "system_ms": round(system, 2),
        "bare_ms_a_request": round(request, 2),
        "ratio": round(job / request, 2),
        "start_and_end_ms": round(sum(short) * 1000 - job * SHORT),
        "target": f"<= {TARGET_MS} ms a job",
        "met": job <= TARGET_MS,
    }


def _of_worker(base_url: str, jobs: int) -> tuple[float, float]:
    """Run a worker over so many jobs; return its own seconds of processor time, user's and system's."""
    enqueue(jobs)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    manage(
        *("run_llm_worker", "--concurrency", str(SLOTS), "--max-jobs", str(jobs)),
        environment={"OLLAMA_BASE_URL": base_url, "LOG_FORMAT": "text"},
    )
    # The worker is the only child that ended meanwhile.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime


def of_bare_loop(base_url: str, requests: int) -> tuple[float, float]:
    """Return this process's milliseconds a request, user's and system's, for the bodies that the worker sent."""
    bodies = request_bodies(requests)
    before = resource.getrusage(resource.RUSAGE_SELF)
    asyncio.run(run_bare(base_url, bodies))
    after = resource.getrusage(resource.RUSAGE_SELF)
    each = 1000 / len(bodies)
    return (after.ru_utime - before.ru_utime) * each, (after.ru_stime - before.ru_stime) * each
