-- How much waits for each model: what an autoscaler asks, one lane at a time, WHERE model = '…'.
-- The model '' stands for jobs that ask for none. Jobs of a paused model or batch are not claimable, nor are delayed
-- ones. Grouped by the column itself, so that a filter on one model reads that model's part of the index alone.
CREATE OR REPLACE VIEW llm.v_backlog AS
SELECT
    s.model,
    sum(s.claimable)::bigint AS claimable,
    sum(s.running)::bigint AS running,
    max(s.oldest_seconds) AS oldest_seconds
FROM (
    SELECT
        w.model::text AS model,  -- as in the other arms: a filter does not reach one of another type
        CASE WHEN m.paused_utc IS NULL THEN w.jobs ELSE 0 END AS claimable,
        0::bigint AS running,
        CASE
            WHEN m.paused_utc IS NULL AND w.oldest_utc < clock_timestamp()
                THEN extract(EPOCH FROM clock_timestamp() - w.oldest_utc)::bigint
            ELSE 0::bigint
        END AS oldest_seconds
    FROM (
        SELECT
            j.model_hint AS model,
            count(*) AS jobs,
            min(j.available_utc) AS oldest_utc
        FROM llm.job AS j
        WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.model_hint IS NOT NULL
        GROUP BY j.model_hint
    ) AS w
    LEFT JOIN llm.model AS m ON w.model = m.model
    UNION ALL
    SELECT
        ''::text AS model,
        count(*) AS claimable,
        0::bigint AS running,
        CASE
            WHEN min(j.available_utc) < clock_timestamp()
                THEN extract(EPOCH FROM clock_timestamp() - min(j.available_utc))::bigint
            ELSE 0::bigint
        END AS oldest_seconds
    FROM llm.job AS j
    WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.model_hint IS NULL
    UNION ALL
    SELECT
        coalesce(j.model_hint, r.model_name, '')::text AS model,
        0::bigint AS claimable,
        count(*) AS running,
        0::bigint AS oldest_seconds
    FROM llm.job AS j
    LEFT JOIN llm.run AS r ON j.current_run_id = r.run_id AND j.model_hint IS NULL
    WHERE j.status = 'RUNNING'
    GROUP BY coalesce(j.model_hint, r.model_name, '')
) AS s
GROUP BY s.model;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.v_backlog TO %I', v_role);
    END LOOP;
END;
$$;
