SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_split_job: ends a run whose evidence does not fit one prompt. Its job waits as SPLIT for its parts, which are
--   queued here, all of them or none; a part is replaced by smaller ones: it is NEW with the first, and the others are
--   further parts of its parent.
-- Promises: accepted only for the run that holds the job's lease. Repeating the call returns the same and queues
--   nothing twice; any other call changes nothing and returns the job's state. The run ends as SPLIT, uncounted, with
--   error and error_kind if they are why. Parts take interrogation, entity, priority, model, attempts, time and batch
--   from their job, and input_json from the call; each has an evidence_ref_json of its own. Numbers continue those of
--   the parts that there are. A smaller part begins with no attempts counted; what it reads now is halved_ref_json, and
--   its evidence_ref_json stays. A cancellation asked for meanwhile reaches the parts as any later one does
--   (usp_join_due_jobs); a part that was asked to stop is CANCELLED instead of replaced.
-- Called by: the worker, when the run's manifest is in the lake.
-- Locks: the batch's row, so that no pause misses the parts; then a part's parent, so that no sweep counts its parts
--   meanwhile; then the job's (UPDLOCK), which serialises all calls that end the run, then run, artifact, job_event.
--   ROWLOCK, because a page lock would hide the page's other rows from every claim.
CREATE OR ALTER PROCEDURE llm.usp_split_job
    @run_id uniqueidentifier,
    @worker_id nvarchar(4000),
    @input_json nvarchar(MAX),
    @parts_json nvarchar(MAX),
    @run_json nvarchar(MAX) = NULL,
    @artifacts_json nvarchar(MAX) = NULL,
    @error nvarchar(MAX) = NULL,
    @error_kind nvarchar(4000) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @worker nvarchar(4000) = LTRIM(RTRIM(@worker_id));
    DECLARE @now datetime2(6);
    DECLARE @job_id uniqueidentifier;
    DECLARE @job_seq bigint;
    DECLARE @parent_job_id uniqueidentifier;
    DECLARE @parent_status nvarchar(40);
    DECLARE @parent_parts int;
    DECLARE @own_parts int;
    DECLARE @asked_to_stop bit = 0;
    DECLARE @before int;
    DECLARE @status nvarchar(40);
    DECLARE @final_status nvarchar(40);
    DECLARE @locked_by nvarchar(200);
    DECLARE @batch_id uniqueidentifier;
    DECLARE @paused_utc datetime2(6);
    DECLARE @parts int;
    DECLARE @attempt int;
    DECLARE @accepted bit = 0;
    DECLARE @part TABLE (
        part_no nvarchar(MAX) NULL,
        evidence_ref_json nvarchar(MAX) NULL
    );
    DECLARE @numbered TABLE (part_no int NOT NULL PRIMARY KEY, evidence_ref_json nvarchar(MAX) NOT NULL);
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
        trace_id nvarchar(MAX) NULL
    );
    DECLARE @artifact TABLE (
        artifact_id nvarchar(MAX) NULL,
        artifact_type nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        media_type nvarchar(MAX) NULL,
        content_sha256 nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        byte_count nvarchar(MAX) NULL,
        lake_uri nvarchar(MAX) NULL
    );
    DECLARE @made TABLE (job_seq bigint NOT NULL PRIMARY KEY, job_id uniqueidentifier NOT NULL);

    IF @run_id IS NULL
        THROW 51015, N'HC015: run_id is missing', 1;
    IF @worker IS NULL OR LEN(@worker) NOT BETWEEN 1 AND 200
        THROW 51001, N'HC001: worker_id is missing, blank or longer than 200 characters', 1;
    IF llm.is_json_object(@input_json) = 0
        THROW 51005, N'HC005: input_json is not a JSON object', 1;
    IF LEN(@error_kind) > 40
        THROW 51026, N'HC026: error_kind is longer than 40 characters', 1;
    IF llm.is_json_array(@parts_json) = 0
        THROW 51053, N'HC053: parts_json is missing, or not an array', 1;
    IF @run_json IS NOT NULL AND llm.is_json_object(@run_json) = 0
        THROW 51012, N'HC012: run_json is malformed: it is not a JSON object', 1;
    IF @artifacts_json IS NOT NULL AND llm.is_json_array(@artifacts_json) = 0
        THROW 51012, N'HC012: artifacts_json is malformed: it is not a JSON array', 1;

    INSERT INTO @part (part_no, evidence_ref_json)
    SELECT
        e.part_no,
        e.evidence_ref_json
    FROM OPENJSON(@parts_json) WITH (
        part_no nvarchar(MAX) '$.part_no',
        evidence_ref_json nvarchar(MAX) '$.evidence_ref_json'
    ) AS e;

    INSERT INTO @run (
        ollama_base_url, model_name, model_tag, model_digest, options_json, metrics_json, prompt_tokens, output_tokens,
        total_ms, interrogation_version, definition_sha256, evidence_sha256, trace_id
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
        trace_id nvarchar(MAX) '$.trace_id'
    ) AS r;

    INSERT INTO @artifact (artifact_id, artifact_type, media_type, content_sha256, byte_count, lake_uri)
    SELECT
        a.artifact_id,
        a.artifact_type,
        a.media_type,
        a.content_sha256,
        a.byte_count,
        a.lake_uri
    FROM OPENJSON(COALESCE(@artifacts_json, N'[]')) WITH (
        artifact_id nvarchar(MAX) '$.artifact_id',
        artifact_type nvarchar(MAX) '$.artifact_type',
        media_type nvarchar(MAX) '$.media_type',
        content_sha256 nvarchar(MAX) '$.content_sha256',
        byte_count nvarchar(MAX) '$.byte_count',
        lake_uri nvarchar(MAX) '$.lake_uri'
    ) AS a;

    -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then.
    IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
    BEGIN
        UPDATE @part SET evidence_ref_json = llm.json_text(evidence_ref_json);
        UPDATE @run
        SET
            ollama_base_url = llm.json_text(ollama_base_url),
            model_name = llm.json_text(model_name),
            model_tag = llm.json_text(model_tag),
            model_digest = llm.json_text(model_digest),
            options_json = llm.json_text(options_json),
            metrics_json = llm.json_text(metrics_json),
            interrogation_version = llm.json_text(interrogation_version);
        UPDATE @artifact
        SET
            media_type = llm.json_text(media_type),
            lake_uri = llm.json_text(lake_uri);
    END;

    SET @parts = (SELECT COUNT(*) FROM @part);
    IF @parts NOT BETWEEN 1 AND 5000
        OR EXISTS (
            SELECT 1
            FROM @part AS p
            WHERE
                llm.is_json_object(p.evidence_ref_json) = 0
                OR COALESCE(TRY_CAST(NULLIF(p.part_no, N'') AS int), 0) NOT BETWEEN 1 AND @parts
        )
        OR (SELECT COUNT(DISTINCT TRY_CAST(p.part_no AS int)) FROM @part AS p) <> @parts
    BEGIN
        DECLARE @message nvarchar(400) = N'HC053: parts_json is not an array of 1 to 5000 parts, numbered from 1, '
            + N'each with an evidence_ref_json';
        THROW 51053, @message, 1;
    END;
    IF EXISTS (
        SELECT 1
        FROM @run AS r
        WHERE
            (r.options_json IS NOT NULL AND llm.is_json_object(r.options_json) = 0)
            OR (r.metrics_json IS NOT NULL AND llm.is_json_object(r.metrics_json) = 0)
            OR (r.prompt_tokens IS NOT NULL AND TRY_CAST(NULLIF(r.prompt_tokens, N'') AS int) IS NULL)
            OR (r.output_tokens IS NOT NULL AND TRY_CAST(NULLIF(r.output_tokens, N'') AS int) IS NULL)
            OR llm.is_sha256(r.definition_sha256) = 0
            OR llm.is_sha256(r.evidence_sha256) = 0
            OR (r.total_ms IS NOT NULL AND TRY_CAST(NULLIF(r.total_ms, N'') AS bigint) IS NULL)
            OR LEN(r.ollama_base_url) > 400
            OR LEN(r.model_name) > 200
            OR LEN(r.model_tag) > 200
            OR LEN(r.model_digest) > 100
            OR LEN(r.interrogation_version) > 40
            OR LEN(r.trace_id) > 64
    )
        THROW 51012, N'HC012: run_json is malformed: a member does not fit its column', 1;
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
    )
    OR (SELECT COUNT(DISTINCT CAST(a.artifact_type AS nvarchar(40))) FROM @artifact AS a)
    <> (SELECT COUNT(*) FROM @artifact)
        THROW 51012, N'HC012: artifacts_json is malformed: a member is missing, or a type is there twice', 1;

    INSERT INTO @numbered (part_no, evidence_ref_json)
    SELECT
        CAST(p.part_no AS int),
        p.evidence_ref_json
    FROM @part AS p;

    BEGIN TRANSACTION;

    -- A run's job and a job's batch never change, so they are read before anything is locked.
    SELECT @job_id = r.job_id
    FROM llm.run AS r WITH (READCOMMITTEDLOCK, INDEX (pk_run))
    WHERE r.run_id = @run_id;
    SELECT
        @batch_id = j.batch_id,
        @parent_job_id = j.parent_job_id
    FROM llm.job AS j WITH (READCOMMITTEDLOCK, INDEX (pk_job))
    WHERE j.job_id = @job_id;
    IF @batch_id IS NOT NULL
        SELECT @paused_utc = b.paused_utc
        FROM llm.batch AS b WITH (UPDLOCK, ROWLOCK, INDEX (pk_batch))
        WHERE b.batch_id = @batch_id;

    IF @parent_job_id IS NOT NULL
        SELECT
            @parent_status = j.status,
            @parent_parts = j.part_count
        FROM llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (pk_job))
        WHERE j.job_id = @parent_job_id;
    SELECT
        @job_seq = j.job_seq,
        @status = j.status,
        @locked_by = j.locked_by,
        @own_parts = j.part_count,
        @asked_to_stop = CASE WHEN j.cancel_requested_utc IS NULL THEN 0 ELSE 1 END
    FROM llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (pk_job))
    WHERE j.job_id = @job_id;
    SET @now = SYSUTCDATETIME();  -- read under the lock, so that a job's events are in the order of their times

    -- The first of the smaller parts is the part itself, and keeps its number.
    SET @before = COALESCE(CASE WHEN @parent_job_id IS NULL THEN @own_parts ELSE @parent_parts - 1 END, 0);
    SET @final_status = CASE
        WHEN @parent_job_id IS NULL THEN N'SPLIT'
        WHEN @asked_to_stop = 0 THEN N'NEW'
        ELSE N'CANCELLED'
    END;

    UPDATE llm.job WITH (ROWLOCK)
    SET
        status = @final_status,
        attempt_count = CASE WHEN parent_job_id IS NULL THEN attempt_count - 1 ELSE 0 END,
        locked_by = NULL,
        locked_utc = NULL,
        lease_expires_utc = NULL,
        current_run_id = NULL,
        last_error = CASE WHEN parent_job_id IS NOT NULL THEN @error END,
        error_kind = CASE WHEN parent_job_id IS NOT NULL THEN @error_kind END,
        finished_utc = CASE WHEN @final_status = N'CANCELLED' THEN @now END,
        part_count = CASE WHEN @final_status = N'CANCELLED' THEN part_count ELSE @before + @parts END,
        halved_ref_json = CASE
            WHEN @final_status = N'NEW' THEN (SELECT n.evidence_ref_json FROM @numbered AS n WHERE n.part_no = 1)
            ELSE halved_ref_json
        END,
        marked_part_no = CASE WHEN @final_status = N'SPLIT' AND cancel_requested_utc IS NOT NULL THEN 0 END
    WHERE
        job_seq = @job_seq
        AND status = N'RUNNING'
        AND current_run_id = @run_id
        AND locked_by = @worker
        AND (@parent_job_id IS NULL OR @parent_status = N'SPLIT');
    SET @accepted = @@ROWCOUNT;

    IF @accepted = 0
    BEGIN
        -- A repeated call: it was this run that split the job.
        IF EXISTS (
            SELECT 1
            FROM llm.job_event AS e WITH (INDEX (ix_job_event_job))
            WHERE
                e.job_id = @job_id
                AND e.run_id = @run_id
                AND (e.event = N'split' OR JSON_VALUE(e.detail_json, '$.run_status') = N'SPLIT')
        )
            SET @accepted = 1;
    END
    ELSE
    BEGIN
        SET @status = @final_status;

        IF @final_status = N'NEW'
            UPDATE llm.job WITH (ROWLOCK)
            SET part_count = @before + @parts
            WHERE job_id = @parent_job_id;

        UPDATE r
        SET
            counted = 0,
            completed_utc = @now,
            status = N'SPLIT',
            ollama_base_url = x.ollama_base_url,
            model_name = x.model_name,
            model_tag = x.model_tag,
            model_digest = x.model_digest,
            options_json = x.options_json,
            metrics_json = x.metrics_json,
            prompt_tokens = TRY_CAST(x.prompt_tokens AS int),
            output_tokens = TRY_CAST(x.output_tokens AS int),
            total_ms = TRY_CAST(x.total_ms AS bigint),
            interrogation_version = x.interrogation_version,
            definition_sha256 = x.definition_sha256,
            evidence_sha256 = x.evidence_sha256,
            trace_id = x.trace_id,
            error_kind = @error_kind,
            error = @error
        FROM @run AS x
        CROSS JOIN llm.run AS r WITH (ROWLOCK, INDEX (pk_run))
        WHERE
            r.run_id = @run_id
            AND r.status = N'RUNNING';
        SELECT @attempt = r.attempt
        FROM llm.run AS r WITH (INDEX (pk_run))
        WHERE r.run_id = @run_id;

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
            @now
        FROM @artifact AS a;

        INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json)
        VALUES (
            @job_id, @run_id, @now, CASE @final_status WHEN N'CANCELLED' THEN N'cancelled' ELSE N'split' END,
            N'RUNNING', @final_status, @locked_by,
            CONCAT(
                N'{"attempt": ', @attempt, N', "run_status": "SPLIT"',
                CASE
                    WHEN @error_kind IS NOT NULL
                        THEN CONCAT(N', "error_kind": "', STRING_ESCAPE(@error_kind, 'json'), N'"')
                END,
                CASE WHEN @final_status <> N'CANCELLED' THEN CONCAT(N', "parts": ', @parts) END, N'}'
            )
        );

        -- job_seq, the claim's last criterion, in the order of the parts.
        INSERT INTO llm.job (
            created_utc, created_by, status, priority, interrogation_key, entity_type, entity_id, input_json,
            evidence_ref_json, model_hint, max_attempts, available_utc, batch_id, paused_utc, parent_job_id, part_no,
            part_count
        )
        OUTPUT inserted.job_seq, inserted.job_id INTO @made (job_seq, job_id)
        SELECT
            @now,
            j.created_by,
            N'NEW',
            j.priority,
            j.interrogation_key,
            j.entity_type,
            j.entity_id,
            @input_json,
            n.evidence_ref_json,
            j.model_hint,
            j.max_attempts,
            j.available_utc,
            j.batch_id,
            @paused_utc,
            COALESCE(j.parent_job_id, j.job_id),
            @before + n.part_no,
            @before + @parts
        FROM llm.job AS j WITH (INDEX (ux_job_seq)), @numbered AS n
        WHERE
            j.job_seq = @job_seq
            AND (@final_status = N'SPLIT' OR (@final_status = N'NEW' AND n.part_no > 1))
        ORDER BY n.part_no
        OPTION (LOOP JOIN, FORCE ORDER);

        INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason)
        SELECT
            m.job_id,
            @now,
            N'enqueued',
            NULL,
            N'NEW',
            @locked_by,
            CONCAT(N'a part of job ', LOWER(CAST(COALESCE(@parent_job_id, @job_id) AS nvarchar(36))))
        FROM @made AS m
        ORDER BY m.job_seq;
    END;

    COMMIT TRANSACTION;

    SELECT
        @accepted AS accepted,
        @status AS final_status;
END;
GO

GRANT EXECUTE ON llm.usp_split_job TO llm_worker;
GO
