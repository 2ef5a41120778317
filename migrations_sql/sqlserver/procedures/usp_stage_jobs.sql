SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_stage_jobs: stores a part of the jobs that usp_publish_jobs will queue together.
-- Promises: staged jobs are not in the queue and hold no keys. Repeating a part replaces it. Without jobs_json, all
--   parts of the stage are deleted, and those that others abandoned more than a day ago.
-- Called by: queue.py, before usp_publish_jobs.
-- Locks: its own rows.
CREATE OR ALTER PROCEDURE llm.usp_stage_jobs
    @stage_id uniqueidentifier,
    @part_no int = 0,
    @jobs_json nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    IF @stage_id IS NULL OR @part_no IS NULL
        THROW 51029, N'HC029: stage_id or part_no is missing', 1;

    BEGIN TRANSACTION;

    IF @jobs_json IS NULL
    BEGIN
        DELETE FROM llm.staged_jobs
        WHERE stage_id = @stage_id;

        -- READPAST: two who begin at once do not wait for each other.
        DELETE s
        FROM llm.staged_jobs AS s WITH (UPDLOCK, READPAST, ROWLOCK)
        WHERE s.staged_utc < DATEADD(DAY, -1, SYSUTCDATETIME());
    END;
    ELSE
    BEGIN
        DELETE FROM llm.staged_jobs
        WHERE
            stage_id = @stage_id
            AND part_no = @part_no;

        INSERT INTO llm.staged_jobs (stage_id, part_no, jobs_json, staged_utc)
        VALUES (@stage_id, @part_no, @jobs_json, SYSUTCDATETIME());
    END;

    COMMIT TRANSACTION;

    SELECT COUNT(*) AS parts
    FROM llm.staged_jobs AS s
    WHERE s.stage_id = @stage_id;
END;
GO

GRANT EXECUTE ON llm.usp_stage_jobs TO llm_operator;
GO
