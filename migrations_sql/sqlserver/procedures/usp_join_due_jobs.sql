SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.mark_parts: the next step of bringing a SPLIT job's changes to its parts. Not for callers.
-- Promises: @found is how many parts it looked at; the job's marked_part_no is null when that was the last step.
-- Called by: usp_join_due_jobs, in its transaction.
-- Locks: the job is held by the caller; its parts in job_seq order (UPDLOCK), which is that of part_no.
CREATE OR ALTER PROCEDURE llm.mark_parts
    @job_seq bigint,
    @max_rows int,
    @who nvarchar(200),
    @found int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;

    DECLARE @job_id uniqueidentifier;
    DECLARE @priority int;
    DECLARE @model_hint nvarchar(200);
    DECLARE @cancel_requested_utc datetime2(6);
    DECLARE @retry_parts_utc datetime2(6);
    DECLARE @parts_available_utc datetime2(6);
    DECLARE @marked_part_no int;
    DECLARE @paused_utc datetime2(6);
    DECLARE @ready nvarchar(40);
    DECLARE @now datetime2(6);
    DECLARE @seen TABLE (job_seq bigint NOT NULL PRIMARY KEY, part_no int NOT NULL);
    DECLARE @held TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        run_id uniqueidentifier NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        event nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL
    );
    DECLARE @changed TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        to_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );

    SELECT
        @job_id = j.job_id,
        @priority = j.priority,
        @model_hint = j.model_hint,
        @cancel_requested_utc = j.cancel_requested_utc,
        @retry_parts_utc = j.retry_parts_utc,
        @parts_available_utc = j.parts_available_utc,
        @marked_part_no = j.marked_part_no,
        @paused_utc = b.paused_utc
    FROM llm.job AS j WITH (INDEX (ux_job_seq))
    LEFT JOIN llm.batch AS b WITH (INDEX (pk_batch))
        ON j.batch_id = b.batch_id
    WHERE j.job_seq = @job_seq
    OPTION (LOOP JOIN, FORCE ORDER);

    INSERT INTO @seen (job_seq, part_no)
    SELECT TOP (@max_rows)
        p.job_seq,
        p.part_no
    FROM llm.job AS p WITH (INDEX (ux_job_part))
    WHERE
        p.parent_job_id = @job_id
        AND p.parent_job_id IS NOT NULL
        AND p.part_no > @marked_part_no
    ORDER BY p.parent_job_id ASC, p.part_no ASC;
    SET @found = @@ROWCOUNT;
    SET @now = SYSUTCDATETIME();

    INSERT INTO @held (job_seq, job_id, run_id, status, event)
    SELECT
        p.job_seq,
        p.job_id,
        p.current_run_id,
        p.status,
        CASE
            WHEN @cancel_requested_utc IS NOT NULL THEN CASE
                WHEN p.status IN (N'NEW', N'SCHEDULED') THEN N'cancelled'
                WHEN p.status = N'RUNNING' AND p.cancel_requested_utc IS NULL THEN N'cancel_requested'
            END
            WHEN p.status IN (N'FAILED', N'DEADLETTER', N'CANCELLED') THEN CASE
                WHEN p.finished_utc < @retry_parts_utc THEN N'requeued'
            END
            WHEN p.status IN (N'NEW', N'SCHEDULED') AND p.available_utc <> @parts_available_utc THEN N'rescheduled'
            WHEN p.status <> N'SUCCEEDED' AND p.priority <> @priority THEN N'reprioritized'
            WHEN
                p.status <> N'SUCCEEDED'
                AND (
                    p.model_hint <> @model_hint
                    OR (p.model_hint IS NULL AND @model_hint IS NOT NULL)
                    OR (p.model_hint IS NOT NULL AND @model_hint IS NULL)
                )
                THEN N'model_changed'
        END
    FROM @seen AS s
    INNER JOIN llm.job AS p WITH (UPDLOCK, ROWLOCK, INDEX (ux_job_seq))
        ON s.job_seq = p.job_seq
    OPTION (LOOP JOIN, FORCE ORDER);
    -- Read again under the locks, so that a job's events are in the order of their times.
    SET @now = SYSUTCDATETIME();
    SET @ready = CASE WHEN @parts_available_utc > @now THEN N'SCHEDULED' ELSE N'NEW' END;

    UPDATE p
    SET
        status = CASE
            WHEN h.event = N'cancelled' THEN N'CANCELLED'
            WHEN h.event IN (N'requeued', N'rescheduled') THEN @ready
            ELSE h.status
        END,
        finished_utc = CASE
            WHEN h.event = N'cancelled' THEN @now
            WHEN h.event <> N'requeued' THEN p.finished_utc
        END,
        cancel_requested_utc = CASE
            WHEN h.event IN (N'cancelled', N'cancel_requested') THEN @now
            WHEN h.event <> N'requeued' THEN p.cancel_requested_utc
        END,
        priority = @priority,
        model_hint = @model_hint,
        attempt_count = CASE WHEN h.event = N'requeued' THEN 0 ELSE p.attempt_count END,
        last_error = CASE WHEN h.event <> N'requeued' THEN p.last_error END,
        error_kind = CASE WHEN h.event <> N'requeued' THEN p.error_kind END,
        available_utc = CASE
            WHEN h.event IN (N'requeued', N'rescheduled') THEN COALESCE(@parts_available_utc, @now)
            ELSE p.available_utc
        END,
        paused_utc = CASE WHEN h.event = N'requeued' THEN @paused_utc ELSE p.paused_utc END
    OUTPUT inserted.job_seq, inserted.status INTO @changed (job_seq, to_status)
    FROM @held AS h, llm.job AS p WITH (ROWLOCK)
    WHERE
        h.job_seq = p.job_seq
        AND h.event IS NOT NULL
        AND p.status = h.status
    OPTION (LOOP JOIN, FORCE ORDER);

    INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason)
    SELECT
        h.job_id,
        h.run_id,
        @now,
        h.event,
        h.status,
        c.to_status,
        @who,
        CONCAT(N'as job ', LOWER(CAST(@job_id AS nvarchar(36))))
    FROM @changed AS c
    INNER JOIN @held AS h
        ON c.job_seq = h.job_seq
    ORDER BY h.job_seq;

    UPDATE llm.job WITH (ROWLOCK)
    SET
        marked_part_no = CASE WHEN @found = @max_rows THEN (SELECT MAX(s.part_no) FROM @seen AS s) END,
        retry_parts_utc = CASE WHEN @found = @max_rows THEN retry_parts_utc END,
        parts_available_utc = CASE WHEN @found = @max_rows THEN parts_available_utc END
    WHERE job_seq = @job_seq;
