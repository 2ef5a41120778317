"""Seconds of ``/metrics`` and ``/readyz`` on a queue of a million jobs, each answer read from the database anew."""

import time
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.test import Client, override_settings

from derive import web
from derive.health import Readiness
from derive.metrics.queue_metrics import QueueMetrics
from tests.bench.world import TABLES, empty_queue

JOBS = 1_000_000
MAX_MS = 50
ASKED = 20

FILL = (
    """
    INSERT INTO llm.job (created_by, status, interrogation_key, input_json, finished_utc)
    SELECT
        'bench', s.status, 'key-' || g %% 5, '{}',
        CASE WHEN s.status IN ('SUCCEEDED', 'FAILED', 'DEADLETTER', 'CANCELLED') THEN now() END
    FROM generate_series(1, %(jobs)s) AS g
    CROSS JOIN LATERAL (
        SELECT (ARRAY['NEW', 'NEW', 'NEW', 'SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'FAILED', 'DEADLETTER',
        'CANCELLED', 'SCHEDULED'])[1 + g %% 11] AS status
    ) AS s
    """,
    """
    INSERT INTO llm.run (job_id, attempt, started_utc, completed_utc, lease_until_utc, status, worker_id)
    SELECT j.job_id, 1, now(), now(), now(), 'SUCCEEDED', 'bench'
    FROM llm.job AS j WHERE j.status = 'SUCCEEDED' ORDER BY j.job_seq LIMIT 100000
    """,
    """
    INSERT INTO llm.stat_hour (hour_utc, interrogation_key, model, error_kind, succeeded)
    SELECT date_trunc('hour', now()) - h * interval '1 hour', 'key-' || k, 'llama3.2', e, 10
    FROM generate_series(0, 24 * 90) AS h, generate_series(0, 4) AS k, unnest(ARRAY['', 'model_crashed']) AS e
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO llm.stat_hour_time (hour_utc, measure, interrogation_key, model, up_to_ms, amount)
    SELECT date_trunc('hour', now()) - h * interval '1 hour', m, 'key-' || k, 'llama3.2', 10 * 2 ^ b, 10
    FROM
        generate_series(0, 24 * 90) AS h, generate_series(0, 4) AS k, generate_series(0, 5) AS b,
        unnest(ARRAY['wait', 'run', 'model']) AS m
    ON CONFLICT DO NOTHING
    """,
)


def measure() -> Iterator[dict[str, Any]]:
    """Yield the median and the slowest answer of each address; nothing is kept between two of them."""
    empty_queue()
    with connection.cursor() as cursor:
        for sql in FILL:
            cursor.execute(sql, {"jobs": JOBS})
        for table in TABLES:
            cursor.execute(f"VACUUM ANALYZE llm.{table}")
    numbers = QueueMetrics()
    numbers.text()  # sums the past hours up, as a process does once an hour
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        for path in ("/metrics", "/readyz"):
            yield _measure(path, numbers)


def _measure(path: str, numbers: QueueMetrics) -> dict[str, Any]:
    client = Client()
    web._numbers = numbers
    spent: list[float] = []
    for _ in range(ASKED):
        numbers._snapshot, web._readiness = None, Readiness()
        begun = time.perf_counter()
        answer = client.get(path)
        spent.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, answer.content
    median_ms = sorted(spent)[ASKED // 2]
    return {
        "name": f"{path} with {JOBS} jobs, nothing kept",
        "median_ms": round(median_ms, 1),
        "slowest_ms": round(max(spent), 1),
        "target": f"<= {MAX_MS} ms",
        "met": median_ms <= MAX_MS,
    }
