SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_set_batch: says that a batch is filled, pauses, resumes or cancels it, or sets a budget. Null leaves a value
--   as it is; a budget of 0 removes it.
-- Promises: changed false with the reason why, or changed with an event for each change. A batch that has ended does
--   not change. After a pause jobs that are queued or requeued into the batch are paused too; those that are in it
--   already are paused, and after a resume released, by usp_mark_batch_jobs, which the caller calls until it is done
--   and every sweep goes on with. Running jobs go on. Cancelling refuses new jobs; the caller cancels those in it
--   (usp_cancel_jobs), step by step. A batch whose budget is spent is not resumed.
-- Called by: queue.py for operators (admin, commands); whoever fills a batch by several calls.
-- Locks: the batch's row.
CREATE OR ALTER PROCEDURE llm.usp_set_batch
    @batch_id uniqueidentifier,
    @actor nvarchar(4000),
    @paused bit = NULL,
    @filled bit = NULL,
    @cancelled bit = NULL,
    @budget_tokens bigint = NULL,
    @budget_model_seconds bigint = NULL,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @now datetime2(6);
    DECLARE @is_found bit = 0;
    DECLARE @is_over bit = 0;
    DECLARE @old_tokens bigint;
    DECLARE @old_seconds bigint;
    DECLARE @new_tokens bigint;
    DECLARE @new_seconds bigint;
    DECLARE @spent_tokens bigint;
    DECLARE @spent_model_ms bigint;
    DECLARE @filled_utc datetime2(6);
    DECLARE @paused_utc datetime2(6);
    DECLARE @cancelled_utc datetime2(6);
    DECLARE @why nvarchar(400);
    DECLARE @happened TABLE (
        place int IDENTITY (1, 1) NOT NULL PRIMARY KEY,
        event nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @batch_id IS NULL OR @budget_tokens < 0 OR @budget_model_seconds < 0
        THROW 51048, N'HC048: batch_id is missing, or a budget is negative', 1;

    BEGIN TRANSACTION;

    SELECT
        @is_found = 1,
        @is_over = CASE WHEN b.finished_utc IS NULL THEN 0 ELSE 1 END,
        @old_tokens = b.budget_tokens,
        @old_seconds = b.budget_model_seconds,
        @spent_tokens = b.spent_tokens,
        @spent_model_ms = b.spent_model_ms,
        @filled_utc = b.filled_utc,
        @paused_utc = b.paused_utc,
        @cancelled_utc = b.cancelled_utc
    FROM llm.batch AS b WITH (UPDLOCK, ROWLOCK)
    WHERE b.batch_id = @batch_id;
    SET @now = SYSUTCDATETIME();

    IF @is_found = 0
        SET @why = N'no such batch';
    ELSE IF @is_over = 1
        SET @why = N'the batch has ended';
    ELSE
    BEGIN
        SET @new_tokens = NULLIF(COALESCE(@budget_tokens, @old_tokens), 0);
        SET @new_seconds = NULLIF(COALESCE(@budget_model_seconds, @old_seconds), 0);
        IF COALESCE(@new_tokens, 0) <> COALESCE(@old_tokens, 0)
            OR COALESCE(@new_seconds, 0) <> COALESCE(@old_seconds, 0)
            INSERT INTO @happened (event) VALUES (N'batch_budget_changed');
        ELSE IF @budget_tokens IS NOT NULL OR @budget_model_seconds IS NOT NULL
            SET @why = N'the budget is so already';

        IF @filled = 1 AND @filled_utc IS NOT NULL
            SET @why = N'already filled';
        ELSE IF @filled = 1
            INSERT INTO @happened (event) VALUES (N'batch_filled');

        IF @cancelled = 1 AND @cancelled_utc IS NOT NULL
            SET @why = N'already cancelled';
        ELSE IF @cancelled = 1
            INSERT INTO @happened (event) VALUES (N'batch_cancelled');

        IF @paused = 1 AND @paused_utc IS NOT NULL
            SET @why = N'already paused';
        ELSE IF @paused = 1
            INSERT INTO @happened (event) VALUES (N'batch_paused');
        ELSE IF @paused = 0 AND @paused_utc IS NULL
            SET @why = N'not paused';
        ELSE IF @paused = 0 AND @spent_tokens >= @new_tokens
            SET @why = N'its budget of tokens is spent: raise or remove it first';
        ELSE IF @paused = 0 AND @spent_model_ms >= @new_seconds * 1000
            SET @why = N'its budget of model seconds is spent: raise or remove it first';
        ELSE IF @paused = 0
            INSERT INTO @happened (event) VALUES (N'batch_resumed');
    END;

    IF EXISTS (SELECT 1 FROM @happened)
    BEGIN
        UPDATE llm.batch
        SET
            budget_tokens = @new_tokens,
            budget_model_seconds = @new_seconds,
            filled_utc = CASE WHEN @filled = 1 OR @cancelled = 1 THEN COALESCE(filled_utc, @now) ELSE filled_utc END,
            cancelled_utc = CASE WHEN @cancelled = 1 THEN COALESCE(cancelled_utc, @now) ELSE cancelled_utc END,
            cancelled_by = CASE WHEN @cancelled = 1 AND cancelled_utc IS NULL THEN @who ELSE cancelled_by END
        WHERE batch_id = @batch_id;

        IF EXISTS (SELECT 1 FROM @happened AS h WHERE h.event = N'batch_paused')
            UPDATE llm.batch
            SET
                paused_utc = @now,
                paused_by = @who,
                pause_reason = @reason,
                marked_job_seq = 0
            WHERE batch_id = @batch_id;
        IF EXISTS (SELECT 1 FROM @happened AS h WHERE h.event = N'batch_resumed')
            UPDATE llm.batch
            SET
                paused_utc = NULL,
                paused_by = NULL,
                pause_reason = NULL,
                marked_job_seq = 0
            WHERE batch_id = @batch_id;

        INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason, detail_json)
        SELECT
            @batch_id,
            @now,
            h.event,
            @who,
            @reason,
            CASE
                WHEN h.event = N'batch_budget_changed'
                    THEN CONCAT(
                        N'{"budget_tokens": ', COALESCE(CAST(@new_tokens AS nvarchar(20)), N'null'),
                        N', "budget_model_seconds": ', COALESCE(CAST(@new_seconds AS nvarchar(20)), N'null'), N'}'
                    )
            END
        FROM @happened AS h
        ORDER BY h.place;
    END;

    COMMIT TRANSACTION;

    SELECT
        CAST(CASE WHEN EXISTS (SELECT 1 FROM @happened) THEN 1 ELSE 0 END AS bit) AS changed,
        @why AS why;
END;
GO

GRANT EXECUTE ON llm.usp_set_batch TO llm_operator;
GO
