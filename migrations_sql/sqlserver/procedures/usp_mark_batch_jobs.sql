SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_mark_batch_jobs: brings a pause or resume to the next max_rows jobs of a batch: sets job.paused_utc as the
--   batch's is.
-- Promises: is_done: every unfinished job of the batch is marked as the batch is. Where a pass stands is kept with the
--   batch, so anybody may take the next step, also several at once, and a new pause or resume begins the pass anew. A
--   job is met in whatever state it is, so a running one does not come back ready from a paused batch.
-- Called by: queue.py after usp_set_batch, until it is done; workers, as usp_sweep_batches tells them.
-- Locks: the batch's row, then its jobs in job_seq order. The named rows drive every join (FORCE ORDER).
CREATE OR ALTER PROCEDURE llm.usp_mark_batch_jobs
    @batch_id uniqueidentifier,
    @max_rows int = 500
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @from bigint;
    DECLARE @paused_utc datetime2(6);
    DECLARE @found int = 0;
    DECLARE @marked int = 0;
    DECLARE @last bigint;
    DECLARE @seen TABLE (job_seq bigint NOT NULL PRIMARY KEY);

    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 500
        THROW 51003, N'HC003: max_rows is not between 1 and 500', 1;

    BEGIN TRANSACTION;

    SELECT
        @from = b.marked_job_seq,
        @paused_utc = b.paused_utc
    FROM llm.batch AS b WITH (UPDLOCK, ROWLOCK)
    WHERE b.batch_id = @batch_id;

    IF @from IS NOT NULL
    BEGIN
        INSERT INTO @seen (job_seq)
        SELECT TOP (@max_rows) j.job_seq
        FROM llm.job AS j WITH (ROWLOCK, INDEX (ix_job_batch_open))
        WHERE
            j.batch_id = @batch_id
            AND j.batch_id IS NOT NULL
            AND j.finished_utc IS NULL
            AND j.job_seq > @from
        ORDER BY j.batch_id ASC, j.job_seq ASC;
        SET @found = @@ROWCOUNT;

        UPDATE j
        SET paused_utc = @paused_utc
        FROM @seen AS s
        INNER JOIN llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (ux_job_seq))
            ON s.job_seq = j.job_seq
        WHERE
            j.finished_utc IS NULL
            AND (
                j.paused_utc <> @paused_utc
                OR (j.paused_utc IS NULL AND @paused_utc IS NOT NULL)
                OR (j.paused_utc IS NOT NULL AND @paused_utc IS NULL)
            )
        OPTION (LOOP JOIN, FORCE ORDER);
        SET @marked = @@ROWCOUNT;

        IF @found = @max_rows
            SELECT @last = MAX(s.job_seq)
            FROM @seen AS s;
        UPDATE llm.batch
        SET marked_job_seq = @last
        WHERE batch_id = @batch_id;
    END;

    COMMIT TRANSACTION;

    SELECT
        @marked AS marked,
        CAST(CASE WHEN @found < @max_rows THEN 1 ELSE 0 END AS bit) AS is_done;
END;
GO

GRANT EXECUTE ON llm.usp_mark_batch_jobs TO llm_worker;
GRANT EXECUTE ON llm.usp_mark_batch_jobs TO llm_operator;
GO
