SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.count_batch: counts a batch's jobs by state, and keeps its pace. Not for callers.
-- Promises: what is counted and what it replaces are seen in one moment: a purge locks the batch's row before it takes
--   jobs away. A sample of the pace is kept at most every 10 seconds, or every hundredth of the batch's age, whichever
--   is longer: some hundreds, however long it takes.
-- Called by: usp_sweep_batches.
-- Locks: the batch's row is held by the caller, and so is the transaction. Jobs are read in their index.
CREATE OR ALTER PROCEDURE llm.count_batch
    @batch_id uniqueidentifier,
    @is_last bit
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @begun_utc datetime2(6) = SYSUTCDATETIME();
    DECLARE @now datetime2(6);
    DECLARE @last_utc datetime2(6);
    DECLARE @age_seconds bigint;
    DECLARE @counted TABLE (
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        jobs bigint NOT NULL
    );

    INSERT INTO @counted (status, error_kind, jobs)
    SELECT
        j.status,
        COALESCE(j.error_kind, N''),
        COUNT_BIG(*)
    FROM llm.job AS j WITH (INDEX (ix_job_batch_member))
    WHERE
        j.batch_id = @batch_id
        AND j.batch_id IS NOT NULL
        AND j.parent_job_id IS NULL
    GROUP BY j.status, COALESCE(j.error_kind, N'');

    DELETE FROM llm.batch_count
    WHERE
        batch_id = @batch_id
        AND is_purged = 0;

    INSERT INTO llm.batch_count (batch_id, status, error_kind, is_purged, jobs)
    SELECT
        @batch_id,
        c.status,
        c.error_kind,
        0,
        c.jobs
    FROM @counted AS c;

    SET @now = SYSUTCDATETIME();
    UPDATE llm.batch
    SET
        counted_utc = @now,
        count_ms = DATEDIFF(MILLISECOND, @begun_utc, @now)
    WHERE batch_id = @batch_id;

    SELECT TOP (1) @last_utc = p.at_utc
    FROM llm.batch_progress AS p
    WHERE p.batch_id = @batch_id
    ORDER BY p.progress_seq DESC;
    SELECT @age_seconds = DATEDIFF_BIG(SECOND, b.created_utc, @now)
    FROM llm.batch AS b
    WHERE b.batch_id = @batch_id;

    IF @last_utc IS NULL
        OR @is_last = 1
        OR (
            DATEDIFF_BIG(SECOND, @last_utc, @now) >= 10
            AND DATEDIFF_BIG(SECOND, @last_utc, @now) >= @age_seconds / 100
        )
        INSERT INTO llm.batch_progress (batch_id, at_utc, ended_jobs, spent_tokens, spent_model_ms)
        SELECT
            b.batch_id,
            @now,
            COALESCE((
                SELECT SUM(c.jobs)
                FROM llm.batch_count AS c
                WHERE
                    c.batch_id = b.batch_id
                    AND c.status IN (N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED')
            ), 0),
            b.spent_tokens,
            b.spent_model_ms
        FROM llm.batch AS b
        WHERE b.batch_id = @batch_id;
END;
GO

-- llm.continue_batch: queues what is to follow a batch that has ended. Not for callers.
-- Promises: what is queued, the mark that it is, and the event stand or fall together. What can never be queued is told
--   in the event and not tried again; after any other error the next sweep tries again. is_continued 0: somebody else
--   is at it, or it has to be tried again.
-- Called by: usp_sweep_batches, outside its transaction: an error undoes a transaction as a whole.
-- Locks: the batch's row (READPAST: whoever holds it is at it), the name of the next one as in usp_open_batch, then
--   those of usp_enqueue_jobs.
CREATE OR ALTER PROCEDURE llm.continue_batch
    @batch_id uniqueidentifier,
    @actor nvarchar(200),
    @is_continued bit OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @next nvarchar(MAX);
    DECLARE @who nvarchar(200);
    DECLARE @because nvarchar(200) = CONCAT(N'follows batch ', LOWER(CAST(@batch_id AS nvarchar(36))));
    DECLARE @title nvarchar(4000);
    DECLARE @jobs nvarchar(MAX);
    DECLARE @job_count int;
    DECLARE @next_id uniqueidentifier;
    DECLARE @detail nvarchar(MAX);

    SET @is_continued = 0;

    BEGIN TRY
        BEGIN TRANSACTION;

        SELECT
            @next = b.on_finish_json,
            @who = b.created_by
        FROM llm.batch AS b WITH (UPDLOCK, READPAST, ROWLOCK)
        WHERE
            b.batch_id = @batch_id
            AND b.finished_utc IS NOT NULL
            AND b.continued_utc IS NULL;

        IF @next IS NOT NULL
        BEGIN
            SET @title = LTRIM(RTRIM(JSON_VALUE(@next, '$.name')));
            SET @jobs = JSON_QUERY(@next, '$.jobs');
            SELECT @job_count = COUNT(*)
            FROM OPENJSON(@jobs);

            IF @title IS NOT NULL
            BEGIN
                IF LEN(@title) NOT BETWEEN 1 AND 200
                    THROW 51048, N'HC048: the name of the next batch is blank or longer than 200 characters', 1;
                SELECT @next_id = b.batch_id
                FROM llm.batch AS b WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_batch_open_name))
                WHERE
                    b.name = @title
                    AND b.finished_utc IS NULL;
                IF @next_id IS NULL
                BEGIN
                    SET @next_id = NEWID();
                    INSERT INTO llm.batch (
                        batch_id, name, created_utc, created_by, previous_batch_id, budget_tokens, budget_model_seconds,
                        on_finish_json
                    )
                    VALUES (
                        @next_id, @title, SYSUTCDATETIME(), @who, @batch_id,
                        TRY_CAST(JSON_VALUE(@next, '$.budget_tokens') AS bigint),
                        TRY_CAST(JSON_VALUE(@next, '$.budget_model_seconds') AS bigint),
                        JSON_QUERY(@next, '$.on_finish')
                    );
                    INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason)
                    VALUES (@next_id, SYSUTCDATETIME(), N'batch_created', @who, @because);
                END;
            END;

            EXEC llm.usp_enqueue_jobs
                @jobs_json = @jobs,
                @actor = @who,
                @reason = @because,
                @batch_id = @next_id,
                @with_answer = 0;

            UPDATE llm.batch
            SET
                previous_batch_id = COALESCE(previous_batch_id, @batch_id),
                filled_utc = COALESCE(filled_utc, SYSUTCDATETIME())
            WHERE batch_id = @next_id;

            UPDATE llm.batch
            SET continued_utc = SYSUTCDATETIME()
            WHERE batch_id = @batch_id;

            INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, detail_json)
            VALUES (
                @batch_id, SYSUTCDATETIME(), N'batch_continued', @actor,
                CONCAT(
                    N'{"batch_id": ',
                    COALESCE(CONCAT(N'"', LOWER(CAST(@next_id AS nvarchar(36))), N'"'), N'null'),
                    N', "jobs": ', @job_count, N'}'
                )
            );
            SET @is_continued = 1;
        END;

        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        SET @is_continued = 0;
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        -- Our own errors, and values that do not convert, stay as they are: they are told, once.
        IF ERROR_NUMBER() / 1000 = 51 OR ERROR_NUMBER() IN (245, 547, 8114)
        BEGIN
            SET @detail = CONCAT(N'{"error": "', STRING_ESCAPE(ERROR_MESSAGE(), 'json'), N'"}');

            BEGIN TRANSACTION;
            UPDATE llm.batch
            SET continued_utc = SYSUTCDATETIME()
            WHERE
                batch_id = @batch_id
                AND continued_utc IS NULL;
            IF @@ROWCOUNT = 1
            BEGIN
                SET @is_continued = 1;
                INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, detail_json)
                VALUES (@batch_id, SYSUTCDATETIME(), N'batch_continued', @actor, @detail);
            END;
            COMMIT TRANSACTION;
        END;
    END CATCH;
