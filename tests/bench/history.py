"""Eight days of a busy queue, made by set-based SQL: a million jobs, their runs and their events. PostgreSQL only."""

from django.db import connection

JOBS = 1_000_000
RUNS = 1_200_000
EVENTS = 5_000_000

# Ends of jobs lie over the days by the hour of the day; the last tenth of the jobs waits or runs.
_JOBS = """
INSERT INTO llm.job (
    created_by, status, priority, interrogation_key, entity_type, entity_id, input_json, model_hint, max_attempts,
    attempt_count, created_utc, available_utc, locked_by, locked_utc, lease_expires_utc, current_run_id, error_kind,
    last_error, finished_utc
)
SELECT
    'bench-' || g %% 7, s.status, 100, 'interrogation_' || g %% 20, 'character', 'entity-' || g, '{"n": ' || g || '}',
    CASE WHEN g %% 3 = 0 THEN 'llama3.2:latest' END, 3, CASE WHEN s.status = 'NEW' THEN 0 ELSE 1 END, t.at, t.at,
    CASE s.status WHEN 'RUNNING' THEN 'worker-' || g %% 8 END,
    CASE s.status WHEN 'RUNNING' THEN now() - g %% 90 * interval '1 second' END,
    CASE s.status WHEN 'RUNNING' THEN now() + interval '1 hour' END,
    CASE s.status WHEN 'RUNNING' THEN gen_random_uuid() END,
    k.kind, CASE WHEN k.kind IS NOT NULL THEN 'it did not work: ' || k.kind END,
    CASE WHEN s.status IN ('SUCCEEDED', 'FAILED', 'DEADLETTER', 'CANCELLED')
        THEN t.at + (5 + g %% 600) * interval '1 second' END
FROM generate_series(1, %s) AS g
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN g > %s * 0.9 THEN CASE WHEN g %% 500 = 0 THEN 'RUNNING' WHEN g %% 11 = 0 THEN 'SCHEDULED' ELSE 'NEW' END
        WHEN g %% 19 = 0 THEN 'FAILED'
        WHEN g %% 71 = 0 THEN 'DEADLETTER'
        WHEN g %% 97 = 0 THEN 'CANCELLED'
        ELSE 'SUCCEEDED'
    END AS status
) AS s
CROSS JOIN LATERAL (
    -- Busier by day than by night.
    SELECT now() - interval '8 days' + (least(g / (%s * 0.9), 1) * 8 * 24 * 3600 - 700
        + 9000 * sin(least(g / (%s * 0.9), 1) * 8 * 2 * pi())) * interval '1 second' AS at
) AS t
CROSS JOIN LATERAL (
    SELECT CASE WHEN s.status IN ('FAILED', 'DEADLETTER') THEN
        (ARRAY['invalid_input', 'invalid_output', 'ungrounded_output', 'model_timeout', 'truncated_output'])[1 + g %% 5]
    END AS kind
) AS k
"""
_RUNS = """
INSERT INTO llm.run (
    run_id, job_id, attempt, started_utc, completed_utc, lease_until_utc, status, worker_id, model_name, prompt_tokens,
    output_tokens, total_ms, metrics_json, error_kind
)
SELECT
    CASE WHEN j.status = 'RUNNING' THEN j.current_run_id ELSE gen_random_uuid() END, j.job_id, a.attempt,
    coalesce(
        j.locked_utc,
        j.finished_utc - (1 + j.job_seq %% 40) * interval '1 second' - (n.n - a.attempt) * interval '1 minute'
    ),
    j.finished_utc - (n.n - a.attempt) * interval '1 minute', now(),
    CASE WHEN j.status = 'RUNNING' THEN 'RUNNING'
        WHEN a.attempt < n.n OR j.status IN ('FAILED', 'DEADLETTER') THEN 'FAILED'
        WHEN j.status = 'CANCELLED' THEN 'CANCELLED' ELSE 'SUCCEEDED' END,
    'worker-' || j.job_seq %% 8, 'model-' || j.job_seq %% 3, 700 + j.job_seq %% 500, 90 + j.job_seq %% 80,
    (800 + j.job_seq %% 37000) / (1 + j.job_seq %% 3),
    '{"total_duration": ' || (800 + j.job_seq %% 37000) / (1 + j.job_seq %% 3) * 1000000 || '}',
    CASE WHEN a.attempt < n.n THEN 'model_crashed' WHEN j.status = 'CANCELLED' THEN 'cancelled' ELSE j.error_kind END
FROM llm.job AS j
CROSS JOIN LATERAL (SELECT CASE WHEN j.job_seq %% 3 = 0 AND j.status <> 'RUNNING' THEN 2 ELSE 1 END AS n) AS n
CROSS JOIN LATERAL generate_series(1, n.n) AS a (attempt)
WHERE j.status NOT IN ('NEW', 'SCHEDULED')
"""
_EVENTS = """
INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json)
SELECT told.job_id, told.run_id, told.at_utc, told.event, told.from_status, told.to_status, 'bench', '{"attempt": 1}'
FROM (
    SELECT j.job_id, NULL::uuid AS run_id, j.created_utc AS at_utc, 'enqueued' AS event, NULL AS from_status,
        CASE j.status WHEN 'SCHEDULED' THEN 'SCHEDULED' ELSE 'NEW' END AS to_status FROM llm.job AS j
    UNION ALL
    SELECT j.job_id, NULL, j.created_utc, 'reprioritized', 'NEW', 'NEW' FROM llm.job AS j WHERE j.status <> 'SCHEDULED'
    UNION ALL
    SELECT r.job_id, r.run_id, r.started_utc, 'claimed', 'NEW', 'RUNNING' FROM llm.run AS r
    UNION ALL
    SELECT
        r.job_id, r.run_id, r.completed_utc,
        CASE WHEN r.error_kind = 'model_crashed' THEN 'retried' WHEN j.status = 'DEADLETTER' THEN 'dead_lettered'
            WHEN j.status = 'CANCELLED' THEN 'cancelled' ELSE 'completed' END,
        'RUNNING', CASE WHEN r.error_kind = 'model_crashed' THEN 'NEW' ELSE j.status END
    FROM llm.run AS r
    INNER JOIN llm.job AS j ON r.job_id = j.job_id
    WHERE r.completed_utc IS NOT NULL
    UNION ALL
    SELECT r.job_id, NULL, r.started_utc, 'reprioritized', 'NEW', 'NEW' FROM llm.run AS r
) AS told
ORDER BY told.at_utc
"""
_WORKERS = """
INSERT INTO llm.worker (
    worker_id, host, pid, version, started_utc, last_seen_utc, concurrency, active_runs, stopping
)
SELECT 'worker-' || g, 'host-' || g, 1000 + g, '0.1.0', now(),
    now() - CASE g WHEN 6 THEN 80 WHEN 7 THEN 900 ELSE 2 END * interval '1 second', 16, 12, g = 5
FROM generate_series(0, 7) AS g
"""


def fill(jobs: int = JOBS) -> None:
    """Empty the queue's tables and fill them; five statements and a vacuum."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE llm.artifact, llm.run, llm.job_event, llm.job, llm.endpoint, llm.worker, llm.stat_hour,"
            " llm.stat_hour_time, llm.stat_mark CASCADE"
        )
        cursor.execute(_JOBS, [jobs] * 4)
        cursor.execute(_RUNS.replace("%%", "%"))
        cursor.execute(_EVENTS)
        cursor.execute(_WORKERS)
        cursor.execute("VACUUM ANALYZE llm.job, llm.run, llm.job_event")
