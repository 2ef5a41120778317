SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_enqueue_jobs: queues every element of a JSON array, or none; returns one row per element.
-- Promises: the reason is stored in the first event of each new job.
--   For a dedupe key that a live or succeeded job holds, the row is that of the holder (is_duplicate), even if another
--   call or element of the array took the key a moment ago. For a job_id that exists, the row is that of its job, so
--   that the call may be repeated. Within equal priority and time, jobs keep the order of their n.
--   With a batch_id, new jobs belong to that batch and are paused with it; a duplicate stays in the batch of the job
--   that holds the key, and is counted. A batch that has ended or is cancelled takes no new job (HC049). A repeated
--   call counts nothing twice, unless all its jobs were duplicates. with_answer 0 returns no rows.
-- Called by: queue.py (commands, admin, schedules), anybody's SQL; usp_publish_jobs, usp_sweep_batches.
-- Locks: the batch's row, so that no sweep ends it meanwhile; then the ids that are there, then the dedupe keys,
--   each in the order of its index (UPDLOCK, and for keys HOLDLOCK: the key, or the gap where it would stand), so
--   that two batches with common keys wait for each other and never deadlock; then the new rows. Of new ids no gap
--   is held: thousands of them, all over the index, would be nearly all of it, and every other enqueue would wait.
--   Of two that bring one new id at once, the later one looks again. The holder of a key is found in the index and
--   read after the commit: its row is not locked.
CREATE OR ALTER PROCEDURE llm.usp_enqueue_jobs
    @jobs_json nvarchar(MAX),
    @actor nvarchar(4000) = NULL,
    @reason nvarchar(MAX) = NULL,
    @batch_id uniqueidentifier = NULL,
    @with_answer bit = 1
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = COALESCE(NULLIF(LTRIM(RTRIM(@actor)), N''), ORIGINAL_LOGIN());
    DECLARE @callers_transactions int = @@TRANCOUNT;
    DECLARE @turns int = 0;
    DECLARE @now datetime2(6);
    DECLARE @bad_n int;
    DECLARE @bad int;
    DECLARE @message nvarchar(400);
    DECLARE @is_batch bit = 0;
    DECLARE @is_closed bit = 0;
    DECLARE @paused_utc datetime2(6);
    DECLARE @inserted bigint;
    DECLARE @own_jobs bigint;
    DECLARE @duplicates bigint;
    -- Everything as text, so that a value that does not convert raises our own error.
    DECLARE @raw TABLE (
        n nvarchar(MAX) NULL,
        job_id nvarchar(MAX) NULL,
        interrogation_key nvarchar(MAX) NULL,
        input_json nvarchar(MAX) NULL,
        priority nvarchar(MAX) NULL,
        evidence_ref_json nvarchar(MAX) NULL,
        model_hint nvarchar(MAX) NULL,
        max_attempts nvarchar(MAX) NULL,
        available_utc nvarchar(MAX) NULL,
        dedupe_key nvarchar(MAX) NULL,
        entity_type nvarchar(MAX) NULL,
        entity_id nvarchar(MAX) NULL,
        repeats_run_id nvarchar(MAX) NULL
    );
    DECLARE @element TABLE (
        n int NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        input_json nvarchar(MAX) NOT NULL,
        priority int NOT NULL,
        evidence_ref_json nvarchar(MAX) NULL,
        model_hint nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        max_attempts int NOT NULL,
        available_utc datetime2(6) NULL,
        dedupe_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        entity_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        entity_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        repeats_run_id uniqueidentifier NULL,
        key_place int NULL  -- the place of its two keys in their index's order; null without a dedupe key
    );
    -- Of the elements still unanswered: ids and keys, each once, in the order of their indexes.
    DECLARE @id TABLE (job_id uniqueidentifier NOT NULL PRIMARY KEY);
    DECLARE @key TABLE (
        key_place int NOT NULL PRIMARY KEY,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        dedupe_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL
    );
    -- What the queue has of them, and what is added to it.
    DECLARE @own TABLE (job_id uniqueidentifier NOT NULL PRIMARY KEY, job_seq bigint NOT NULL);
    DECLARE @holder TABLE (key_place int NOT NULL PRIMARY KEY, job_seq bigint NOT NULL);
    DECLARE @fresh TABLE (
        n int NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        key_place int NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );
    DECLARE @answer TABLE (
        n int NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        is_duplicate bit NOT NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );

    IF LEN(@who) > 200
        THROW 51014, N'HC014: actor is longer than 200 characters', 1;
    IF llm.is_json_array(@jobs_json) = 0
        THROW 51010, N'HC010: jobs_json is missing, or not an array of job objects', 1;

    INSERT INTO @raw (
        n, job_id, interrogation_key, input_json, priority, evidence_ref_json, model_hint, max_attempts, available_utc,
        dedupe_key, entity_type, entity_id, repeats_run_id
    )
    SELECT
        e.n,
        e.job_id,
        LTRIM(RTRIM(e.interrogation_key)),
        e.input_json,
        e.priority,
        e.evidence_ref_json,
        LTRIM(RTRIM(e.model_hint)),
        e.max_attempts,
        e.available_utc,
        LTRIM(RTRIM(e.dedupe_key)),
        LTRIM(RTRIM(e.entity_type)),
        LTRIM(RTRIM(e.entity_id)),
        e.repeats_run_id
    FROM OPENJSON(@jobs_json) WITH (
        n nvarchar(MAX) '$.n',
        job_id nvarchar(MAX) '$.job_id',
        interrogation_key nvarchar(MAX) '$.interrogation_key',
        input_json nvarchar(MAX) '$.input_json',
        priority nvarchar(MAX) '$.priority',
        evidence_ref_json nvarchar(MAX) '$.evidence_ref_json',
        model_hint nvarchar(MAX) '$.model_hint',
        max_attempts nvarchar(MAX) '$.max_attempts',
        available_utc nvarchar(MAX) '$.available_utc',
        dedupe_key nvarchar(MAX) '$.dedupe_key',
        entity_type nvarchar(MAX) '$.entity_type',
        entity_id nvarchar(MAX) '$.entity_id',
        repeats_run_id nvarchar(MAX) '$.repeats_run_id'
    ) AS e;

    -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then.
    IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
        UPDATE @raw
        SET
            interrogation_key = llm.json_text(interrogation_key),
            input_json = llm.json_text(input_json),
            evidence_ref_json = llm.json_text(evidence_ref_json),
            model_hint = llm.json_text(model_hint),
            dedupe_key = llm.json_text(dedupe_key),
            entity_type = llm.json_text(entity_type),
            entity_id = llm.json_text(entity_id);

    -- One engine has no row for an element that is no object.
    IF NOT EXISTS (SELECT 1 FROM @raw) AND JSON_VALUE(@jobs_json, '$[0]') IS NOT NULL
        THROW 51010, N'HC010: jobs_json is malformed: an element is not an object', 1;
    -- An empty text would convert to 0, and a guid with something behind it to the guid.
    IF EXISTS (
        SELECT 1
        FROM @raw AS r
        WHERE
            TRY_CAST(NULLIF(r.n, N'') AS int) IS NULL
            OR (r.priority IS NOT NULL AND TRY_CAST(NULLIF(r.priority, N'') AS int) IS NULL)
            OR (r.max_attempts IS NOT NULL AND TRY_CAST(NULLIF(r.max_attempts, N'') AS int) IS NULL)
            OR (
                r.available_utc IS NOT NULL
                AND TRY_CAST(NULLIF(r.available_utc, N'') AS datetimeoffset) IS NULL
            )
            OR (
                r.job_id IS NOT NULL
                AND (LEN(r.job_id) <> 36 OR TRY_CAST(r.job_id AS uniqueidentifier) IS NULL)
            )
            OR (
                r.repeats_run_id IS NOT NULL
                AND (LEN(r.repeats_run_id) <> 36 OR TRY_CAST(r.repeats_run_id AS uniqueidentifier) IS NULL)
            )
    )
        THROW 51010, N'HC010: jobs_json is malformed: a number, time or id does not read as one, or n is missing', 1;
    IF (SELECT COUNT(DISTINCT TRY_CAST(r.n AS int)) FROM @raw AS r) <> (SELECT COUNT(*) FROM @raw)
        THROW 51010, N'HC010: jobs_json is malformed: an element has the n of another', 1;

    SELECT TOP (1)
        @bad_n = judged.n,
        @bad = judged.bad
    FROM (
        SELECT
            TRY_CAST(r.n AS int) AS n,
            CASE
                WHEN r.interrogation_key IS NULL OR LEN(r.interrogation_key) NOT BETWEEN 1 AND 200 THEN 51004
                WHEN llm.is_json_object(r.input_json) = 0 THEN 51005
                WHEN TRY_CAST(r.priority AS int) < 0 THEN 51006
                WHEN TRY_CAST(r.max_attempts AS int) < 1 THEN 51007
                WHEN LEN(r.dedupe_key) NOT BETWEEN 1 AND 400 THEN 51008
                WHEN r.evidence_ref_json IS NOT NULL AND llm.is_json_object(r.evidence_ref_json) = 0 THEN 51009
                WHEN LEN(r.model_hint) NOT BETWEEN 1 AND 200 THEN 51021
                WHEN LEN(r.entity_type) > 200 OR LEN(r.entity_id) > 400 THEN 51025
                WHEN
                    TRY_CAST(r.available_utc AS datetimeoffset)
                    NOT BETWEEN '2000-01-01T00:00:00Z' AND '9000-12-31T23:59:59.999999Z'
                    THEN 51028
            END AS bad
        FROM @raw AS r
    ) AS judged
    WHERE judged.bad IS NOT NULL
    ORDER BY judged.n;
    IF @bad IS NOT NULL
    BEGIN
        SET @message = CONCAT(
            N'HC0', RIGHT(CONCAT(N'0', @bad), 2), N': ',
            CASE @bad
                WHEN 51004 THEN N'interrogation_key is missing, blank or longer than 200 characters'
                WHEN 51005 THEN N'input_json is not a JSON object'
                WHEN 51006 THEN N'priority is negative'
                WHEN 51007 THEN N'max_attempts is less than 1'
                WHEN 51008 THEN N'dedupe_key is blank or longer than 400 characters'
                WHEN 51009 THEN N'evidence_ref_json is not a JSON object'
                WHEN 51021 THEN N'model_hint is blank or longer than 200 characters'
                WHEN 51025 THEN N'entity_type is longer than 200 or entity_id than 400 characters'
                WHEN 51028 THEN N'available_utc is not in the years 2000 to 9000'
            END,
            N' (element n = ', @bad_n, N')'
        );
        THROW @bad, @message, 1;
    END;

    INSERT INTO @element (
        n, job_id, interrogation_key, input_json, priority, evidence_ref_json, model_hint, max_attempts, available_utc,
        dedupe_key, entity_type, entity_id, repeats_run_id, key_place
    )
    SELECT
        e.n,
        e.job_id,
        e.interrogation_key,
        e.input_json,
        e.priority,
        e.evidence_ref_json,
        e.model_hint,
        e.max_attempts,
        e.available_utc,
        e.dedupe_key,
        e.entity_type,
        e.entity_id,
        e.repeats_run_id,
        CASE
            WHEN e.dedupe_key IS NOT NULL
                THEN DENSE_RANK() OVER (
                    ORDER BY
                        e.dedupe_key COLLATE Latin1_General_100_BIN2,
                        e.interrogation_key COLLATE Latin1_General_100_BIN2
                )
        END
    FROM (
        SELECT
            TRY_CAST(r.n AS int) AS n,
            COALESCE(TRY_CAST(r.job_id AS uniqueidentifier), NEWID()) AS job_id,
            CAST(r.interrogation_key AS nvarchar(200)) AS interrogation_key,
            r.input_json,
            COALESCE(TRY_CAST(r.priority AS int), 100) AS priority,
            r.evidence_ref_json,
            CAST(r.model_hint AS nvarchar(200)) AS model_hint,
            COALESCE(TRY_CAST(r.max_attempts AS int), 3) AS max_attempts,
            CAST(
                SWITCHOFFSET(TRY_CAST(r.available_utc AS datetimeoffset), '+00:00') AS datetime2(6)
            ) AS available_utc,
            CAST(r.dedupe_key AS nvarchar(400)) AS dedupe_key,
            NULLIF(CAST(r.entity_type AS nvarchar(200)), N'') AS entity_type,
            NULLIF(CAST(r.entity_id AS nvarchar(400)), N'') AS entity_id,
            TRY_CAST(r.repeats_run_id AS uniqueidentifier) AS repeats_run_id
        FROM @raw AS r
    ) AS e;

    -- A turn adds what can be added, then answers each element with its own job or the key's holder. A holder that went
    -- away between the two leaves its element unanswered: it gets another turn.
    WHILE EXISTS (SELECT 1 FROM @element)
    BEGIN
        SET @turns = @turns + 1;

        BEGIN TRY
            -- A table variable keeps its rows when a transaction is rolled back.
            DELETE FROM @id;
            DELETE FROM @key;
            DELETE FROM @own;
            DELETE FROM @holder;
            DELETE FROM @fresh;

            INSERT INTO @id (job_id)
            SELECT DISTINCT e.job_id
            FROM @element AS e;

            INSERT INTO @key (key_place, interrogation_key, dedupe_key)
            SELECT DISTINCT
                e.key_place,
                e.interrogation_key,
                e.dedupe_key
            FROM @element AS e
            WHERE e.key_place IS NOT NULL;

            BEGIN TRANSACTION;

            IF @batch_id IS NOT NULL
            BEGIN
                SET @is_batch = 0;
                SELECT
                    @is_batch = 1,
                    @is_closed = CASE WHEN b.finished_utc IS NULL AND b.cancelled_utc IS NULL THEN 0 ELSE 1 END,
                    @paused_utc = b.paused_utc
                FROM llm.batch AS b WITH (UPDLOCK, ROWLOCK)
                WHERE b.batch_id = @batch_id;
                IF @is_batch = 0
                    THROW 51048, N'HC048: there is no batch with this batch_id', 1;
            END;

            -- The indexes are named and suffice for the answer; the ids and keys drive, in their order (FORCE ORDER).
            INSERT INTO @own (job_id, job_seq)
            SELECT
                i.job_id,
                j.job_seq
            FROM @id AS i
            INNER JOIN llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (pk_job))
                ON i.job_id = j.job_id
            OPTION (LOOP JOIN, FORCE ORDER);

            INSERT INTO @holder (key_place, job_seq)
            SELECT
                k.key_place,
                j.job_seq
            FROM @key AS k
            INNER JOIN llm.job AS j WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_job_dedupe))
                ON
                    k.dedupe_key = j.dedupe_key
                    AND k.interrogation_key = j.interrogation_key
            WHERE
                j.dedupe_key IS NOT NULL
                AND j.status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT', N'SUCCEEDED')
            OPTION (LOOP JOIN, FORCE ORDER);

            SET @now = SYSUTCDATETIME();

            -- Of the elements with one id the first is added, unless the job is there; of those with one key likewise.
            INSERT INTO @fresh (n, job_id, key_place, status)
            SELECT
                x.n,
                x.job_id,
                x.key_place,
                CASE WHEN x.available_utc > @now THEN N'SCHEDULED' ELSE N'NEW' END
            FROM (
                SELECT
                    y.n,
                    y.job_id,
                    y.key_place,
                    y.available_utc,
                    ROW_NUMBER() OVER (PARTITION BY y.key_place ORDER BY y.n) AS key_turn
                FROM (
                    SELECT
                        e.n,
                        e.job_id,
                        e.key_place,
                        e.available_utc,
                        ROW_NUMBER() OVER (PARTITION BY e.job_id ORDER BY e.n) AS id_turn
                    FROM @element AS e
                    WHERE NOT EXISTS (SELECT 1 FROM @own AS o WHERE o.job_id = e.job_id)
                ) AS y
                WHERE y.id_turn = 1
            ) AS x
            WHERE
                x.key_place IS NULL
                OR (
                    x.key_turn = 1
                    AND NOT EXISTS (SELECT 1 FROM @holder AS h WHERE h.key_place = x.key_place)
                );

            -- The identity is given in the order of n: the claim's last criterion.
            INSERT INTO llm.job (
                job_id, created_utc, created_by, status, priority, interrogation_key, entity_type, entity_id,
                input_json, evidence_ref_json, model_hint, max_attempts, available_utc, dedupe_key, repeats_run_id,
                batch_id, paused_utc
            )
            SELECT
                e.job_id,
                @now,
                @who,
                f.status,
                e.priority,
                e.interrogation_key,
                e.entity_type,
                e.entity_id,
                e.input_json,
                e.evidence_ref_json,
                e.model_hint,
                e.max_attempts,
                COALESCE(e.available_utc, @now),
                e.dedupe_key,
                e.repeats_run_id,
                @batch_id,
                @paused_utc
            FROM @fresh AS f
            INNER JOIN @element AS e
                ON f.n = e.n
            ORDER BY f.n;

            INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason)
            SELECT
                f.job_id,
                @now,
                N'enqueued',
                NULL,
                f.status,
                @who,
                @reason
            FROM @fresh AS f
            ORDER BY f.n;

            IF @batch_id IS NOT NULL
            BEGIN
                SELECT @inserted = COUNT_BIG(*)
                FROM @fresh;
                IF @inserted > 0 AND @is_closed = 1
                    THROW 51049, N'HC049: the batch has ended or is cancelled', 1;
                SELECT @own_jobs = COUNT_BIG(*)
                FROM @element AS e
                WHERE
                    EXISTS (SELECT 1 FROM @own AS o WHERE o.job_id = e.job_id)
                    OR EXISTS (SELECT 1 FROM @fresh AS f WHERE f.job_id = e.job_id);
                SELECT @duplicates = COUNT_BIG(*) - @own_jobs
                FROM @element;
                IF @inserted > 0 OR (@own_jobs = 0 AND @duplicates > 0)
                    UPDATE llm.batch
                    SET
                        queued_jobs = queued_jobs + @inserted,
                        duplicate_jobs = duplicate_jobs + CASE WHEN @own_jobs > @inserted THEN 0 ELSE @duplicates END
                    WHERE batch_id = @batch_id;
            END;

            COMMIT TRANSACTION;

            INSERT INTO @answer (n, job_id, is_duplicate, status)
            SELECT
                e.n,
                f.job_id,
                0,
                f.status
            FROM @element AS e
            INNER JOIN @fresh AS f
                ON e.job_id = f.job_id;

            INSERT INTO @answer (n, job_id, is_duplicate, status)
            SELECT
                e.n,
                j.job_id,
                0,
                j.status
            FROM @element AS e
            INNER JOIN @own AS o
                ON e.job_id = o.job_id
            INNER JOIN llm.job AS j
                ON o.job_seq = j.job_seq
            OPTION (LOOP JOIN, FORCE ORDER);

            DELETE FROM @element
            WHERE n IN (SELECT a.n FROM @answer AS a);

            INSERT INTO @answer (n, job_id, is_duplicate, status)
            SELECT
                e.n,
                f.job_id,
                1,
                f.status
            FROM @element AS e
            INNER JOIN @fresh AS f
                ON e.key_place = f.key_place;

            INSERT INTO @answer (n, job_id, is_duplicate, status)
            SELECT
                e.n,
                j.job_id,
                1,
                j.status
            FROM @element AS e
            INNER JOIN @holder AS h
                ON e.key_place = h.key_place
            INNER JOIN llm.job AS j
                ON h.job_seq = j.job_seq
            OPTION (LOOP JOIN, FORCE ORDER);

            DELETE FROM @element
            WHERE n IN (SELECT a.n FROM @answer AS a);
        END TRY
        BEGIN CATCH
            IF @callers_transactions = 0 AND XACT_STATE() <> 0
                ROLLBACK TRANSACTION;
            -- 2601, 2627: an id, or where lock hints mean nothing a key, was taken between the look and the insert.
            -- Look again, unless the transaction is the caller's and lost.
            IF @callers_transactions > 0 OR @turns >= 10 OR ERROR_NUMBER() NOT IN (2601, 2627)
                THROW;
        END CATCH;
    END;

    IF COALESCE(@with_answer, 1) = 1
        SELECT
            a.n,
            a.job_id,
            a.is_duplicate,
            a.status
        FROM @answer AS a
        ORDER BY a.n;
END;
GO

GRANT EXECUTE ON llm.usp_enqueue_jobs TO llm_operator;
GO
