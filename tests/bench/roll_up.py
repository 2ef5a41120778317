"""An hour of 100,000 runs, each queued, claimed and ended, counted into ``llm.stat_hour``."""

import time
from typing import Any

from django.db import connection

from derive.queue import JobQueue
from tests.bench.world import empty_queue

RUNS = 100_000
ROUNDS = 3
MAX_SECONDS = 2.0

# Twenty interrogations and three models; a tenth of the runs did not succeed. Payloads as long as real ones are.
FILL = """
INSERT INTO llm.job (created_by, status, interrogation_key, input_json, created_utc, available_utc, finished_utc)
SELECT
    'bench', CASE WHEN g %% 10 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, 'bench-' || g %% 20,
    '{"text": "' || repeat('x', 1500) || '"}', t.at, t.at, t.at + interval '2 minutes'
FROM generate_series(1, %s) AS g
CROSS JOIN LATERAL (
    SELECT date_trunc('hour', now()) - interval '2 hours' + g * interval '30 milliseconds' AS at
) AS t;

INSERT INTO llm.run (
    job_id, attempt, started_utc, completed_utc, lease_until_utc, status, worker_id, model_name, prompt_tokens,
    output_tokens, metrics_json, error_kind
)
SELECT
    j.job_id, 1, j.created_utc + j.job_seq % 500 * interval '100 milliseconds', j.finished_utc, j.finished_utc,
    j.status, 'bench', 'model-' || j.job_seq % 3, 900, 120,
    '{"total_duration":' || 1000000 * (1000 + j.job_seq % 30000) || ',"load_duration":0,"prompt_eval_count":900}',
    CASE WHEN j.status = 'FAILED' THEN 'invalid_input' END
FROM llm.job AS j;

INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor)
SELECT told.job_id, told.run_id, told.at_utc, told.event, told.from_status, told.to_status, 'bench'
FROM (
    SELECT j.job_id, NULL::uuid AS run_id, j.created_utc AS at_utc, 'enqueued' AS event, NULL AS from_status,
        'NEW' AS to_status FROM llm.job AS j
    UNION ALL
    SELECT r.job_id, r.run_id, r.started_utc, 'claimed', 'NEW', 'RUNNING' FROM llm.run AS r
    UNION ALL
    SELECT r.job_id, r.run_id, r.completed_utc, 'completed', 'RUNNING', r.status FROM llm.run AS r
) AS told
ORDER BY told.at_utc;
"""


def measure() -> dict[str, Any]:
    """Return the median seconds of counting such an hour, all of its steps together."""
    empty_queue()
    with connection.cursor() as cursor:
        for statement in FILL.split(";\n"):
            if statement.strip():
                cursor.execute(statement, [RUNS] if "%s" in statement else None)
        cursor.execute("VACUUM ANALYZE llm.job, llm.run, llm.job_event")
    seconds = sorted(_seconds() for _ in range(ROUNDS))[ROUNDS // 2]
    return {
        "name": "roll-up of an hour of 100,000 runs",
        "seconds": round(seconds, 2),
        "target": f"<= {MAX_SECONDS} s",
        "met": seconds <= MAX_SECONDS,
    }


def _seconds() -> float:
    with connection.cursor() as cursor:
        for table in ("stat_hour", "stat_hour_time", "stat_mark"):
            cursor.execute(f"DELETE FROM llm.{table}")
    begun = time.perf_counter()
    answer = JobQueue().roll_up_hours()
    seconds = time.perf_counter() - begun
    assert answer is not None
    assert answer.events == 3 * RUNS
    assert answer.is_caught_up
    return seconds
