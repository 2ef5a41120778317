"""Claims and completions of one connection, over half the single-row commits a second of the same PostgreSQL."""

import time
from typing import Any
from uuid import uuid4

from django.db import connection

from derive.contracts import ArtifactFacts, Claim, JobInput, Outcome, RunFacts
from derive.lake import ARTIFACTS
from derive.queue import JobQueue
from derive.states import RunStatus

JOBS = 3_000
COMMITS = 3_000
ROUNDS = 3
TARGETS = {1: 0.35, 10: 0.6, 16: 0.9}
TOGETHER = 16
"""Jobs claimed, and completed, by one call each: what a worker does whose completions wait for one another."""
WORKER = "bench"
SHA256 = "0" * 64
RUN = RunFacts(
    ollama_base_url="http://127.0.0.1:11434",
    model_name="llama3.2",
    model_tag="latest",
    model_digest=SHA256,
    options_json='{"num_ctx":8192,"num_predict":2048,"seed":0,"temperature":0.0}',
    metrics_json='{"total_duration":1500000000,"load_duration":40000000,"prompt_eval_count":900,'
    '"prompt_eval_duration":200000000,"eval_count":120,"eval_duration":900000000}',
    prompt_tokens=900,
    output_tokens=120,
    total_ms=1_500,
    interrogation_version="1.0.0",
    definition_sha256=SHA256,
    evidence_sha256=SHA256,
    output_json='{"facts":[]}',
)


def measure() -> list[dict[str, Any]]:
    """Return a result for claims of each size; the rates are taken in turns."""
    commit_rates: list[float] = []
    job_rates: dict[int, list[float]] = {size: [] for size in TARGETS}
    for _ in range(ROUNDS):
        commit_rates.append(_commits_per_second())
        for size, rates in job_rates.items():
            rates.append(_jobs_per_second(size))
    half = sorted(commit_rates)[ROUNDS // 2] / 2
    results = []
    for size, rates in job_rates.items():
        jobs = sorted(rates)[ROUNDS // 2]
        results.append(
            {
                "name": f"queue alone, claims of {size}" + (", completed together" if size == TOGETHER else ""),
                "jobs_per_second": round(jobs),
                "half_the_commits_per_second": round(half),
                "ratio": round(jobs / half, 3),
                "target": f">= {TARGETS[size]}",
                "met": jobs / half >= TARGETS[size],
            }
        )
    return results


def _commits_per_second() -> float:
    """Update one row of a table of 10,000 a commit, prepared and sent as the queue's calls are."""
    with connection.cursor() as cursor:
        for setting in ("fsync", "synchronous_commit"):
            cursor.execute(f"SHOW {setting}")
            assert cursor.fetchone() == ("on",), f"{setting} is off: the measurement would flatter"
        cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS bench_warm (id int PRIMARY KEY)")
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_row (id int PRIMARY KEY, n int NOT NULL)")
        cursor.execute("INSERT INTO bench_row SELECT g, 0 FROM generate_series(1, 10000) AS g ON CONFLICT DO NOTHING")
    raw = connection.connection
    begun = time.perf_counter()
    for n in range(COMMITS):
        raw.execute("UPDATE bench_row SET n = n + 1 WHERE id = %s", (1 + n % 10_000,), prepare=True)
    return COMMITS / (time.perf_counter() - begun)


def _jobs_per_second(claim_size: int) -> float:
    queue = JobQueue()
    queue.enqueue_many([JobInput(interrogation_key="bench", input_json="{}")] * JOBS, actor=WORKER)
    begun = time.perf_counter()
    done = 0
    while done < JOBS:
        outcomes = [_outcome(claim) for claim in queue.claim(WORKER, max_jobs=min(claim_size, JOBS - done))]
        if claim_size == TOGETHER:
            completions = queue.complete_all(outcomes)
        else:
            completions = [queue.complete(outcome) for outcome in outcomes]
        assert all(completion.accepted for completion in completions)
        done += len(completions)
    return JOBS / (time.perf_counter() - begun)


def _outcome(claim: Claim) -> Outcome:
    folder = f"llm_runs/2026/01/01/{claim.run_id}"
    kinds = [name for name in ARTIFACTS if name != "correction.json"]
    return Outcome(
        job_id=claim.job_id,
        run_id=claim.run_id,
        status=RunStatus.SUCCEEDED,
        run=RUN,
        artifacts=tuple(
            ArtifactFacts(
                artifact_id=uuid4(),
                artifact_type=ARTIFACTS[name][0],
                media_type=ARTIFACTS[name][1],
                content_sha256=SHA256,
                byte_count=1_000,
                lake_uri=f"{folder}/{name}",
            )
            for name in kinds
        ),
    )
