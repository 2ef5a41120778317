"""What facts cost: a completion that stores ten of them, and the reading of very many.

``BENCH_FACTS`` says how many rows there are, a million by default. Times of the database's own processor, since they
depend least on what else the machine does.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

from django.db import connection

from derive.contracts import ArtifactFacts, Claim, JobInput, JudgedFact, Outcome, RunFacts
from derive.lake import ARTIFACTS
from derive.models import Fact
from derive.queue import JobQueue
from derive.states import RunStatus, Verdict
from tests.bench.world import ANSWER, empty_queue

FACT_ROWS = int(os.environ.get("BENCH_FACTS", "1000000"))
FACTS_A_RUN, FACTS_AN_ENTITY = 10, 50
BLOCK, BLOCKS = 100, 24
MAX_RATIO = 1.25
PAGE_ROWS = 51
TRIES = 200
MAX_P95_MS = 150.0

# The checks of foreign keys are left out: they would take most of the time.
FILL = (
    "SET session_replication_role = replica",
    """
    INSERT INTO llm.run (
        job_id, attempt, started_utc, completed_utc, lease_until_utc, status, worker_id, model_name, model_tag,
        interrogation_version, evidence_sha256
    )
    SELECT gen_random_uuid(), 1, now(), now(), now(), 'SUCCEEDED', 'bench', 'llama3.2', 'latest', '1.0.0',
        lpad(to_hex(g), 64, '0')
    FROM generate_series(1, %(runs)s) AS g
    """,
    """
    INSERT INTO llm.fact (
        run_id, job_id, fact_index, path, interrogation_key, entity_type, entity_id, fact_key, value, value_key, quote,
        evidence_id, quote_start, quote_end, occurrences, confidence, proof, verdict, why, is_current, conflict_id,
        review_status
    )
    SELECT
        r.run_id, r.job_id, n, 'facts[' || n || ']', 'bench-' || r.run_seq %% 20, 'character',
        'entity-' || r.run_seq %% %(entities)s, 'key-' || n || '-' || r.run_seq %% 10, 'value ' || n, 'value ' || n,
        'the words that prove it, as long as they usually are: value ' || n, 'e1', 100, 160, 1, 90, 'words',
        v.verdict, 'The quote says value ' || n || '.', TRUE,
        CASE WHEN r.run_seq %% 100 = 0 AND n = 3 THEN md5('c' || r.run_seq %% %(entities)s)::uuid END,
        CASE WHEN v.verdict = 'SUPPORTED' THEN 'NONE' ELSE 'OPEN' END
    FROM llm.run AS r
    CROSS JOIN generate_series(0, %(facts)s - 1) AS n
    CROSS JOIN LATERAL (
        SELECT CASE (r.run_seq + n) %% 20 WHEN 0 THEN 'REFUTED' WHEN 1 THEN 'NOT_ENOUGH_INFO' ELSE 'SUPPORTED' END
    ) AS v (verdict)
    WHERE r.worker_id = 'bench'
    ORDER BY r.run_seq, n
    """,
    "SET session_replication_role = origin",
    "VACUUM ANALYZE llm.fact",
    "VACUUM ANALYZE llm.run",
)


def measure() -> Iterator[dict[str, Any]]:
    """Yield what ten facts add to a completion, then the slowest of the lists and the pages of entities."""
    yield _completions()
    empty_queue()
    with connection.cursor() as cursor:
        counts = {
            "runs": FACT_ROWS // FACTS_A_RUN,
            "facts": FACTS_A_RUN,
            "entities": FACT_ROWS // FACTS_AN_ENTITY,
        }
        for statement in FILL:
            cursor.execute(statement, counts if "%(" in statement else None)
    for name, look in _looks().items():
        p95 = _p95_ms(look)
        yield {
            "name": f"{FACT_ROWS:,} facts: {name}",
            "p95_ms": round(p95, 1),
            "target": f"<= {MAX_P95_MS:g} ms",
            "met": p95 <= MAX_P95_MS,
        }
    empty_queue()


def _completions() -> dict[str, Any]:
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


def _looks() -> dict[str, Callable[[int], object]]:
    """Return each way of looking, as a function of which try it is."""
    facts = Fact.objects.order_by("-fact_seq")
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(fact_seq), max(fact_seq) FROM llm.fact")
        first, last = cursor.fetchone()

    def page(**chosen: Any) -> Callable[[int], object]:
        return lambda n: list(
            facts.filter(fact_seq__lt=first + (last - first) * (n + 1) // TRIES, **chosen)[:PAGE_ROWS]
        )

    def entity(n: int) -> object:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT * FROM llm.v_entity_fact WHERE entity_id = %s AND entity_type = %s ORDER BY fact_seq",
                [f"entity-{n * 97 % (FACT_ROWS // FACTS_AN_ENTITY)}", "character"],
            )
            return cursor.fetchall()

    return {
        "an entity's page": entity,
        "the list": page(),
        "the list of one key": page(fact_key="key-3-7"),
        "the list of one interrogation": page(interrogation_key="bench-7"),
        "the list of what is refuted": page(verdict="REFUTED"),
        "the list of open reviews": page(review_status="OPEN"),
        "the list of conflicts": page(conflict_id__isnull=False),
        "the list of one entity": page(entity_id="entity-7", entity_type="character"),
    }


def _p95_ms(look: Callable[[int], object]) -> float:
    times = []
    for n in range(TRIES):
        begun = time.perf_counter()
        look(n)
        times.append((time.perf_counter() - begun) * 1_000)
    return quantiles(times, n=20)[-1]
