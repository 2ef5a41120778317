SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.promote_due_jobs: the work of usp_promote_due_jobs, without its answer: the claim calls it too, and what it
-- answered would stand before the claim's own rows. Not for callers: no role may execute it.
-- Locks: the jobs it promotes (UPDLOCK), in the order of ix_job_due, passing over what somebody else holds (READPAST:
--   it never waits, so the order of picking is free); then their events. ROWLOCK: a page lock would hide its other rows
--   from every claim.
CREATE OR ALTER PROCEDURE llm.promote_due_jobs
    @max_rows int,
    @promoted int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @now datetime2(6) = SYSUTCDATETIME();
    DECLARE @due TABLE (job_seq bigint NOT NULL PRIMARY KEY, job_id uniqueidentifier NOT NULL);
    DECLARE @moved TABLE (job_seq bigint NOT NULL PRIMARY KEY, job_id uniqueidentifier NOT NULL);

    BEGIN TRANSACTION;

    -- The index is named: an order that needs a sort would lock every due row. job_id is not in it, and is read on
    -- purpose: the row itself is then locked, whichever index others come by. OPTIMIZE FOR one row keeps the lookup
    -- from reading, and locking, ahead of TOP.
    INSERT INTO @due (job_seq, job_id)
    SELECT TOP (@max_rows)
        j.job_seq,
        j.job_id
    FROM llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ix_job_due))
    WHERE
        j.status = N'SCHEDULED'
        AND j.available_utc <= @now
    ORDER BY j.available_utc, j.job_seq
    OPTION (OPTIMIZE FOR (@max_rows = 1));

    -- Read under the locks, so that a job's events are in the order of their times.
    SET @now = SYSUTCDATETIME();

    UPDATE j
    SET status = N'NEW'
    OUTPUT inserted.job_seq, inserted.job_id INTO @moved (job_seq, job_id)
    FROM @due AS d, llm.job AS j WITH (ROWLOCK)
    WHERE
        d.job_seq = j.job_seq
        AND j.status = N'SCHEDULED'
        AND j.available_utc <= @now
    -- The few rows drive and the table is sought, so that no plan reads, and waits for, other rows.
    OPTION (LOOP JOIN, FORCE ORDER);
    SET @promoted = (SELECT COUNT(*) FROM @moved);

    INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor)
    SELECT
        m.job_id,
        @now,
        N'promoted',
        N'SCHEDULED',
        N'NEW',
        N'promotion'
    FROM @moved AS m
    ORDER BY m.job_seq;

    COMMIT TRANSACTION;
END;
GO

-- llm.usp_promote_due_jobs: changes up to max_rows SCHEDULED jobs that are due to NEW, the longest due first.
-- Promises: a job is promoted once; returns how many were. Jobs that are locked are left for the next call.
-- Called by: schedules.
-- Locks: those of llm.promote_due_jobs.
CREATE OR ALTER PROCEDURE llm.usp_promote_due_jobs
    @max_rows int = 500
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @promoted int = 0;

    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 500
        THROW 51003, N'HC003: max_rows is not between 1 and 500', 1;

    EXEC llm.promote_due_jobs @max_rows = @max_rows, @promoted = @promoted OUTPUT;

    SELECT @promoted AS promoted;
END;
GO

GRANT EXECUTE ON llm.usp_promote_due_jobs TO llm_worker;
GRANT EXECUTE ON llm.usp_promote_due_jobs TO llm_operator;
GO
