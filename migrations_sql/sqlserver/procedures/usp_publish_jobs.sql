SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_publish_jobs: queues all jobs staged under one id, or none; returns one row per job.
-- Promises: those of usp_enqueue_jobs for one call with all parts in order, in which each n occurs once. Staged jobs
--   remain until usp_stage_jobs clears them: for a job_id that exists the row is that of its job, so that the call may
--   be repeated with the same result. A stage without parts returns no rows. With a batch_id the jobs belong to
--   that batch, which is filled then.
-- Called by: queue.py.
-- Locks: those of usp_enqueue_jobs, for as long as this one statement takes; nobody waits while the parts arrive.
CREATE OR ALTER PROCEDURE llm.usp_publish_jobs
    @stage_id uniqueidentifier,
    @actor nvarchar(4000) = NULL,
    @reason nvarchar(MAX) = NULL,
    @batch_id uniqueidentifier = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @jobs nvarchar(MAX) = N'[';
    DECLARE @part nvarchar(MAX);
    DECLARE @part_no int = -1;
    DECLARE @now datetime2(6);

    IF @stage_id IS NULL
        THROW 51029, N'HC029: stage_id is missing', 1;

    -- The arrays' elements, in one array.
    WHILE 1 = 1
    BEGIN
        SET @part = NULL;
        SELECT TOP (1)
            @part = s.jobs_json,
            @part_no = s.part_no
        FROM llm.staged_jobs AS s
        WHERE
            s.stage_id = @stage_id
            AND s.part_no > @part_no
        ORDER BY s.part_no;
        IF @part IS NULL
            BREAK;
        SET @jobs = @jobs + CASE WHEN LEN(@jobs) > 1 THEN N',' ELSE N'' END + SUBSTRING(@part, 2, LEN(@part) - 2);
    END;
    SET @jobs = @jobs + N']';

    -- Its result set is also this procedure's: the columns are the same.
    EXEC llm.usp_enqueue_jobs @jobs_json = @jobs, @actor = @actor, @reason = @reason, @batch_id = @batch_id;

    IF @batch_id IS NOT NULL
    BEGIN
        BEGIN TRANSACTION;

        SET @now = SYSUTCDATETIME();
        UPDATE llm.batch
        SET filled_utc = @now
        WHERE
            batch_id = @batch_id
            AND filled_utc IS NULL;
        IF @@ROWCOUNT = 1
            INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason)
            VALUES (
                @batch_id, @now, N'batch_filled', COALESCE(NULLIF(LTRIM(RTRIM(@actor)), N''), ORIGINAL_LOGIN()), @reason
            );

        COMMIT TRANSACTION;
    END;
END;
GO

GRANT EXECUTE ON llm.usp_publish_jobs TO llm_operator;
GO
