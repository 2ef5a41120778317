SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_forget_workers: removes up to max_rows workers without a heartbeat for silent_days, and their endpoints.
-- Promises: a worker with running runs stays, whatever its heartbeats. Runs and events keep the name of their worker. A
--   worker of a removed id that starts again is added anew. Returns how many were removed.
-- Called by: schedules.
-- Locks: workers, skipping those that a heartbeat holds (READPAST), then their endpoints. Jobs are read before, since
--   heartbeats lock jobs first.
CREATE OR ALTER PROCEDURE llm.usp_forget_workers
    @silent_days int = 30,
    @max_rows int = 500
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @before datetime2(6);
    DECLARE @removed int;
    DECLARE @silent TABLE (
        worker_id nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY
    );

    IF @silent_days IS NULL OR @silent_days NOT BETWEEN 1 AND 36500
        THROW 51050, N'HC050: silent_days is not between 1 and 36500', 1;
    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 500
        THROW 51003, N'HC003: max_rows is not between 1 and 500', 1;
    SET @before = DATEADD(DAY, -@silent_days, SYSUTCDATETIME());

    INSERT INTO @silent (worker_id)
    SELECT TOP (@max_rows) w.worker_id
    FROM llm.worker AS w WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK)
    WHERE
        w.last_seen_utc < @before
        AND NOT EXISTS (
            SELECT 1
            FROM llm.job AS j WITH (INDEX (ix_job_running))
            WHERE
                j.status = N'RUNNING'
                AND j.locked_by = w.worker_id
        )
    ORDER BY w.worker_id ASC;

    -- Asked again: one that started since has been seen.
    DELETE w
    FROM @silent AS s, llm.worker AS w WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK)
    WHERE
        s.worker_id = w.worker_id
        AND w.last_seen_utc < @before
    OPTION (LOOP JOIN, FORCE ORDER);
    SET @removed = @@ROWCOUNT;

    SELECT @removed AS removed;
END;
GO

GRANT EXECUTE ON llm.usp_forget_workers TO llm_operator;
GO
