SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_complete_job: ends a run with its result, stores its artifact rows and facts, and changes its job's state.
-- Promises: accepted only for the run that holds the job's lease (by run_id, regardless of the clock). Repeating a
--   completion returns the same result, even after the job changed again; any other call changes nothing and returns
--   the job's state. SUCCEEDED stands even if a cancellation was requested; any other end then becomes CANCELLED.
-- Called by: the worker, when the run's manifest is in the lake.
-- Locks: the job's row first (UPDLOCK), which serialises whoever would end the run, then run, artifact, job_event; last
--   those of store_facts. ROWLOCK, because a page lock would hide the page's other rows from every claim. Indexes are
--   named where a small table would be read from end to end instead, and rows that others hold waited for.
CREATE OR ALTER PROCEDURE llm.usp_complete_job
    @job_id uniqueidentifier,
    @run_id uniqueidentifier,
    @status nvarchar(4000),
    @error nvarchar(MAX) = NULL,
    @error_kind nvarchar(4000) = NULL,
    @retry_after_seconds int = NULL,
    @count_attempt bit = 1,
    @run_json nvarchar(MAX) = NULL,
    @artifacts_json nvarchar(MAX) = NULL,
    @facts_json nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @kind nvarchar(4000) = NULLIF(LTRIM(RTRIM(@error_kind)), N'');
    DECLARE @message nvarchar(400);
    DECLARE @now datetime2(6);
    DECLARE @accepted bit;
    DECLARE @job_seq bigint;
    DECLARE @job_status nvarchar(40);
    DECLARE @current_run_id uniqueidentifier;
    DECLARE @job_attempt_count int;
    DECLARE @max_attempts int;
    DECLARE @job_available_utc datetime2(6);
    DECLARE @cancel_requested_utc datetime2(6);
    DECLARE @locked_by nvarchar(200);
    DECLARE @counted bit;
    DECLARE @attempt int;
    DECLARE @attempt_count int;
    DECLARE @final_status nvarchar(40);
    DECLARE @available_utc datetime2(6);
    DECLARE @event nvarchar(40);
    DECLARE @run_seq bigint;
    DECLARE @interrogation_key nvarchar(200);
    DECLARE @entity_type nvarchar(200);
    DECLARE @entity_id nvarchar(400);
    DECLARE @evidence_sha256 nvarchar(64);
    DECLARE @is_stored bit = 0;
    -- Everything as text, so that a value that does not convert raises our own error.
    DECLARE @run TABLE (
        ollama_base_url nvarchar(MAX) NULL,
        model_name nvarchar(MAX) NULL,
        model_tag nvarchar(MAX) NULL,
        model_digest nvarchar(MAX) NULL,
        options_json nvarchar(MAX) NULL,
        metrics_json nvarchar(MAX) NULL,
        prompt_tokens nvarchar(MAX) NULL,
        output_tokens nvarchar(MAX) NULL,
        total_ms nvarchar(MAX) NULL,
        interrogation_version nvarchar(MAX) NULL,
        definition_sha256 nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_sha256 nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        output_json nvarchar(MAX) NULL,
        trace_id nvarchar(MAX) NULL
    );
    DECLARE @artifact TABLE (
        artifact_id nvarchar(MAX) NULL,
        artifact_type nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        media_type nvarchar(MAX) NULL,
        content_sha256 nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        byte_count nvarchar(MAX) NULL,
        lake_uri nvarchar(MAX) NULL,
        created_utc nvarchar(MAX) NULL
    );

    IF @job_id IS NULL OR @run_id IS NULL
        THROW 51015, N'HC015: job_id or run_id is missing', 1;
    -- Comparing ignores blanks at the end, LIKE does not.
    IF @status IS NULL
        OR @status COLLATE Latin1_General_100_BIN2 NOT IN (N'SUCCEEDED', N'FAILED', N'CANCELLED')
        OR @status LIKE N'% '
        THROW 51011, N'HC011: status is not SUCCEEDED, FAILED or CANCELLED', 1;
    IF @retry_after_seconds < 0
        THROW 51013, N'HC013: retry_after_seconds is negative', 1;
    IF LEN(@kind) > 40
        THROW 51026, N'HC026: error_kind is longer than 40 characters', 1;
    IF @run_json IS NOT NULL AND llm.is_json_object(@run_json) = 0
        THROW 51012, N'HC012: run_json is malformed: it is not a JSON object', 1;
    IF @artifacts_json IS NOT NULL AND llm.is_json_array(@artifacts_json) = 0
        THROW 51012, N'HC012: artifacts_json is malformed: it is not a JSON array', 1;
    IF @facts_json IS NOT NULL AND llm.is_json_array(@facts_json) = 0
        THROW 51012, N'HC012: facts_json is malformed: it is not a JSON array', 1;
    IF @status <> N'SUCCEEDED' AND EXISTS (SELECT 1 FROM OPENJSON(COALESCE(@facts_json, N'[]')))
        THROW 51012, N'HC012: facts_json has facts of a run that is not SUCCEEDED', 1;

    INSERT INTO @run (
        ollama_base_url, model_name, model_tag, model_digest, options_json, metrics_json, prompt_tokens, output_tokens,
        total_ms, interrogation_version, definition_sha256, evidence_sha256, output_json, trace_id
    )
    SELECT
        r.ollama_base_url,
        r.model_name,
        r.model_tag,
        r.model_digest,
        r.options_json,
        r.metrics_json,
        r.prompt_tokens,
        r.output_tokens,
        r.total_ms,
        r.interrogation_version,
        r.definition_sha256,
        r.evidence_sha256,
        r.output_json,
        r.trace_id
    FROM OPENJSON(COALESCE(@run_json, N'{}')) WITH (
        ollama_base_url nvarchar(MAX) '$.ollama_base_url',
        model_name nvarchar(MAX) '$.model_name',
        model_tag nvarchar(MAX) '$.model_tag',
        model_digest nvarchar(MAX) '$.model_digest',
        options_json nvarchar(MAX) '$.options_json',
        metrics_json nvarchar(MAX) '$.metrics_json',
        prompt_tokens nvarchar(MAX) '$.prompt_tokens',
        output_tokens nvarchar(MAX) '$.output_tokens',
        total_ms nvarchar(MAX) '$.total_ms',
        interrogation_version nvarchar(MAX) '$.interrogation_version',
        definition_sha256 nvarchar(MAX) '$.definition_sha256',
        evidence_sha256 nvarchar(MAX) '$.evidence_sha256',
        output_json nvarchar(MAX) '$.output_json',
        trace_id nvarchar(MAX) '$.trace_id'
    ) AS r;

    INSERT INTO @artifact (
        artifact_id, artifact_type, media_type, content_sha256, byte_count, lake_uri, created_utc
    )
    SELECT
        a.artifact_id,
        a.artifact_type,
        a.media_type,
        a.content_sha256,
        a.byte_count,
        a.lake_uri,
        a.created_utc
    FROM OPENJSON(COALESCE(@artifacts_json, N'[]')) WITH (
        artifact_id nvarchar(MAX) '$.artifact_id',
        artifact_type nvarchar(MAX) '$.artifact_type',
        media_type nvarchar(MAX) '$.media_type',
        content_sha256 nvarchar(MAX) '$.content_sha256',
        byte_count nvarchar(MAX) '$.byte_count',
        lake_uri nvarchar(MAX) '$.lake_uri',
        created_utc nvarchar(MAX) '$.created_utc'
    ) AS a;

    -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then.
    IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
    BEGIN
        UPDATE @run
        SET
            ollama_base_url = llm.json_text(ollama_base_url),
            model_name = llm.json_text(model_name),
            model_tag = llm.json_text(model_tag),
            options_json = llm.json_text(options_json),
            metrics_json = llm.json_text(metrics_json),
            interrogation_version = llm.json_text(interrogation_version),
            output_json = llm.json_text(output_json);

        UPDATE @artifact
        SET
            media_type = llm.json_text(media_type),
            lake_uri = llm.json_text(lake_uri);
    END;

    IF EXISTS (
        SELECT 1
        FROM @run AS r
        WHERE
            (r.options_json IS NOT NULL AND llm.is_json_object(r.options_json) = 0)
            OR (r.metrics_json IS NOT NULL AND llm.is_json_object(r.metrics_json) = 0)
            OR (r.output_json IS NOT NULL AND llm.is_json_object(r.output_json) = 0)
            OR llm.is_sha256(r.definition_sha256) = 0
            OR llm.is_sha256(r.evidence_sha256) = 0
    )
        THROW 51012, N'HC012: run_json is malformed: a *_json member holds a JSON object as text, a *_sha256 64 hex', 1;
    IF EXISTS (
        SELECT 1
        FROM @run AS r
        WHERE
            (r.prompt_tokens IS NOT NULL AND TRY_CAST(NULLIF(r.prompt_tokens, N'') AS int) IS NULL)
            OR (r.output_tokens IS NOT NULL AND TRY_CAST(NULLIF(r.output_tokens, N'') AS int) IS NULL)
            OR (r.total_ms IS NOT NULL AND TRY_CAST(NULLIF(r.total_ms, N'') AS bigint) IS NULL)
            OR LEN(r.ollama_base_url) > 400
            OR LEN(r.model_name) > 200
            OR LEN(r.model_tag) > 200
            OR LEN(r.model_digest) > 100
            OR LEN(r.interrogation_version) > 40
            OR LEN(r.trace_id) > 64
    )
        THROW 51012, N'HC012: run_json is malformed: a member is no whole number, or longer than its column', 1;
    IF EXISTS (
        SELECT 1
        FROM @artifact AS a
        WHERE
            a.artifact_type IS NULL
            OR LEN(a.artifact_type) NOT BETWEEN 1 AND 40
            OR a.media_type IS NULL
            OR LEN(a.media_type) > 200
            OR a.content_sha256 IS NULL
            OR llm.is_sha256(a.content_sha256) = 0
            OR COALESCE(TRY_CAST(NULLIF(a.byte_count, N'') AS bigint), -1) < 0
            OR a.lake_uri IS NULL
            OR LEN(a.lake_uri) NOT BETWEEN 1 AND 400
            OR (
                a.artifact_id IS NOT NULL
                AND (LEN(a.artifact_id) <> 36 OR TRY_CAST(a.artifact_id AS uniqueidentifier) IS NULL)
            )
            OR (a.created_utc IS NOT NULL AND TRY_CAST(NULLIF(a.created_utc, N'') AS datetimeoffset) IS NULL)
    )
    OR (SELECT COUNT(DISTINCT CAST(a.artifact_type AS nvarchar(40))) FROM @artifact AS a)
    <> (SELECT COUNT(*) FROM @artifact)
    BEGIN
        SET @message = N'HC012: artifacts_json is malformed: each element has an artifact_type of its own, '
            + N'media_type, content_sha256 (64 hex), byte_count and lake_uri';
        THROW 51012, @message, 1;
    END;
    IF EXISTS (
        SELECT 1
        FROM @artifact AS a
        WHERE
            TRY_CAST(a.created_utc AS datetimeoffset)
            NOT BETWEEN '2000-01-01T00:00:00Z' AND '9000-12-31T23:59:59.999999Z'
    )
        THROW 51028, N'HC028: created_utc of an artifact is not in the years 2000 to 9000', 1;

    BEGIN TRANSACTION;

    -- Usually one pass; another one only where lock hints are ignored and the job changed after it was read.
    WHILE @accepted IS NULL
    BEGIN
        SET @job_seq = NULL;
        SELECT
            @job_seq = j.job_seq,
            @job_status = j.status,
            @current_run_id = j.current_run_id,
            @job_attempt_count = j.attempt_count,
            @max_attempts = j.max_attempts,
            @job_available_utc = j.available_utc,
            @cancel_requested_utc = j.cancel_requested_utc,
            @locked_by = j.locked_by,
            @interrogation_key = j.interrogation_key,
            @entity_type = j.entity_type,
            @entity_id = j.entity_id
        FROM llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (pk_job))
        WHERE j.job_id = @job_id;
        SET @now = SYSUTCDATETIME();  -- read under the lock, so that a job's events are in the order of their times
        SET @final_status = NULL;
        SET @available_utc = NULL;

        IF @job_seq IS NULL
            SET @accepted = 0;
        ELSE IF @job_status <> N'RUNNING' OR @current_run_id <> @run_id
        BEGIN
            -- A repeated call: only the event of a completion has run_status.
            SELECT TOP (1)
                @accepted = 1,
                @final_status = e.to_status,
                @available_utc = CAST(
                    REPLACE(JSON_VALUE(e.detail_json, '$.available_utc'), N'Z', N'') AS datetime2(6)
                )
            FROM llm.job_event AS e WITH (INDEX (ix_job_event_job))
            WHERE
                e.job_id = @job_id
                AND e.run_id = @run_id
                AND e.event IN (N'completed', N'retried', N'dead_lettered', N'cancelled')
                AND JSON_VALUE(e.detail_json, '$.run_status') = @status
            ORDER BY e.event_seq DESC;

            IF @accepted IS NULL
            BEGIN
                SET @accepted = 0;
                SET @final_status = @job_status;
            END;
        END;
        ELSE IF @status = N'CANCELLED' AND @cancel_requested_utc IS NULL
        BEGIN
            SET @accepted = 0;
            SET @final_status = @job_status;
        END;
        ELSE
        BEGIN
            SET @counted = CASE
                WHEN @status = N'SUCCEEDED' THEN 1
                WHEN @status = N'CANCELLED' THEN 0
                ELSE COALESCE(@count_attempt, 1)
            END;
            SET @attempt_count = @job_attempt_count - CASE WHEN @counted = 1 THEN 0 ELSE 1 END;
            IF @status = N'CANCELLED'
                SET @kind = COALESCE(@kind, N'cancelled');

            IF @status = N'SUCCEEDED'
            BEGIN
                SET @final_status = N'SUCCEEDED';
                SET @event = N'completed';
            END;
            ELSE IF @cancel_requested_utc IS NOT NULL
            BEGIN
                SET @final_status = N'CANCELLED';
                SET @event = N'cancelled';
            END;
            ELSE IF @retry_after_seconds IS NULL
            BEGIN
                SET @final_status = N'FAILED';
                SET @event = N'completed';
            END;
            ELSE IF @attempt_count >= @max_attempts
            BEGIN
                SET @final_status = N'DEADLETTER';
                SET @event = N'dead_lettered';
            END;
            ELSE IF @retry_after_seconds = 0
            BEGIN
                SET @final_status = N'NEW';
                SET @event = N'retried';
                SET @available_utc = @job_available_utc;  -- keeps its place in the queue
            END;
            ELSE
            BEGIN
                SET @final_status = N'SCHEDULED';
                SET @event = N'retried';
                SET @available_utc = DATEADD(SECOND, @retry_after_seconds, @now);
            END;

            UPDATE llm.job WITH (ROWLOCK)
            SET
                status = @final_status,
                attempt_count = @attempt_count,
                available_utc = COALESCE(@available_utc, available_utc),
                locked_by = NULL,
                locked_utc = NULL,
                lease_expires_utc = NULL,
                current_run_id = NULL,
                last_error = CASE WHEN @status <> N'SUCCEEDED' THEN @error END,
                error_kind = CASE WHEN @status <> N'SUCCEEDED' THEN @kind END,
                finished_utc = CASE WHEN @available_utc IS NULL THEN @now END
            WHERE
                job_seq = @job_seq
                AND status = N'RUNNING'
                AND current_run_id = @run_id
                AND (
                    cancel_requested_utc = @cancel_requested_utc
                    OR (cancel_requested_utc IS NULL AND @cancel_requested_utc IS NULL)
                );

            IF @@ROWCOUNT = 1
            BEGIN
                SET @accepted = 1;

                SELECT
                    @attempt = r.attempt,
                    @run_seq = r.run_seq
                FROM llm.run AS r WITH (INDEX (pk_run))
                WHERE r.run_id = @run_id;

                UPDATE r
                SET
                    counted = @counted,
                    completed_utc = @now,
                    status = @status,
                    ollama_base_url = facts.ollama_base_url,
                    model_name = facts.model_name,
                    model_tag = facts.model_tag,
                    model_digest = facts.model_digest,
                    options_json = facts.options_json,
                    metrics_json = facts.metrics_json,
                    prompt_tokens = TRY_CAST(facts.prompt_tokens AS int),
                    output_tokens = TRY_CAST(facts.output_tokens AS int),
                    total_ms = TRY_CAST(facts.total_ms AS bigint),
                    interrogation_version = facts.interrogation_version,
                    definition_sha256 = facts.definition_sha256,
                    evidence_sha256 = facts.evidence_sha256,
                    output_json = facts.output_json,
                    trace_id = facts.trace_id,
                    error_kind = CASE WHEN @status <> N'SUCCEEDED' THEN @kind END,
                    error = CASE WHEN @status <> N'SUCCEEDED' THEN @error END
                FROM @run AS facts
                INNER JOIN llm.run AS r WITH (ROWLOCK, INDEX (pk_run))
                    ON r.run_id = @run_id
                WHERE r.status = N'RUNNING'
                OPTION (LOOP JOIN, FORCE ORDER);

                IF (
                    SELECT COUNT(DISTINCT TRY_CAST(a.artifact_id AS uniqueidentifier))
                    FROM @artifact AS a
                    WHERE a.artifact_id IS NOT NULL
                ) <> (
                    SELECT COUNT(*)
                    FROM @artifact AS a
                    WHERE a.artifact_id IS NOT NULL
                )
                OR EXISTS (
                    SELECT 1
                    FROM @artifact AS a
                    INNER JOIN llm.artifact AS held WITH (INDEX (pk_artifact))
                        ON TRY_CAST(a.artifact_id AS uniqueidentifier) = held.artifact_id
                )
                    THROW 51012, N'HC012: artifacts_json is malformed: an artifact_id is taken', 1;

                INSERT INTO llm.artifact (
                    artifact_id, run_id, artifact_type, media_type, content_sha256, byte_count, lake_uri, created_utc
                )
                SELECT
                    COALESCE(TRY_CAST(a.artifact_id AS uniqueidentifier), NEWID()),
                    @run_id,
                    a.artifact_type,
                    a.media_type,
                    a.content_sha256,
                    TRY_CAST(a.byte_count AS bigint),
                    a.lake_uri,
                    COALESCE(
                        CAST(SWITCHOFFSET(TRY_CAST(a.created_utc AS datetimeoffset), '+00:00') AS datetime2(6)),
                        @now
                    )
                FROM @artifact AS a;

                INSERT INTO llm.job_event (
                    job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json
                )
                VALUES (
                    @job_id, @run_id, @now, @event, N'RUNNING', @final_status, @locked_by,
                    CONCAT(
                        N'{"attempt": ', @attempt,
                        N', "run_status": "', @status, N'"',
                        CASE
                            WHEN @status <> N'SUCCEEDED'
                                THEN N', "error_kind": "' + STRING_ESCAPE(@kind, 'json') + N'"'
                        END,
                        N', "available_utc": "' + llm.utc_text(@available_utc) + N'"',
                        N'}'
                    )
                );

                IF @status = N'SUCCEEDED' AND @facts_json IS NOT NULL
                BEGIN
                    SET @evidence_sha256 = (SELECT MAX(r.evidence_sha256) FROM @run AS r);
                    EXEC llm.store_facts
                        @job_id = @job_id,
                        @run_id = @run_id,
                        @run_seq = @run_seq,
                        @interrogation_key = @interrogation_key,
                        @entity_type = @entity_type,
                        @entity_id = @entity_id,
                        @evidence_sha256 = @evidence_sha256,
                        @facts_json = @facts_json,
                        @stored_by = @locked_by,
                        @is_new = 1,
                        @fact_count = NULL;
                    SET @is_stored = 1;
                END;
            END;
        END;
    END;

    COMMIT TRANSACTION;

    -- Bad arguments are rejected whatever the job's state; if they are stored, storing them is the check.
    IF @facts_json IS NOT NULL AND @is_stored = 0
        EXEC llm.store_facts
            @job_id = @job_id,
            @run_id = NULL,
            @run_seq = NULL,
            @interrogation_key = NULL,
            @entity_type = NULL,
            @entity_id = NULL,
            @evidence_sha256 = NULL,
            @facts_json = @facts_json,
            @stored_by = NULL,
            @is_new = 1,
            @fact_count = NULL;

    SELECT
        @accepted AS accepted,
        @final_status AS final_status,
        @available_utc AS available_utc;
END;
GO

GRANT EXECUTE ON llm.usp_complete_job TO llm_worker;
GO
