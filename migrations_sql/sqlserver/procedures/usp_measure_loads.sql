SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_measure_loads: stores how long each model takes to load, from the newest max_runs runs: llm.model.load_ms is
--   the median of a model's last nine loads of more than a second (shorter ones did not load anything).
-- Promises: a model without such a load among these runs keeps its value. Returns the number of changed values.
-- Called by: schedules.
-- Locks: none while nothing changed; else all rows of llm.model, as usp_set_model. Runs are read passing over those
--   that somebody writes just now.
CREATE OR ALTER PROCEDURE llm.usp_measure_loads
    @max_runs int = 5000
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @newest bigint;
    DECLARE @locked int;
    DECLARE @measured int = 0;
    DECLARE @loads TABLE (
        run_seq bigint NOT NULL PRIMARY KEY,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        load_ms bigint NOT NULL
    );
    DECLARE @medians TABLE (
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY,
        load_ms bigint NOT NULL
    );

    IF @max_runs IS NULL OR @max_runs NOT BETWEEN 1 AND 100000
        THROW 51047, N'HC047: max_runs is not between 1 and 100000', 1;

    SELECT @newest = MAX(r.run_seq)
    FROM llm.run AS r WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK);

    INSERT INTO @loads (run_seq, model, load_ms)
    SELECT
        taken.run_seq,
        taken.model_name,
        taken.load_ns / 1000000
    FROM (
        SELECT
            r.run_seq,
            r.model_name,
            TRY_CAST(JSON_VALUE(r.metrics_json, '$.load_duration') AS bigint) AS load_ns
        FROM llm.run AS r WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK)
        WHERE
            r.run_seq > @newest - @max_runs
            AND r.model_name IS NOT NULL
            AND r.metrics_json IS NOT NULL
    ) AS taken
    WHERE taken.load_ns > 1000000000;

    INSERT INTO @medians (model, load_ms)
    SELECT
        ordered.model,
        ordered.load_ms
    FROM (
        SELECT
            nine.model,
            nine.load_ms,
            ROW_NUMBER() OVER (PARTITION BY nine.model ORDER BY nine.load_ms, nine.run_seq) AS place,
            COUNT(*) OVER (PARTITION BY nine.model) AS loads
        FROM (
            SELECT
                l.run_seq,
                l.model,
                l.load_ms,
                ROW_NUMBER() OVER (PARTITION BY l.model ORDER BY l.run_seq DESC) AS place
            FROM @loads AS l
        ) AS nine
        WHERE nine.place <= 9
    ) AS ordered
    WHERE ordered.place = (ordered.loads + 1) / 2;

    IF EXISTS (
        SELECT 1
        FROM @medians AS d
        LEFT JOIN llm.model AS m
            ON d.model = m.model
        WHERE m.load_ms IS NULL OR m.load_ms <> d.load_ms
    )
    BEGIN
        BEGIN TRANSACTION;

        SELECT @locked = COUNT(*)
        FROM llm.model WITH (XLOCK, HOLDLOCK, INDEX (ux_model_seq));

        UPDATE m
        SET load_ms = d.load_ms
        FROM @medians AS d
        INNER JOIN llm.model AS m
            ON d.model = m.model
        WHERE m.load_ms IS NULL OR m.load_ms <> d.load_ms;
        SET @measured = @@ROWCOUNT;

        INSERT INTO llm.model (model, load_ms)
        SELECT
            d.model,
            d.load_ms
        FROM @medians AS d
        WHERE NOT EXISTS (SELECT 1 FROM llm.model AS m WHERE m.model = d.model);
        SET @measured = @measured + @@ROWCOUNT;

        COMMIT TRANSACTION;
    END;

    SELECT @measured AS measured;
END;
GO

GRANT EXECUTE ON llm.usp_measure_loads TO llm_operator;
GO
