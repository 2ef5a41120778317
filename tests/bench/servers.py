"""One model server against two, and two of which one is killed."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory
from typing import Any, cast

from tests.bench.pipeline import enqueue
from tests.bench.world import ROOT, START_SECONDS, empty_queue, model_server

LATENCY_MS = 500
SLOTS = 4
JOBS_EACH = 64
ROUNDS = 2
MIN_RATIO = 1.9
MAX_MOVED_SECONDS = 5


def measure() -> Iterator[dict[str, Any]]:
    """Yield the jobs/s of two servers over those of one, in turns; then what became of a killed one's jobs."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with (
        model_server(latency_ms=LATENCY_MS, slots=SLOTS) as (first, _),
        model_server(latency_ms=LATENCY_MS, slots=SLOTS) as (second, process),
    ):
        for _ in range(ROUNDS):
            for urls in ([first], [first, second]):
                rates[len(urls)].append(_jobs_per_second(urls))
        one, two = median(rates[1]), median(rates[2])
        yield {
            "name": f"two servers of {SLOTS} slots over one",
            "one": round(one, 1),
            "two": round(two, 1),
            "ratio": round(two / one, 2),
            "target": f">= {MIN_RATIO}",
            "met": two / one >= MIN_RATIO,
        }
        yield _measure_kill(first, second, process)


def _jobs_per_second(urls: Sequence[str]) -> float:
    """Work jobs off; return how many a second, from the first claim to the last completion."""
    from django.db.models import Max, Min

    from derive.models import Run

    jobs = JOBS_EACH * len(urls)
    empty_queue()
    enqueue(jobs)
    with TemporaryDirectory() as folder:
        assert _worker(urls, Path(folder), jobs).wait() == 0
    runs = Run.objects.filter(status="SUCCEEDED")
    assert runs.count() == jobs
    span = runs.aggregate(first=Min("started_utc"), last=Max("completed_utc"))
    return float(jobs / (span["last"] - span["first"]).total_seconds())


def _measure_kill(first: str, second: str, process: "Popen[str]") -> dict[str, Any]:
    """Kill the second server while it answers; return how many jobs were lost, and how soon its own ran elsewhere."""
    from derive.models import Job, Run
    from derive.sql.clock import database_now

    jobs = 4 * JOBS_EACH
    empty_queue()
    enqueue(jobs)
    with TemporaryDirectory() as folder:
        worker = _worker([first, second], Path(folder), None)
        try:
            _wait(lambda: Run.objects.filter(ollama_base_url=second, status="SUCCEEDED").count() > JOBS_EACH)
            killed_utc = database_now()
            process.kill()
            _wait(lambda: not Job.objects.exclude(status="SUCCEEDED").exists())
        finally:
            worker.terminate()
            worker.wait(START_SECONDS)
    broken = Run.objects.exclude(status="SUCCEEDED")
    moved = [_next_start(run) - killed_utc for run in broken]
    longest = max((after.total_seconds() for after in moved), default=0.0)
    lost = jobs - Job.objects.filter(status="SUCCEEDED").count()
    return {
        "name": "one of two servers killed",
        "jobs_lost": lost,
        "runs_broken_off": len(moved),
        "counted_attempts": broken.filter(counted=True).count(),
        "moved_after_seconds": round(longest, 2),
        "target": f"0 lost, moved in <= {MAX_MOVED_SECONDS} s",
        "met": lost == 0 and bool(moved) and longest <= MAX_MOVED_SECONDS,
    }


def _next_start(run: Any) -> datetime:
    """Return when the last run of the same job began."""
    from derive.models import Run

    last = Run.objects.filter(job_id=run.job_id).order_by("-attempt")[0]
    assert last.status == "SUCCEEDED"
    assert last.ollama_base_url != run.ollama_base_url
    return cast("datetime", last.started_utc)


def _worker(urls: Sequence[str], folder: Path, jobs: int | None) -> "Popen[bytes]":
    import os
    import sys

    file = folder / "endpoints.toml"
    file.write_text(
        "".join(
            f'[[endpoint]]\nname = "server-{n}"\nurl = "{url}"\nslots = {SLOTS}\n'
            for n, url in enumerate(urls, start=1)
        )
    )
    limit = ("--max-jobs", str(jobs)) if jobs else ()
    return Popen(
        [sys.executable, "manage.py", "run_llm_worker", *limit],
        cwd=ROOT,
        env=os.environ | {"HOLOCRON_ENDPOINTS": str(file), "LOG_FORMAT": "text"},
        stdout=DEVNULL,
        stderr=DEVNULL,
    )


def _wait(holds: Any) -> None:
    deadline = time.monotonic() + START_SECONDS * 3
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the worker does not come so far")
        time.sleep(0.1)