END;
GO

-- llm.usp_join_due_jobs: makes SPLIT jobs whose parts have all ended ready for the run that joins them, and brings what
--   operators changed of a SPLIT job to its parts.
-- Promises: a job is joined once a split or requeue, by one event: the look for an unfinished part, the event and the
--   new state stand or fall together, and nobody else makes a part unfinished. One whose cancellation was asked for
--   becomes CANCELLED instead. A pass over the parts is taken in steps of at most max_rows parts a call, and where it
--   stands is kept with the job: waiting parts are cancelled, running ones asked to end; unfinished ones take priority
--   and model from the job, waiting ones its time if that was changed; after a requeue the parts that ended without
--   success are queued again, and no others. Parts of a paused batch come back paused. One sweep at a time: a second
--   one answers no rows.
-- Cost: one look at an index while no job is SPLIT; else one look for an unfinished part a SPLIT job.
-- Called by: every worker (at least every 2 s).
-- Locks: the sweep's own lock (sp_getapplock), not waited for; batches of the jobs whose parts are queued again, in
--   batch_seq order; SPLIT jobs in job_seq order (UPDLOCK, READPAST: who holds one is changing it, and the next sweep
--   comes soon), and the parts of each after it.
CREATE OR ALTER PROCEDURE llm.usp_join_due_jobs
    @max_rows int = 500,
    @actor nvarchar(4000) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = COALESCE(NULLIF(LTRIM(RTRIM(@actor)), N''), N'sweep');
    DECLARE @now datetime2(6);
    DECLARE @granted int;
    DECLARE @left int = @max_rows;
    DECLARE @found int;
    DECLARE @batches int;
    DECLARE @due_seq bigint;
    DECLARE @job_seq bigint;
    DECLARE @job_id uniqueidentifier;
    DECLARE @marked_part_no int;
    DECLARE @cancel_requested_utc datetime2(6);
    DECLARE @final_status nvarchar(40);
    DECLARE @due TABLE (job_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @batch TABLE (batch_seq bigint NOT NULL PRIMARY KEY, batch_id uniqueidentifier NOT NULL);
    DECLARE @moved TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        final_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );

    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 500
        THROW 51003, N'HC003: max_rows is not between 1 and 500', 1;
    IF LEN(@who) > 200
        THROW 51014, N'HC014: actor is longer than 200 characters', 1;

    IF EXISTS (SELECT 1 FROM llm.job AS j WITH (NOLOCK, INDEX (ix_job_split)) WHERE j.status = N'SPLIT')
    BEGIN
        BEGIN TRANSACTION;

        -- Below 0: another caller is sweeping. The lock ends with the transaction.
        EXEC @granted = sp_getapplock
            @Resource = N'llm.usp_join_due_jobs',
            @LockMode = N'Exclusive',
            @LockOwner = N'Transaction',
            @LockTimeout = 0;

        IF @granted >= 0
        BEGIN
            INSERT INTO @due (job_seq)
            SELECT TOP (@max_rows) j.job_seq
            FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_split))
            WHERE
                j.status = N'SPLIT'
                AND (
                    j.marked_part_no IS NOT NULL
                    OR NOT EXISTS (
                        SELECT 1
                        FROM llm.job AS p WITH (INDEX (ix_job_part_open))
                        WHERE
                            p.parent_job_id = j.job_id
                            AND p.parent_job_id IS NOT NULL
                            AND p.finished_utc IS NULL
                    )
                )
            ORDER BY j.job_seq
            OPTION (LOOP JOIN, FORCE ORDER);

            -- Who queues jobs of a batch holds it: no pause misses them.
            INSERT INTO @batch (batch_seq, batch_id)
            SELECT DISTINCT
                b.batch_seq,
                b.batch_id
            FROM @due AS d
            INNER JOIN llm.job AS j WITH (READCOMMITTEDLOCK, INDEX (ux_job_seq))
                ON d.job_seq = j.job_seq
            INNER JOIN llm.batch AS b WITH (NOLOCK, INDEX (pk_batch))
                ON j.batch_id = b.batch_id
            WHERE j.retry_parts_utc IS NOT NULL
            OPTION (LOOP JOIN, FORCE ORDER);
            SELECT @batches = COUNT(*)
            FROM @batch AS x
            INNER JOIN llm.batch AS b WITH (UPDLOCK, ROWLOCK, INDEX (ux_batch_seq))
                ON x.batch_seq = b.batch_seq
            OPTION (LOOP JOIN, FORCE ORDER);

            SELECT @due_seq = MIN(d.job_seq) FROM @due AS d;
            WHILE @due_seq IS NOT NULL
            BEGIN
                SET @job_seq = NULL;
                -- One requeued since the batches were locked has its turn with the next sweep.
                SELECT
                    @job_seq = j.job_seq,
                    @job_id = j.job_id,
                    @marked_part_no = j.marked_part_no,
                    @cancel_requested_utc = j.cancel_requested_utc
                FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ux_job_seq))
                WHERE
                    j.job_seq = @due_seq
                    AND j.status = N'SPLIT'
                    AND (
                        j.retry_parts_utc IS NULL
                        OR j.batch_id IS NULL
                        OR j.batch_id IN (SELECT x.batch_id FROM @batch AS x)
                    );

                IF @job_seq IS NOT NULL AND @marked_part_no IS NOT NULL AND @left > 0
                BEGIN
                    EXEC llm.mark_parts
                        @job_seq = @job_seq,
                        @max_rows = @left,
                        @who = @who,
                        @found = @found OUTPUT;
                    SET @left = @left - @found;
                    SELECT @marked_part_no = j.marked_part_no
                    FROM llm.job AS j WITH (INDEX (ux_job_seq))
                    WHERE j.job_seq = @job_seq;
                END;

                -- Holding the job, nobody makes a part unfinished: what this does not find is not there.
                IF @job_seq IS NOT NULL AND @marked_part_no IS NULL
                    AND NOT EXISTS (
                        SELECT 1
                        FROM llm.job AS p WITH (INDEX (ix_job_part_open))
                        WHERE
                            p.parent_job_id = @job_id
                            AND p.parent_job_id IS NOT NULL
                            AND p.finished_utc IS NULL
                    )
                BEGIN
                    SET @now = SYSUTCDATETIME();
                    SET @final_status = CASE WHEN @cancel_requested_utc IS NULL THEN N'NEW' ELSE N'CANCELLED' END;

                    UPDATE llm.job WITH (ROWLOCK)
                    SET
                        status = @final_status,
                        error_kind = CASE WHEN @final_status = N'CANCELLED' THEN N'cancelled' END,
                        finished_utc = CASE WHEN @final_status = N'CANCELLED' THEN @now END
                    WHERE
                        job_seq = @job_seq
                        AND status = N'SPLIT';

                    IF @@ROWCOUNT = 1
                    BEGIN
                        INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor)
                        VALUES (
                            @job_id, @now, CASE WHEN @final_status = N'NEW' THEN N'joined' ELSE N'cancelled' END,
                            N'SPLIT', @final_status, @who
                        );
                        INSERT INTO @moved (job_seq, job_id, final_status)
                        VALUES (@job_seq, @job_id, @final_status);
                    END;
                END;

                SELECT @due_seq = MIN(d.job_seq) FROM @due AS d WHERE d.job_seq > @due_seq;
            END;
        END;

        COMMIT TRANSACTION;
    END;

    SELECT
        m.job_id,
        m.final_status
    FROM @moved AS m
    ORDER BY m.job_seq;
END;
GO

GRANT EXECUTE ON llm.usp_join_due_jobs TO llm_worker;
GRANT EXECUTE ON llm.usp_join_due_jobs TO llm_operator;
GO
