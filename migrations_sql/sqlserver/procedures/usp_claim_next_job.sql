SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_claim_next_job: takes up to max_jobs ready jobs under a lease, each as a new run; promotes due jobs first.
-- Promises: a job goes to one caller; the best by priority, then the longest available, then the first queued. With a
--   model: only jobs that ask for it or for none. The cost of a claim does not grow with the jobs that wait, but for
--   those of except_interrogations_json (keys that the caller cannot work off): it passes over them one by one.
-- Called by: the worker's queue thread, between runs.
-- Locks: ready jobs (UPDLOCK, held to the commit), in the claim's order, passing over what another claim, an operator
--   or a promotion holds (READPAST): nothing is waited for. ROWLOCK, because READPAST does not pass over a page lock.
--   Then run, then job_event. Two workers of which one names a model and the other does not come by different indexes;
--   in the rare case that each has passed over a row of the other, one is the deadlock's victim, and its call is
--   repeated.
CREATE OR ALTER PROCEDURE llm.usp_claim_next_job
    @worker_id nvarchar(4000),
    @lease_seconds int = 120,
    @max_jobs int = 1,
    @model nvarchar(4000) = NULL,
    @except_interrogations_json nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @worker nvarchar(4000) = LTRIM(RTRIM(@worker_id));
    DECLARE @asked_model nvarchar(4000) = NULLIF(LTRIM(RTRIM(@model)), N'');
    DECLARE @now datetime2(6) = SYSUTCDATETIME();
    DECLARE @lease_expires_utc datetime2(6);
    DECLARE @promoted int;
    DECLARE @except nvarchar(MAX) = N'';
    DECLARE @unread int;
    DECLARE @ready TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        priority int NOT NULL,
        available_utc datetime2(6) NOT NULL
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
        model_hint nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        repeats_run_id uniqueidentifier NULL
    );
    DECLARE @numbered TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        attempt int NOT NULL,
        previous_run_id uniqueidentifier NULL,
        previous_error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        previous_error nvarchar(MAX) NULL,
        previous_options_json nvarchar(MAX) NULL
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

    -- The index is named and its order is the ORDER BY: a sort would lock every ready row, and the other workers would
    -- see an empty queue. job_id is not in the index, and is read on purpose: the row itself is then locked, so that
    -- claims that come by the other index pass over it. OPTIMIZE FOR one row keeps the lookup from reading, and
    -- locking, ahead of TOP. The status is a literal: a parameter is never matched to a filtered index.
    IF @asked_model IS NULL
        INSERT INTO @ready (job_seq, job_id, priority, available_utc)
        SELECT TOP (@max_jobs)
            j.job_seq,
            j.job_id,
            j.priority,
            j.available_utc
        FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ix_job_ready))
        WHERE
            j.status = N'NEW'
            AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
        ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
        OPTION (OPTIMIZE FOR (@max_jobs = 1));
    ELSE
    BEGIN
        INSERT INTO @ready (job_seq, job_id, priority, available_utc)
        SELECT TOP (@max_jobs)
            j.job_seq,
            j.job_id,
            j.priority,
            j.available_utc
        FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ix_job_ready_model))
        WHERE
            j.status = N'NEW'
            AND j.model_hint = @asked_model
            AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
        ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
        OPTION (OPTIMIZE FOR (@max_jobs = 1));

        INSERT INTO @ready (job_seq, job_id, priority, available_utc)
        SELECT TOP (@max_jobs)
            j.job_seq,
            j.job_id,
            j.priority,
            j.available_utc
        FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ix_job_ready_model))
        WHERE
            j.status = N'NEW'
            AND j.model_hint IS NULL
            AND CHARINDEX(CONCAT(NCHAR(31), j.interrogation_key, NCHAR(31)), @except) = 0
        ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
        OPTION (OPTIMIZE FOR (@max_jobs = 1));
    END;

    -- The two ranges merged; what was picked too much is left as it is, and free again at the commit.
    INSERT INTO @picked (job_seq, run_id)
    SELECT TOP (@max_jobs)
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
        inserted.model_hint,
        inserted.repeats_run_id
    INTO @claimed (
        job_seq, job_id, run_id, attempt_count, max_attempts, priority, available_utc, interrogation_key, input_json,
        evidence_ref_json, model_hint, repeats_run_id
    )
    FROM @picked AS p, llm.job AS j WITH (ROWLOCK)
    WHERE
        p.job_seq = j.job_seq
        AND j.status = N'NEW'
    -- The few rows drive, the table is sought: no plan may read past them, and wait, whatever the statistics say.
    OPTION (LOOP JOIN, FORCE ORDER);

    -- Runs are added under their job's lock only, so the last attempt cannot change in between. The index is named,
    -- because a small table would be read from end to end instead, and the runs that other claims just add waited for.
    INSERT INTO @numbered (
        job_seq, attempt, previous_run_id, previous_error_kind, previous_error, previous_options_json
    )
    SELECT
        c.job_seq,
        COALESCE(previous.attempt, 0) + 1,
        previous.run_id,
        previous.error_kind,
        previous.error,
        previous.options_json
    FROM @claimed AS c
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

    INSERT INTO llm.run (run_id, job_id, attempt, started_utc, lease_until_utc, status, worker_id)
    SELECT
        c.run_id,
        c.job_id,
        n.attempt,
        @now,
        @lease_expires_utc,
        N'RUNNING',
        @worker
    FROM @claimed AS c
    INNER JOIN @numbered AS n
        ON c.job_seq = n.job_seq
    ORDER BY c.priority DESC, c.available_utc ASC, c.job_seq ASC;

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
        c.evidence_ref_json,
        c.model_hint,
        c.repeats_run_id,
        @lease_expires_utc AS lease_expires_utc,
        n.previous_run_id,
        n.previous_error_kind,
        n.previous_error,
        n.previous_options_json
    FROM @claimed AS c
    INNER JOIN @numbered AS n
        ON c.job_seq = n.job_seq
    ORDER BY c.priority DESC, c.available_utc ASC, c.job_seq ASC;
END;
GO

GRANT EXECUTE ON llm.usp_claim_next_job TO llm_worker;
GO
