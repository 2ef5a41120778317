"""What facts cost a completion that stores ten of them.

In time of the database's own processor, since it depends least on what else the machine does.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from django.db import connection

from derive.contracts import ArtifactFacts, Claim, JobInput, JudgedFact, Outcome, RunFacts
from derive.lake import ARTIFACTS
from derive.queue import JobQueue
from derive.states import RunStatus, Verdict
from tests.bench.world import ANSWER, empty_queue

FACTS_A_RUN = 10
BLOCK, BLOCKS = 100, 24
MAX_RATIO = 1.25


def measure() -> dict[str, Any]:
    """Return what ten facts add to a completion."""
    empty_queue()
    queue = JobQueue()
    jobs = [
        JobInput(interrogation_key="bench", input_json="{}", entity_type="character", entity_id=f"e-{n}")
        for n in range(2 * BLOCK * (BLOCKS + 2))
    ]
    queue.enqueue_many(jobs, actor="bench")
    spent = {True: 0, False: 0}
    waited: dict[bool, list[float]] = {True: [], False: []}
    for block in range(2 * (BLOCKS + 2)):
        has_facts = block % 2 == 0
        outcomes = [_outcome(claim, has_facts=has_facts) for claim in queue.claim("bench", max_jobs=BLOCK)]
        begun = _processor_ns()
        for outcome in outcomes:
            sent = time.perf_counter()
            queue.complete(outcome)
            waited[has_facts].append(time.perf_counter() - sent)
        if block >= 4:  # the first make plans
            spent[has_facts] += _processor_ns() - begun
    ratio = spent[True] / spent[False]
    return {
        "name": "a completion with ten facts, by one without",
        "ratio": round(ratio, 2),
        "with_us": round(spent[True] / BLOCK / BLOCKS / 1_000),
        "without_us": round(spent[False] / BLOCK / BLOCKS / 1_000),
        "elapsed_ratio": round(median(waited[True]) / median(waited[False]), 2),
        "elapsed_without_us": round(median(waited[False]) * 1_000_000),
        "target": f"<= {MAX_RATIO}",
        "met": ratio <= MAX_RATIO,
    }


def _outcome(claim: Claim, *, has_facts: bool) -> Outcome:
    facts = tuple(
        JudgedFact(
            fact_index=n,
            path=f"facts[{n}]",
            fact_key=f"key_{n}",
            value=f"value {n}",
            value_key=f"value {n}",
            quote=f"the words that prove it, as long as they usually are: value {n}",
            evidence_id="e1",
            evidence_ids=("e1",),
            quote_start=100,
            quote_end=160,
            occurrences=1,
            confidence=90,
            proof="words",
            verdict=Verdict.SUPPORTED,
            why=f"The quote says value {n}.",
        )
        for n in range(FACTS_A_RUN if has_facts else 0)
    )
    return Outcome(
        job_id=claim.job_id,
        run_id=claim.run_id,
        status=RunStatus.SUCCEEDED,
        run=RunFacts(output_json=ANSWER, evidence_sha256="ab" * 32, metrics_json='{"total_duration": 123456789012}'),
        artifacts=tuple(
            ArtifactFacts(
                artifact_id=uuid4(),
                artifact_type=name,
                media_type="application/json",
                content_sha256="ab" * 32,
                byte_count=1_000,
                lake_uri=f"llm_runs/2026/01/02/{claim.run_id}/{name}",
            )
            for name in ARTIFACTS
        ),
        facts=facts if has_facts else None,
    )


def _processor_ns() -> int:
    """Return the time that this connection's process of the database has run so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0])
