SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_claim_next_job: claims up to max_jobs ready jobs under a lease, each as a new run; promotes due jobs first.
-- Promises: a job goes to one caller; the best by priority, then the longest available, then the first queued. With a
--   model: only jobs that ask for it or for none. Jobs of paused models, and of models at a limit, are never taken.
--   With serving_model or models_json a claim takes jobs of one model and one priority: the highest at which any of
--   the models has ready jobs. With stay that is serving_model while it has such jobs; else the model with the fewest
--   running runs, then the one that has waited longest: since its first job was available or since it was last served,
--   whichever is later. Without stay, serving_model comes last. With stay null the order is strict among
--   the allowed models; where some are not, a claim is of one priority.
--   default_model is what a job without a model means here; models_json what the caller's server can serve:
--   [{"model", "idle_seconds"?}], the latter being the time since the caller stopped serving it; a model "*" stands for
--   all others. The result's num_ctx and num_predict are the model's own, where operators set them.
--   part_count without parent_job_id: the job was split, its parts have ended, and this run joins their answers.
--   The cost of a claim does not grow with the waiting jobs, except those of except_interrogations_json (keys that the
--   caller cannot run), which it skips one by one. Choosing another model reads the first job of each that has jobs of
--   that priority; so does each claim in strict order while the first jobs there are of models not allowed.
-- Called by: the worker's queue thread, between runs.
-- Locks: ready jobs (UPDLOCK, held to the commit), in the claim's order, passing over what another claim, an operator
--   or a promotion holds (READPAST): nothing is waited for. ROWLOCK, because READPAST does not pass over a page lock.
--   Then run, then job_event. Two workers of which one names a model and the other does not come by different indexes;
--   in the rare case that each has passed over a row of the other, one is the deadlock's victim, and its call is
--   repeated. Before that all rows of llm.model, shared, for which usp_set_model waits, and of those that have a limit
--   an update lock: while there is such a model, claims follow each other, so that no two spend the same room.
CREATE OR ALTER PROCEDURE llm.usp_claim_next_job
    @worker_id nvarchar(4000),
    @lease_seconds int = 120,
    @max_jobs int = 1,
    @model nvarchar(4000) = NULL,
    @except_interrogations_json nvarchar(MAX) = NULL,
    @serving_model nvarchar(4000) = NULL,
    @default_model nvarchar(4000) = NULL,
    @models_json nvarchar(MAX) = NULL,
    @stay bit = 1
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @worker nvarchar(4000) = LTRIM(RTRIM(@worker_id));
    DECLARE @asked_model nvarchar(4000) = NULLIF(LTRIM(RTRIM(@model)), N'');
    DECLARE @serving nvarchar(4000) = NULLIF(LTRIM(RTRIM(@serving_model)), N'');
    DECLARE @default nvarchar(4000) = NULLIF(LTRIM(RTRIM(@default_model)), N'');
    DECLARE @now datetime2(6) = SYSUTCDATETIME();
    DECLARE @lease_expires_utc datetime2(6);
    DECLARE @promoted int;
    DECLARE @except nvarchar(MAX) = N'';
    DECLARE @unread int;
    DECLARE @is_by_model bit = 0;
    DECLARE @is_strict bit = 0;
    DECLARE @serves_any bit = 1;
    DECLARE @place int = -1;  -- where the walk through priorities and models is, and below what it goes on
    DECLARE @place_model nvarchar(200) = N'';
    DECLARE @below bigint = 2147483648;
    DECLARE @next int;
    DECLARE @hint nvarchar(200);
    DECLARE @looks int;
    DECLARE @chosen nvarchar(200);  -- '' stands for jobs without a model if there is no default
    DECLARE @priority int;  -- of the jobs to claim; null: any
    DECLARE @floor int;
    DECLARE @ceiling int;
    DECLARE @rows int = @max_jobs;
    DECLARE @served TABLE (
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY,
        served_utc datetime2(6) NULL
    );
    DECLARE @limited TABLE (
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY,
        max_running int NULL,
        max_starts int NULL,
        running int NOT NULL,
        starts int NOT NULL
    );
    DECLARE @blocked TABLE (
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY
    );
    DECLARE @tried TABLE (
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY
    );
    DECLARE @candidate TABLE (
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY
    );
    DECLARE @heads TABLE (
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        available_utc datetime2(6) NOT NULL,
        job_seq bigint NOT NULL
    );
    DECLARE @ready TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        priority int NOT NULL,
        available_utc datetime2(6) NOT NULL,
        model_hint nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL
    );
    DECLARE @picked TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        run_id uniqueidentifier NOT NULL
    );
    DECLARE @claimed TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        run_id uniqueidentifier NOT NULL,
        attempt_count int NOT NULL,
        max_attempts int NOT NULL,
        priority int NOT NULL,
        available_utc datetime2(6) NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        input_json nvarchar(MAX) NOT NULL,
        evidence_ref_json nvarchar(MAX) NULL,
        halved_ref_json nvarchar(MAX) NULL,
        model_hint nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        repeats_run_id uniqueidentifier NULL,
        parent_job_id uniqueidentifier NULL,
        part_no int NULL,
        part_count int NULL
    );
    DECLARE @numbered TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        attempt int NOT NULL,
        previous_run_id uniqueidentifier NULL,
        previous_error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        previous_error nvarchar(MAX) NULL,
        previous_options_json nvarchar(MAX) NULL,
        num_ctx int NULL,
        num_predict int NULL
    );

    IF @worker IS NULL OR LEN(@worker) NOT BETWEEN 1 AND 200
        THROW 51001, N'HC001: worker_id is missing, blank or longer than 200 characters', 1;
    IF @lease_seconds IS NULL OR @lease_seconds NOT BETWEEN 1 AND 86400
        THROW 51002, N'HC002: lease_seconds is not between 1 and 86400', 1;
    IF @max_jobs IS NULL OR @max_jobs NOT BETWEEN 1 AND 1000
        THROW 51003, N'HC003: max_jobs is not between 1 and 1000', 1;
    IF @except_interrogations_json IS NOT NULL
    BEGIN
        IF llm.is_json_array(@except_interrogations_json) = 0
            THROW 51035, N'HC035: except_interrogations_json is not an array of interrogation keys', 1;
        -- One text, each key between two separators, so that the picks below ask it without a join.
        SELECT
            @except = CONCAT(NCHAR(31), STRING_AGG(e.interrogation_key, NCHAR(31)), NCHAR(31)),
            @unread = COUNT(*) - COUNT(e.interrogation_key)
        FROM OPENJSON(@except_interrogations_json) WITH (interrogation_key nvarchar(MAX) '$') AS e;
        IF @unread > 0
            THROW 51035, N'HC035: except_interrogations_json is malformed: an element is no text', 1;
    END;

    IF @asked_model IS NOT NULL
        SET @default = @asked_model;
    ELSE IF @models_json IS NOT NULL
    BEGIN
        IF llm.is_json_array(@models_json) = 0
            THROW 51043, N'HC043: models_json is not an array of objects with a model', 1;
        SELECT @unread = COUNT(*)
        FROM OPENJSON(@models_json)
        WITH (model nvarchar(MAX) '$.model', idle_seconds nvarchar(MAX) '$.idle_seconds') AS e
        WHERE
            NULLIF(LTRIM(RTRIM(e.model)), N'') IS NULL
            OR LEN(LTRIM(RTRIM(e.model))) > 200
            OR (e.idle_seconds IS NOT NULL AND TRY_CAST(e.idle_seconds AS float) IS NULL);
        IF @unread > 0
            THROW 51043, N'HC043: models_json is malformed: an element has no model', 1;
        INSERT INTO @served (model, served_utc)
        SELECT
            LTRIM(RTRIM(e.model)) COLLATE Latin1_General_100_BIN2,
            DATEADD(
                MILLISECOND,
                -CAST(MIN(CASE
                    WHEN TRY_CAST(e.idle_seconds AS float) > 1000000 THEN 1000000
                    ELSE TRY_CAST(e.idle_seconds AS float)
                END) * 1000 AS int),
                @now
            )
        FROM OPENJSON(@models_json)
        WITH (model nvarchar(MAX) '$.model', idle_seconds nvarchar(MAX) '$.idle_seconds') AS e
        GROUP BY LTRIM(RTRIM(e.model)) COLLATE Latin1_General_100_BIN2;
        IF NOT EXISTS (SELECT 1 FROM @served AS s WHERE s.model = N'*')
            SET @serves_any = 0;
    END;

    -- One look at the head of ix_job_due. READPAST needs READCOMMITTEDLOCK where rows are versioned. Promoting commits
    -- for itself, so that its rows are free when the claim, this one or another, looks for them.
    IF EXISTS (
        SELECT 1
        FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_due))
        WHERE
            j.status = N'SCHEDULED'
            AND j.available_utc <= @now
    )
        EXEC llm.promote_due_jobs @max_rows = 500, @promoted = @promoted OUTPUT;

    BEGIN TRANSACTION;

    -- In the order of model_seq, as usp_set_model does; and held to the commit, so that it waits for this claim.
    INSERT INTO @blocked (model)
    SELECT m.model
    FROM llm.model AS m WITH (HOLDLOCK, INDEX (ux_model_seq))
    WHERE m.paused_utc IS NOT NULL;
    INSERT INTO @limited (model, max_running, max_starts, running, starts)
    SELECT
        m.model,
        m.max_running,
        m.max_starts_per_minute,
        0,
        0
    FROM llm.model AS m WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_model_seq))
    WHERE m.max_running IS NOT NULL OR m.max_starts_per_minute IS NOT NULL;
    IF EXISTS (SELECT 1 FROM @limited)
    BEGIN
        SET @now = SYSUTCDATETIME();
        DELETE FROM llm.model_start WITH (ROWLOCK) WHERE started_utc <= DATEADD(MINUTE, -1, @now);
        -- Not READPAST: a run that is just ending counts until it has ended.
        UPDATE l
        SET
            running = (
                SELECT COUNT(*)
                FROM llm.job AS j WITH (INDEX (ix_job_running))
                LEFT OUTER JOIN llm.run AS r
                    ON
                        j.current_run_id = r.run_id
                        AND j.model_hint IS NULL
                WHERE
                    j.status = N'RUNNING'
                    AND COALESCE(j.model_hint, r.model_name) = l.model
            ),
            starts = (
                SELECT COUNT(*)
                FROM llm.model_start AS s
                WHERE
                    s.model = l.model
                    AND s.started_utc > DATEADD(MINUTE, -1, @now)
            )
        FROM @limited AS l;
        INSERT INTO @blocked (model)
        SELECT l.model
        FROM @limited AS l
        WHERE
            (l.running >= l.max_running OR l.starts >= l.max_starts)
            AND NOT EXISTS (SELECT 1 FROM @blocked AS b WHERE b.model = l.model);
    END;
    IF @stay IS NULL OR (@serving IS NULL AND @models_json IS NULL)
        SET @is_strict = 1;
    IF @asked_model IS NOT NULL OR @is_strict = 0 OR @serves_any = 0
        OR EXISTS (SELECT 1 FROM @limited) OR EXISTS (SELECT 1 FROM @blocked)
        SET @is_by_model = 1;

    -- The index is named and its order is the ORDER BY: a sort would lock every ready row, and the other workers would
    -- see an empty queue. job_id is not in the index, and is read on purpose: the row itself is then locked, so that
    -- claims that come by the other index pass over it. OPTIMIZE FOR one row keeps the lookup from reading, and
    -- locking, ahead of TOP. The status is a literal: a parameter is never matched to a filtered index.
    IF @is_by_model = 0
        INSERT INTO @ready (job_seq, job_id, priority, available_utc)
        SELECT TOP (@max_jobs)
            j.job_seq,
            j.job_id,
            j.priority,
            j.available_utc
        FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ix_job_claimable))
        WHERE
            j.status = N'NEW'
            AND j.paused_utc IS NULL
            AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
        ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
        OPTION (OPTIMIZE FOR (@max_jobs = 1));

    WHILE @is_by_model = 1
    BEGIN
        SET @chosen = NULL;
        IF @asked_model IS NOT NULL
        BEGIN
            -- One model alone: whatever the priority, its best jobs are the best. Once: nothing else is to be tried.
            IF EXISTS (SELECT 1 FROM @blocked AS b WHERE b.model = @asked_model) OR EXISTS (SELECT 1 FROM @tried)
                BREAK;
            SET @chosen = LEFT(@asked_model, 200);
        END;
        ELSE IF @priority IS NULL
        BEGIN
            -- Walk the models of each priority down to the first allowed one, by one read each: usually the first.
            SET @looks = 0;
            WHILE 1 = 1
            BEGIN
                SET @hint = NULL;
                IF @place_model <> N''
                    SELECT TOP (1) @hint = j.model_hint
                    FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable_priority))
                    WHERE
                        j.status = N'NEW'
                        AND j.paused_utc IS NULL
                        AND j.priority = @place
                        AND j.model_hint < @place_model
                        AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
                    ORDER BY j.priority DESC, j.model_hint DESC;
                -- Those without a model come last.
                IF @place_model <> N'' AND @hint IS NULL
                    SELECT TOP (1) @hint = COALESCE(j.model_hint, N'')
                    FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable_priority))
                    WHERE
                        j.status = N'NEW'
                        AND j.paused_utc IS NULL
                        AND j.priority = @place
                        AND j.model_hint IS NULL
                        AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
                    ORDER BY j.priority DESC, j.model_hint DESC;
                SET @place_model = @hint;
                IF @hint IS NULL
                BEGIN
                    SET @next = NULL;
                    SELECT TOP (1)
                        @next = j.priority,
                        @place_model = COALESCE(j.model_hint, N'')
                    FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable_priority))
                    WHERE
                        j.status = N'NEW'
                        AND j.paused_utc IS NULL
                        AND j.priority < @below
                        AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
                    ORDER BY j.priority DESC, j.model_hint DESC;
                    IF @next IS NULL
                        BREAK;
                    SET @place = @next;
                    SET @below = @next;
                END;
                SET @hint = COALESCE(NULLIF(@place_model, N''), LEFT(@default, 200), N'');
                IF NOT EXISTS (SELECT 1 FROM @blocked AS b WHERE b.model = @hint)
                    AND (@serves_any = 1 OR EXISTS (SELECT 1 FROM @served AS s WHERE s.model = @hint))
                BEGIN
                    SET @priority = @place;
                    BREAK;
                END;
                SET @looks = @looks + 1;
                IF @looks >= 8 AND @serves_any = 0
                BEGIN
                    -- Many models that this server lacks: one read for each that it has is cheaper.
                    SELECT @priority = MAX(head.priority)
                    FROM @served AS s
                    CROSS APPLY (
                        SELECT TOP (1) j.priority
                        FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable_model))
                        WHERE
                            j.status = N'NEW'
                            AND j.paused_utc IS NULL
                            AND j.model_hint = s.model
                            AND j.priority <= @place
                            AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
                        ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
                    ) AS head
                    WHERE NOT EXISTS (SELECT 1 FROM @blocked AS b WHERE b.model = s.model);
                    IF
                        EXISTS (SELECT 1 FROM @served AS s WHERE s.model = COALESCE(@default, N''))
                        AND NOT EXISTS (SELECT 1 FROM @blocked AS b WHERE b.model = COALESCE(@default, N''))
                    BEGIN
                        SET @next = NULL;
                        SELECT TOP (1) @next = j.priority
                        FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable_model))
                        WHERE
                            j.status = N'NEW'
                            AND j.paused_utc IS NULL
                            AND j.model_hint IS NULL
                            AND j.priority <= @place
                            AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
                        ORDER BY j.model_hint ASC, j.priority DESC, j.available_utc ASC, j.job_seq ASC;
                        IF @next > COALESCE(@priority, -1)
                            SET @priority = @next;
                    END;
                    BREAK;
                END;
            END;
            IF @priority IS NULL
                BREAK;
            SET @place_model = N'';
            SET @below = @priority;
            DELETE FROM @tried;

            IF @is_strict = 1 AND NOT EXISTS (SELECT 1 FROM @limited)
            BEGIN
                -- The best of this priority, except those of models that are not allowed.
                INSERT INTO @ready (job_seq, job_id, priority, available_utc, model_hint)
                SELECT TOP (@max_jobs)
                    j.job_seq,
                    j.job_id,
                    j.priority,
                    j.available_utc,
                    COALESCE(j.model_hint, LEFT(@default, 200), N'')
                FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ix_job_claimable))
                WHERE
                    j.status = N'NEW'
                    AND j.paused_utc IS NULL
                    AND j.priority = @priority
                    AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
                ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
                OPTION (OPTIMIZE FOR (@max_jobs = 1));
                DELETE FROM @ready
                WHERE
                    model_hint IN (SELECT b.model FROM @blocked AS b)
                    OR (@serves_any = 0 AND model_hint NOT IN (SELECT s.model FROM @served AS s));
                IF EXISTS (SELECT 1 FROM @ready)
                    BREAK;
            END;
            ELSE IF @is_strict = 0
                AND @stay = 1
                AND NOT EXISTS (SELECT 1 FROM @blocked AS b WHERE b.model = @serving)
                AND (@serves_any = 1 OR EXISTS (SELECT 1 FROM @served AS s WHERE s.model = @serving))
                -- Jobs of the served model at the best priority are claimed without choosing.
                SET @chosen = LEFT(@serving, 200);
        END;

        IF @chosen IS NULL
        BEGIN
            DELETE FROM @candidate;
            DELETE FROM @heads;
            IF @serves_any = 1
            BEGIN
                -- Each model with ready jobs at this priority, by one read for the next.
                INSERT INTO @candidate (model) VALUES (COALESCE(LEFT(@default, 200), N''));
                SET @hint = N'';
                WHILE @hint IS NOT NULL
                BEGIN
                    IF @hint <> N'' AND NOT EXISTS (SELECT 1 FROM @candidate AS c WHERE c.model = @hint)
                        INSERT INTO @candidate (model) VALUES (@hint);
                    SET @chosen = NULL;
                    SELECT TOP (1) @chosen = j.model_hint
                    FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable_priority))
                    WHERE
                        j.status = N'NEW'
                        AND j.paused_utc IS NULL
                        AND j.priority = @priority
                        AND j.model_hint > @hint
                    ORDER BY j.priority ASC, j.model_hint ASC;
                    SET @hint = @chosen;
                END;
            END;
            ELSE
                INSERT INTO @candidate (model)
                SELECT s.model
                FROM @served AS s;

            DELETE FROM @candidate WHERE model IN (SELECT b.model FROM @blocked AS b);
            DELETE FROM @candidate WHERE model IN (SELECT t.model FROM @tried AS t);
            INSERT INTO @heads (model, available_utc, job_seq)
            SELECT
                c.model,
                head.available_utc,
                head.job_seq
            FROM @candidate AS c
            CROSS APPLY (
                SELECT TOP (1)
                    j.available_utc,
                    j.job_seq
                FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable_model))
                WHERE
                    j.status = N'NEW'
                    AND j.paused_utc IS NULL
                    AND j.model_hint = c.model
                    AND j.priority = @priority
                    AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
                ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
            ) AS head;
            INSERT INTO @heads (model, available_utc, job_seq)
            SELECT
                c.model,
                head.available_utc,
                head.job_seq
            FROM @candidate AS c
            CROSS APPLY (
                SELECT TOP (1)
                    j.available_utc,
                    j.job_seq
                FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable_model))
                WHERE
                    j.status = N'NEW'
                    AND j.paused_utc IS NULL
                    AND j.model_hint IS NULL
                    AND c.model = COALESCE(@default, N'')
                    AND j.priority = @priority
                    AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
                ORDER BY j.model_hint ASC, j.priority DESC, j.available_utc ASC, j.job_seq ASC
            ) AS head;

            SET @chosen = NULL;
            WITH busy AS (
                SELECT
                    COALESCE(j.model_hint, r.model_name) AS model,
                    COUNT(*) AS runs
                FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_running))
                LEFT OUTER JOIN llm.run AS r WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK)
                    ON
                        j.current_run_id = r.run_id
                        AND j.model_hint IS NULL
                WHERE
                    j.status = N'RUNNING'
                    AND @is_strict = 0
                GROUP BY COALESCE(j.model_hint, r.model_name)
            )

            SELECT TOP (1) @chosen = h.model
            FROM @heads AS h
            LEFT OUTER JOIN busy AS b
                ON h.model = b.model
            LEFT OUTER JOIN @served AS s
                ON
                    h.model = s.model
                    AND @is_strict = 0
            ORDER BY
                CASE
                    WHEN @is_strict = 1 OR @serving IS NULL OR h.model <> @serving THEN 1
                    WHEN @stay = 1 THEN 0
                    ELSE 2
                END,
                COALESCE(b.runs, 0),
                CASE WHEN s.served_utc > h.available_utc THEN s.served_utc ELSE h.available_utc END,
                h.job_seq;
            IF @chosen IS NULL
            BEGIN
                -- All of this priority are locked by others: try the next one.
                SET @priority = NULL;
                CONTINUE;
            END;
        END;

        SET @floor = COALESCE(@priority, 0);
        SET @ceiling = COALESCE(@priority, 2147483647);
        -- In strict order the next job may be another model's.
        SET @rows = CASE WHEN @is_strict = 1 AND @asked_model IS NULL THEN 1 ELSE @max_jobs END;
        SELECT @rows = l.max_running - l.running
        FROM @limited AS l
        WHERE
            l.model = @chosen
            AND l.max_running - l.running < @rows;
        SELECT @rows = l.max_starts - l.starts
        FROM @limited AS l
        WHERE
            l.model = @chosen
            AND l.max_starts - l.starts < @rows;

        INSERT INTO @ready (job_seq, job_id, priority, available_utc)
        SELECT TOP (@rows)
            j.job_seq,
            j.job_id,
            j.priority,
            j.available_utc
        FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ix_job_claimable_model))
        WHERE
            j.status = N'NEW'
            AND j.paused_utc IS NULL
            AND j.model_hint = @chosen
            AND j.priority BETWEEN @floor AND @ceiling
            AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
        ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
        OPTION (OPTIMIZE FOR (@rows = 1));

        IF @chosen = COALESCE(@default, N'')
            INSERT INTO @ready (job_seq, job_id, priority, available_utc)
            SELECT TOP (@rows)
                j.job_seq,
                j.job_id,
                j.priority,
                j.available_utc
            FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ix_job_claimable_model))
            WHERE
                j.status = N'NEW'
                AND j.paused_utc IS NULL
                AND j.model_hint IS NULL
                AND j.priority BETWEEN @floor AND @ceiling
                AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
            ORDER BY j.model_hint ASC, j.priority DESC, j.available_utc ASC, j.job_seq ASC
            OPTION (OPTIMIZE FOR (@rows = 1));

        IF EXISTS (SELECT 1 FROM @ready)
            BREAK;
        -- All of them are locked by others: try the next model.
        INSERT INTO @tried (model) VALUES (@chosen);
    END;

    -- The two ranges merged; what was picked too much is left as it is, and free again at the commit.
    INSERT INTO @picked (job_seq, run_id)
    SELECT TOP (@rows)
        r.job_seq,
        NEWID()
    FROM @ready AS r
    ORDER BY r.priority DESC, r.available_utc ASC, r.job_seq ASC;

    SET @now = SYSUTCDATETIME();
    SET @lease_expires_utc = DATEADD(SECOND, @lease_seconds, @now);

    -- The status is asked again: where lock hints mean nothing, this is what lets one claim only have the job.
    UPDATE j
    SET
        status = N'RUNNING',
        attempt_count = j.attempt_count + 1,
        locked_by = @worker,
        locked_utc = @now,
        lease_expires_utc = @lease_expires_utc,
        current_run_id = p.run_id
    OUTPUT
        inserted.job_seq,
        inserted.job_id,
        inserted.current_run_id,
        inserted.attempt_count,
        inserted.max_attempts,
        inserted.priority,
        inserted.available_utc,
        inserted.interrogation_key,
        inserted.input_json,
        inserted.evidence_ref_json,
        inserted.halved_ref_json,
        inserted.model_hint,
        inserted.repeats_run_id,
        inserted.parent_job_id,
        inserted.part_no,
        inserted.part_count
    INTO @claimed (
        job_seq, job_id, run_id, attempt_count, max_attempts, priority, available_utc, interrogation_key, input_json,
        evidence_ref_json, halved_ref_json, model_hint, repeats_run_id, parent_job_id, part_no, part_count
    )
    FROM @picked AS p, llm.job AS j WITH (ROWLOCK)
    WHERE
        p.job_seq = j.job_seq
        AND j.status = N'NEW'
        AND j.paused_utc IS NULL
    -- The few rows drive and the table is sought, so that no plan reads, and waits for, other rows.
    OPTION (LOOP JOIN, FORCE ORDER);

    -- Runs are added under their job's lock only, so the last attempt cannot change in between. The index is named,
    -- because a small table would be read from end to end instead, and the runs that other claims just add waited for.
    INSERT INTO @numbered (
        job_seq, attempt, previous_run_id, previous_error_kind, previous_error, previous_options_json, num_ctx,
        num_predict
    )
    SELECT
        c.job_seq,
        COALESCE(previous.attempt, 0) + 1,
        previous.run_id,
        previous.error_kind,
        previous.error,
        previous.options_json,
        m.num_ctx,
        m.num_predict
    FROM @claimed AS c
    LEFT OUTER JOIN llm.model AS m
        ON m.model = COALESCE(c.model_hint, LEFT(@default, 200)) COLLATE Latin1_General_100_BIN2
    OUTER APPLY (
        SELECT TOP (1)
            r.attempt,
            r.run_id,
            r.error_kind,
            r.error,
            r.options_json
        FROM llm.run AS r WITH (INDEX (ux_run_job_attempt))
        WHERE r.job_id = c.job_id
        ORDER BY r.attempt DESC
    ) AS previous;

    INSERT INTO llm.run (run_id, job_id, attempt, started_utc, lease_until_utc, status, worker_id, model_name)
    SELECT
        c.run_id,
        c.job_id,
        n.attempt,
        @now,
        @lease_expires_utc,
        N'RUNNING',
        @worker,
        COALESCE(c.model_hint, LEFT(@default, 200))
    FROM @claimed AS c
    INNER JOIN @numbered AS n
        ON c.job_seq = n.job_seq
    ORDER BY c.priority DESC, c.available_utc ASC, c.job_seq ASC;

    INSERT INTO llm.model_start (model, started_utc)
    SELECT
        l.model,
        @now
    FROM @claimed AS c
    INNER JOIN @limited AS l
        ON l.model = COALESCE(c.model_hint, LEFT(@default, 200)) COLLATE Latin1_General_100_BIN2
    WHERE l.max_starts IS NOT NULL;

    INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json)
    SELECT
        c.job_id,
        c.run_id,
        @now,
        N'claimed',
        N'NEW',
        N'RUNNING',
        @worker,
        CONCAT(N'{"attempt": ', n.attempt, N'}')
    FROM @claimed AS c
    INNER JOIN @numbered AS n
        ON c.job_seq = n.job_seq
    ORDER BY c.priority DESC, c.available_utc ASC, c.job_seq ASC;

    COMMIT TRANSACTION;

    -- After the commit, so that a claim that did not happen is never answered.
    SELECT
        c.job_id,
        c.run_id,
        n.attempt,
        c.attempt_count,
        c.max_attempts,
        c.priority,
        c.interrogation_key,
        c.input_json,
        COALESCE(c.halved_ref_json, c.evidence_ref_json) AS evidence_ref_json,
        c.model_hint,
        c.repeats_run_id,
        @lease_expires_utc AS lease_expires_utc,
        n.previous_run_id,
        n.previous_error_kind,
        n.previous_error,
        n.previous_options_json,
        n.num_ctx,
        n.num_predict,
        c.parent_job_id,
        c.part_no,
        c.part_count
    FROM @claimed AS c
    INNER JOIN @numbered AS n
        ON c.job_seq = n.job_seq
    ORDER BY c.priority DESC, c.available_utc ASC, c.job_seq ASC;
END;
GO

GRANT EXECUTE ON llm.usp_claim_next_job TO llm_worker;
GO
