SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_complete_jobs: ends several runs in one transaction, each as usp_complete_job does, and returns a row each.
-- Promises: those of usp_complete_job for each element of outcomes_json, whose members are its parameters; one that is
--   refused does not affect the others; one with bad arguments rolls back all.
-- Called by: the worker, when several outcomes are waiting, so that they share a commit.
-- Locks: those of usp_complete_job; first all jobs in the order of job_seq, as whoever locks several does, then all
--   slots of their entities in order, since nobody may wait for a job, or for an earlier slot, while holding one.
CREATE OR ALTER PROCEDURE llm.usp_complete_jobs
    @outcomes_json nvarchar(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @place int;
    DECLARE @job_id uniqueidentifier;
    DECLARE @run_id uniqueidentifier;
    DECLARE @status nvarchar(4000);
    DECLARE @error nvarchar(MAX);
    DECLARE @error_kind nvarchar(4000);
    DECLARE @retry_after_seconds int;
    DECLARE @count_attempt bit;
    DECLARE @run_json nvarchar(MAX);
    DECLARE @artifacts_json nvarchar(MAX);
    DECLARE @facts_json nvarchar(MAX);
    -- Everything as text, so that a value that does not convert raises our own error.
    DECLARE @outcome TABLE (
        job_id nvarchar(MAX) NULL,
        run_id nvarchar(MAX) NULL,
        status nvarchar(MAX) NULL,
        error nvarchar(MAX) NULL,
        error_kind nvarchar(MAX) NULL,
        retry_after_seconds nvarchar(MAX) NULL,
        count_attempt nvarchar(MAX) NULL,
        run_json nvarchar(MAX) NULL,
        artifacts_json nvarchar(MAX) NULL,
        facts_json nvarchar(MAX) NULL,
        n int IDENTITY(1, 1) PRIMARY KEY
    );
    DECLARE @turn TABLE (
        place int PRIMARY KEY,
        n int NOT NULL
    );
    DECLARE @entity TABLE (
        entity_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        entity_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        has_facts bit NOT NULL
    );
    DECLARE @slot TABLE (slot int NOT NULL PRIMARY KEY);
    DECLARE @answer TABLE (
        run_id uniqueidentifier NULL,
        accepted bit NULL,
        final_status nvarchar(40) NULL,
        available_utc datetime2(6) NULL
    );

    IF @outcomes_json IS NULL OR llm.is_json_array(@outcomes_json) = 0
        THROW 51012, N'HC012: outcomes_json is malformed: it is not a JSON array', 1;

    INSERT INTO @outcome (
        job_id, run_id, status, error, error_kind, retry_after_seconds, count_attempt, run_json, artifacts_json,
        facts_json
    )
    SELECT
        o.job_id,
        o.run_id,
        o.status,
        o.error,
        o.error_kind,
        o.retry_after_seconds,
        o.count_attempt,
        o.run_json,
        o.artifacts_json,
        o.facts_json
    FROM OPENJSON(@outcomes_json) WITH (
        job_id nvarchar(MAX) '$.job_id',
        run_id nvarchar(MAX) '$.run_id',
        status nvarchar(MAX) '$.status',
        error nvarchar(MAX) '$.error',
        error_kind nvarchar(MAX) '$.error_kind',
        retry_after_seconds nvarchar(MAX) '$.retry_after_seconds',
        count_attempt nvarchar(MAX) '$.count_attempt',
        run_json nvarchar(MAX) '$.run_json',
        artifacts_json nvarchar(MAX) '$.artifacts_json',
        facts_json nvarchar(MAX) '$.facts_json'
    ) AS o;

    -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then.
    IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
        UPDATE @outcome
        SET
            error = llm.json_text(error),
            error_kind = llm.json_text(error_kind),
            run_json = llm.json_text(run_json),
            artifacts_json = llm.json_text(artifacts_json),
            facts_json = llm.json_text(facts_json);

    IF EXISTS (
        SELECT 1
        FROM @outcome AS o
        WHERE
            (o.job_id IS NOT NULL AND (LEN(o.job_id) <> 36 OR TRY_CAST(o.job_id AS uniqueidentifier) IS NULL))
            OR (o.run_id IS NOT NULL AND (LEN(o.run_id) <> 36 OR TRY_CAST(o.run_id AS uniqueidentifier) IS NULL))
            OR (
                o.retry_after_seconds IS NOT NULL
                AND TRY_CAST(NULLIF(o.retry_after_seconds, N'') AS int) IS NULL
            )
            OR (o.count_attempt IS NOT NULL AND TRY_CAST(NULLIF(o.count_attempt, N'') AS bit) IS NULL)
    )
        THROW 51012, N'HC012: outcomes_json is malformed: a member is no guid, whole number or truth value', 1;

    INSERT INTO @turn (place, n)
    SELECT
        ROW_NUMBER() OVER (ORDER BY j.job_seq, o.n),
        o.n
    FROM @outcome AS o
    LEFT JOIN llm.job AS j WITH (INDEX (pk_job))
        ON j.job_id = TRY_CAST(o.job_id AS uniqueidentifier)
    OPTION (LOOP JOIN, FORCE ORDER);

    BEGIN TRANSACTION;

    INSERT INTO @entity (entity_type, entity_id, has_facts)
    SELECT
        j.entity_type,
        j.entity_id,
        CASE WHEN o.facts_json IS NULL THEN 0 ELSE 1 END
    FROM @turn AS t
    INNER JOIN @outcome AS o
        ON t.n = o.n
    INNER JOIN llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (pk_job))
        ON j.job_id = TRY_CAST(o.job_id AS uniqueidentifier)
    OPTION (LOOP JOIN, FORCE ORDER);

    INSERT INTO @slot (slot)
    SELECT DISTINCT llm.entity_slot(e.entity_type, e.entity_id)
    FROM @entity AS e
    WHERE e.has_facts = 1 AND e.entity_type IS NOT NULL AND e.entity_id IS NOT NULL;

    UPDATE l
    SET taken_utc = SYSUTCDATETIME()
    FROM @slot AS s
    INNER JOIN llm.entity_lock AS l WITH (ROWLOCK)
        ON s.slot = l.slot
    OPTION (LOOP JOIN, FORCE ORDER);

    SET @place = 1;
    WHILE @place <= (SELECT COUNT(*) FROM @turn)
    BEGIN
        SELECT
            @job_id = TRY_CAST(o.job_id AS uniqueidentifier),
            @run_id = TRY_CAST(o.run_id AS uniqueidentifier),
            @status = o.status,
            @error = o.error,
            @error_kind = o.error_kind,
            @retry_after_seconds = TRY_CAST(o.retry_after_seconds AS int),
            @count_attempt = COALESCE(TRY_CAST(o.count_attempt AS bit), 1),
            @run_json = o.run_json,
            @artifacts_json = o.artifacts_json,
            @facts_json = o.facts_json
        FROM @turn AS t
        INNER JOIN @outcome AS o
            ON t.n = o.n
        WHERE t.place = @place;

        INSERT INTO @answer (accepted, final_status, available_utc)
        EXEC llm.usp_complete_job
            @job_id = @job_id,
            @run_id = @run_id,
            @status = @status,
            @error = @error,
            @error_kind = @error_kind,
            @retry_after_seconds = @retry_after_seconds,
            @count_attempt = @count_attempt,
            @run_json = @run_json,
            @artifacts_json = @artifacts_json,
            @facts_json = @facts_json;

        UPDATE @answer
        SET run_id = @run_id
        WHERE run_id IS NULL;
        SET @place = @place + 1;
    END;

    COMMIT TRANSACTION;

    SELECT
        a.run_id,
        a.accepted,
        a.final_status,
        a.available_utc
    FROM @answer AS a;
END;
GO

GRANT EXECUTE ON llm.usp_complete_jobs TO llm_worker;
GO
