"""Buffers read by a claim: fifty models, a million ready jobs and a million delayed, against 10,000 of one model."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection

from tests.bench.world import empty_queue

SHORT = 10_000
LONG = 1_000_000
MODELS = 50
CLAIMS = 50
RUNS = 2_000
"""Claimed before measuring, so that the tables of runs and events are as deep in both queues."""
MAX_RATIO = 1.5

FILL = """
INSERT INTO llm.job (created_by, status, priority, interrogation_key, input_json, available_utc, model_hint)
SELECT
    'bench', %(status)s, CASE WHEN %(models)s > 1 AND g %% %(models)s = 0 THEN 500 ELSE 100 END, 'bench', '{}',
    now() + %(days)s * interval '1 day' - g * interval '1 millisecond', 'model-' || g %% %(models)s
FROM generate_series(1, %(jobs)s) AS g
"""
BEST = "model-0"
"""The only model with jobs of the best priority."""

SERVER = """default_model => 'model-1', models_json => '[{"model": "*"}]'"""
CLAIMERS = {
    "that names no server": "'bench'",
    "that names one model": "'bench', model => '{serving}'",
    "of a worker": f"'bench', serving_model => '{{serving}}', {SERVER}",
    "of a worker in strict order": f"'bench', {SERVER}, stay => NULL",
}


def measure() -> Iterator[dict[str, Any]]:
    """Yield, for each way of claiming, the mean buffers of both queues and their ratio; then with a pause."""
    empty_queue()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM llm.model")
        _fill(cursor, "NEW", SHORT + RUNS, models=1)
        _claim_some(cursor)
        short = {name: _buffers_a_claim(cursor, call, serving=BEST) for name, call in CLAIMERS.items()}
        empty_queue()
        _fill(cursor, "NEW", LONG, models=MODELS)
        _fill(cursor, "SCHEDULED", LONG, models=MODELS, days=30)
        _claim_some(cursor)
        for paused in (False, True):
            if paused:
                cursor.execute("INSERT INTO llm.model (model, paused_utc, paused_by) VALUES (%s, now(), '')", [BEST])
            for name, call in CLAIMERS.items():
                long = _buffers_a_claim(cursor, call, serving="model-3" if paused else BEST)
                yield {
                    "name": f"claim {name}, {MODELS} models" + (", the best paused" if paused else ""),
                    "buffers_short": round(short[name], 1),
                    "buffers_long": round(long, 1),
                    "ratio": round(long / short[name], 3),
                    "target": f"<= {MAX_RATIO}",
                    "met": long / short[name] <= MAX_RATIO,
                }
        cursor.execute("DELETE FROM llm.model")


def _fill(cursor: Any, status: str, jobs: int, *, models: int, days: int = 0) -> None:
    cursor.execute(FILL, {"status": status, "jobs": jobs, "models": models, "days": days})


def _claim_some(cursor: Any) -> None:
    for _ in range(RUNS // 1_000):
        cursor.execute("SELECT * FROM llm.usp_claim_next_job('bench', max_jobs => 1000)")
    for table in ("job", "run", "job_event"):
        cursor.execute(f"VACUUM ANALYZE llm.{table}")


def _buffers_a_claim(cursor: Any, call: str, *, serving: str) -> float:
    cursor.execute("VACUUM ANALYZE llm.job")
    arguments = call.replace("{serving}", serving)
    total = 0
    for n in range(CLAIMS + 1):
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM llm.usp_claim_next_job({arguments})")
        found = cursor.fetchone()[0]
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        assert plan["Actual Rows"] == 1, f"a claim {call} took nothing"
        # The first call of a connection reads the catalogue too.
        if n:
            total += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return total / CLAIMS
