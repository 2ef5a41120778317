-- How much waits for each model: what an autoscaler asks, one lane at a time, WHERE model = N'…'.
IF OBJECT_ID(N'llm.v_backlog', N'V') IS NOT NULL
    DROP VIEW llm.v_backlog;
GO

-- The model N'' stands for jobs that ask for none. Jobs of a paused model or batch are not claimable, nor are delayed
-- ones. Grouped by the column itself, so that a filter on one model reads that model's part of the index alone.
CREATE VIEW llm.v_backlog (model, claimable, running, oldest_seconds)
AS
SELECT
    s.model,
    SUM(s.claimable) AS claimable,
    SUM(s.running) AS running,
    MAX(s.oldest_seconds) AS oldest_seconds
FROM (
    SELECT
        w.model,
        CASE WHEN m.paused_utc IS NULL THEN w.jobs ELSE 0 END AS claimable,
        0 AS running,
        CASE
            WHEN m.paused_utc IS NULL AND w.oldest_utc < SYSUTCDATETIME()
                THEN DATEDIFF_BIG(SECOND, w.oldest_utc, SYSUTCDATETIME())
            ELSE 0
        END AS oldest_seconds
    FROM (
        SELECT
            j.model_hint AS model,
            COUNT_BIG(*) AS jobs,
            MIN(j.available_utc) AS oldest_utc
        FROM llm.job AS j
        WHERE j.status = N'NEW' AND j.paused_utc IS NULL AND j.model_hint IS NOT NULL
        GROUP BY j.model_hint
    ) AS w
    LEFT JOIN llm.model AS m ON w.model = m.model
    UNION ALL
    SELECT
        N'' AS model,
        COUNT_BIG(*) AS claimable,
        0 AS running,
        CASE
            WHEN MIN(j.available_utc) < SYSUTCDATETIME()
                THEN DATEDIFF_BIG(SECOND, MIN(j.available_utc), SYSUTCDATETIME())
            ELSE 0
        END AS oldest_seconds
    FROM llm.job AS j
    WHERE j.status = N'NEW' AND j.paused_utc IS NULL AND j.model_hint IS NULL
    UNION ALL
    SELECT
        COALESCE(j.model_hint, r.model_name, N'') AS model,
        0 AS claimable,
        COUNT_BIG(*) AS running,
        0 AS oldest_seconds
    FROM llm.job AS j
    LEFT JOIN llm.run AS r ON j.current_run_id = r.run_id AND j.model_hint IS NULL
    WHERE j.status = N'RUNNING'
    GROUP BY COALESCE(j.model_hint, r.model_name, N'')
) AS s
GROUP BY s.model;
GO

GRANT SELECT ON llm.v_backlog TO llm_reader;
GRANT SELECT ON llm.v_backlog TO llm_operator;
GO
