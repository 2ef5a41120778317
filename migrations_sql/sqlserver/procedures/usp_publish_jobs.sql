SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_publish_jobs: queues all that was staged under one id, or nothing of it; answers one row a job.
-- Promises: what usp_enqueue_jobs promises for one call with all parts in their order, each n once in all of them. What
--   was staged stays, until usp_stage_jobs clears it: a job_id that exists is answered with its job, so that this may
--   be said again and answers the same. A stage without parts answers no rows.
-- Called by: queue.py.
-- Locks: those of usp_enqueue_jobs, for as long as this one statement takes: nobody waits while the parts arrive.
CREATE OR ALTER PROCEDURE llm.usp_publish_jobs
    @stage_id uniqueidentifier,
    @actor nvarchar(4000) = NULL,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @jobs nvarchar(MAX) = N'[';
    DECLARE @part nvarchar(MAX);
    DECLARE @part_no int = -1;

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

    -- Its answer is this one's: the columns are the same.
    EXEC llm.usp_enqueue_jobs @jobs_json = @jobs, @actor = @actor, @reason = @reason;
END;
GO

GRANT EXECUTE ON llm.usp_publish_jobs TO llm_operator;
GO