END;
GO

-- llm.usp_sweep_batches: ends each batch that is filled and has no unfinished job, queues what is to follow it, pauses
--   those whose budget is spent, and keeps the counts that pages show.
-- Promises: an end is counted once, by one event batch_finished, with what follows it queued once: the row says so in
--   the same transaction. A job that is requeued or purged later changes the counts, not the end. Answers what
--   happened: batch_finished, batch_paused, batch_continued; marking: a pause or resume has not reached all jobs, and
--   somebody has to go on with usp_mark_batch_jobs. One sweep at a time: a second one answers no rows.
-- Cost: one look at an index while no batch is open. An open batch costs one look for an unfinished job, however many
--   it has; its jobs are counted only now and then, so that counting takes a twentieth of the time at most. What was
--   spent comes with the roll-up of hours, which sees every run's end once, and so does a budget's end.
-- Called by: every worker (at least every 2 s), schedules.
-- Locks: the sweep's own lock (sp_getapplock), not waited for; batches in batch_seq order, READPAST: who holds one is
--   just queueing into it, or changing it, and the next sweep comes soon. No jobs: whoever makes one unfinished holds
--   the batch, so what is read under its lock is the truth. Of two in a deadlock this one gives way.
CREATE OR ALTER PROCEDURE llm.usp_sweep_batches
    @max_batches int = 100,
    @actor nvarchar(4000) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET DEADLOCK_PRIORITY LOW;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = COALESCE(NULLIF(LTRIM(RTRIM(@actor)), N''), N'sweep');
    DECLARE @granted int = -1;
    DECLARE @now datetime2(6) = SYSUTCDATETIME();
    DECLARE @seq bigint;
    DECLARE @batch_id uniqueidentifier;
    DECLARE @is_locked bit;
    DECLARE @is_open bit;
    DECLARE @is_watched bit;
    DECLARE @is_continued bit;
    DECLARE @filled_utc datetime2(6);
    DECLARE @finished_utc datetime2(6);
    DECLARE @paused_utc datetime2(6);
    DECLARE @counted_utc datetime2(6);
    DECLARE @continued_utc datetime2(6);
    DECLARE @has_next bit;
    DECLARE @count_ms int;
    DECLARE @budget_tokens bigint;
    DECLARE @budget_model_seconds bigint;
    DECLARE @spent_tokens bigint;
    DECLARE @spent_model_ms bigint;
    DECLARE @tokens bigint;
    DECLARE @model_ms bigint;
    DECLARE @why nvarchar(400);
    DECLARE @detail nvarchar(MAX);
    DECLARE @due TABLE (
        batch_seq bigint NOT NULL PRIMARY KEY,
        batch_id uniqueidentifier NOT NULL,
        is_to_continue bit NOT NULL
    );
    DECLARE @spend TABLE (spend_seq bigint NOT NULL PRIMARY KEY, tokens bigint NOT NULL, model_ms bigint NOT NULL);
    DECLARE @answer TABLE (
        place int IDENTITY (1, 1) NOT NULL PRIMARY KEY,
        batch_id uniqueidentifier NOT NULL,
        event nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );

    IF @max_batches IS NULL OR @max_batches NOT BETWEEN 1 AND 500
        THROW 51003, N'HC003: max_batches is not between 1 and 500', 1;
    IF LEN(@who) > 200
        THROW 51014, N'HC014: actor is longer than 200 characters', 1;

    BEGIN TRANSACTION;

    IF EXISTS (SELECT 1 FROM llm.batch AS b WITH (NOLOCK, INDEX (ix_batch_watched)) WHERE b.is_watched = 1)
        OR EXISTS (SELECT 1 FROM llm.batch_spend WITH (NOLOCK))
        EXEC @granted = sp_getapplock
            @Resource = N'llm.usp_sweep_batches',
            @LockMode = N'Exclusive',
            @LockOwner = N'Transaction',
            @LockTimeout = 0;

    IF @granted >= 0
    BEGIN
        -- Those that may end come first, then those that were counted longest ago.
        INSERT INTO @due (batch_seq, batch_id, is_to_continue)
        SELECT
            chosen.batch_seq,
            chosen.batch_id,
            0
        FROM (
            SELECT TOP (@max_batches)
                d.batch_seq,
                d.batch_id
            FROM (
                SELECT
                    b.batch_seq,
                    b.batch_id,
                    b.counted_utc,
                    CASE
                        WHEN b.filled_utc IS NULL AND b.finished_utc IS NULL THEN 0
                        WHEN
                            EXISTS (
                                SELECT 1
                                FROM llm.job AS j WITH (INDEX (ix_job_batch_open))
                                WHERE
                                    j.batch_id = b.batch_id
                                    AND j.batch_id IS NOT NULL
                                    AND j.finished_utc IS NULL
                            )
                            THEN 0
                        ELSE 1
                    END AS is_over,
                    CASE
                        WHEN b.counted_utc IS NULL THEN 1
                        WHEN
                            DATEDIFF_BIG(MILLISECOND, b.counted_utc, @now) >= 1000
                            AND DATEDIFF_BIG(MILLISECOND, b.counted_utc, @now) >= CAST(b.count_ms AS bigint) * 20
                            THEN 1
                        ELSE 0
                    END AS is_to_count,
                    CASE
                        WHEN EXISTS (SELECT 1 FROM llm.batch_spend AS s WHERE s.batch_id = b.batch_id) THEN 1
                        ELSE 0
                    END AS has_spent
                FROM llm.batch AS b WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK)
                WHERE
                    b.is_watched = 1
                    OR b.batch_id IN (SELECT s.batch_id FROM llm.batch_spend AS s)
            ) AS d
            WHERE d.is_over = 1 OR d.is_to_count = 1 OR d.has_spent = 1
            ORDER BY d.is_over DESC, d.counted_utc ASC, d.batch_seq ASC
        ) AS chosen;

        SELECT @seq = MIN(d.batch_seq)
        FROM @due AS d;
    END;

    WHILE @seq IS NOT NULL
    BEGIN
        SET @is_locked = 0;
        SET @is_open = 0;
        SELECT
            @is_locked = 1,
            @batch_id = b.batch_id,
            @is_watched = b.is_watched,
            @filled_utc = b.filled_utc,
            @finished_utc = b.finished_utc,
            @paused_utc = b.paused_utc,
            @counted_utc = b.counted_utc,
            @continued_utc = b.continued_utc,
            @has_next = CASE WHEN b.on_finish_json IS NULL THEN 0 ELSE 1 END,
            @count_ms = b.count_ms,
            @budget_tokens = b.budget_tokens,
            @budget_model_seconds = b.budget_model_seconds,
            @spent_tokens = b.spent_tokens,
            @spent_model_ms = b.spent_model_ms
        FROM llm.batch AS b WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ux_batch_seq))
        WHERE b.batch_seq = @seq;

        IF @is_locked = 1
        BEGIN
            -- Under the lock nobody makes a job of it unfinished: what this statement does not find is not there.
            IF EXISTS (
                SELECT 1
                FROM llm.job AS j WITH (READCOMMITTEDLOCK, INDEX (ix_job_batch_open))
                WHERE
                    j.batch_id = @batch_id
                    AND j.batch_id IS NOT NULL
                    AND j.finished_utc IS NULL
            )
                SET @is_open = 1;

            DELETE FROM @spend;
            INSERT INTO @spend (spend_seq, tokens, model_ms)
            SELECT
                s.spend_seq,
                s.tokens,
                s.model_ms
            FROM llm.batch_spend AS s WITH (UPDLOCK, READPAST, ROWLOCK)
            WHERE s.batch_id = @batch_id;
            DELETE s
            FROM @spend AS x
            INNER JOIN llm.batch_spend AS s WITH (ROWLOCK, INDEX (pk_batch_spend))
                ON x.spend_seq = s.spend_seq
            OPTION (LOOP JOIN, FORCE ORDER);
            SELECT
                @tokens = COALESCE(SUM(s.tokens), 0),
                @model_ms = COALESCE(SUM(s.model_ms), 0)
            FROM @spend AS s;
            SET @spent_tokens = @spent_tokens + @tokens;
            SET @spent_model_ms = @spent_model_ms + @model_ms;
            IF @tokens > 0 OR @model_ms > 0
                UPDATE llm.batch
                SET
                    spent_tokens = @spent_tokens,
                    spent_model_ms = @spent_model_ms
                WHERE batch_seq = @seq;

            SET @now = SYSUTCDATETIME();
            IF @is_open = 0 AND @filled_utc IS NOT NULL AND @finished_utc IS NULL
            BEGIN
                EXEC llm.count_batch @batch_id = @batch_id, @is_last = 1;
                SET @finished_utc = @now;
                UPDATE llm.batch
                SET
                    finished_utc = @now,
                    marked_job_seq = NULL,
                    is_watched = @has_next
                WHERE batch_seq = @seq;

                SELECT @detail = STRING_AGG(CONCAT(N'"', c.status, N'": ', c.jobs), N', ')
                FROM (
                    SELECT
                        t.status,
                        SUM(t.jobs) AS jobs
                    FROM llm.batch_count AS t
                    WHERE t.batch_id = @batch_id
                    GROUP BY t.status
                ) AS c;
                INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, detail_json)
                VALUES (@batch_id, @now, N'batch_finished', @who, CONCAT(N'{', @detail, N'}'));
                INSERT INTO @answer (batch_id, event) VALUES (@batch_id, N'batch_finished');
            END;
            ELSE IF @is_open = 0 AND @finished_utc IS NOT NULL AND @is_watched = 1
            BEGIN
                EXEC llm.count_batch @batch_id = @batch_id, @is_last = 1;
                UPDATE llm.batch
                SET is_watched = CASE WHEN @has_next = 1 AND @continued_utc IS NULL THEN 1 ELSE 0 END
                WHERE batch_seq = @seq;
            END;
            ELSE IF @is_watched = 1
                AND (
                    @counted_utc IS NULL
                    OR (
                        DATEDIFF_BIG(MILLISECOND, @counted_utc, @now) >= 1000
                        AND DATEDIFF_BIG(MILLISECOND, @counted_utc, @now) >= CAST(@count_ms AS bigint) * 20
                    )
                )
                EXEC llm.count_batch @batch_id = @batch_id, @is_last = 0;

            SET @why = CASE
                WHEN @spent_tokens >= @budget_tokens
                    THEN CONCAT(N'the budget of ', @budget_tokens, N' tokens is spent')
                WHEN @spent_model_ms >= @budget_model_seconds * 1000
                    THEN CONCAT(N'the budget of ', @budget_model_seconds, N' model seconds is spent')
            END;
            IF @why IS NOT NULL AND @finished_utc IS NULL AND @paused_utc IS NULL
            BEGIN
                UPDATE llm.batch
                SET
                    paused_utc = @now,
                    paused_by = @who,
                    pause_reason = @why,
                    marked_job_seq = 0
                WHERE batch_seq = @seq;
                INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason)
                VALUES (@batch_id, @now, N'batch_paused', @who, @why);
                INSERT INTO @answer (batch_id, event) VALUES (@batch_id, N'batch_paused');
            END;

            IF @finished_utc IS NOT NULL AND @has_next = 1 AND @continued_utc IS NULL
                UPDATE @due
                SET is_to_continue = 1
                WHERE batch_seq = @seq;
        END;

        SELECT @seq = MIN(d.batch_seq)
        FROM @due AS d
        WHERE d.batch_seq > @seq;
    END;

    COMMIT TRANSACTION;

    SELECT @seq = MIN(d.batch_seq)
    FROM @due AS d
    WHERE d.is_to_continue = 1;
    WHILE @seq IS NOT NULL
    BEGIN
        SELECT @batch_id = d.batch_id
        FROM @due AS d
        WHERE d.batch_seq = @seq;
        EXEC llm.continue_batch @batch_id = @batch_id, @actor = @who, @is_continued = @is_continued OUTPUT;
        -- The next sweep sees that nothing is left to do, and looks at it no more.
        IF @is_continued = 1
            INSERT INTO @answer (batch_id, event) VALUES (@batch_id, N'batch_continued');

        SELECT @seq = MIN(d.batch_seq)
        FROM @due AS d
        WHERE
            d.is_to_continue = 1
            AND d.batch_seq > @seq;
    END;

    INSERT INTO @answer (batch_id, event)
    SELECT TOP (@max_batches)
        b.batch_id,
        N'marking'
    FROM llm.batch AS b WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_batch_watched))
    WHERE
        b.is_watched = 1
        AND b.marked_job_seq IS NOT NULL
        AND @granted >= 0
    ORDER BY b.batch_seq;

    SELECT
        a.batch_id,
        a.event
    FROM @answer AS a
    ORDER BY a.place;
END;
GO

GRANT EXECUTE ON llm.usp_sweep_batches TO llm_worker;
GRANT EXECUTE ON llm.usp_sweep_batches TO llm_operator;
GO
