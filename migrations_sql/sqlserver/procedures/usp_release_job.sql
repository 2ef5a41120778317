SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_release_job: releases a running job; it keeps its place in the queue, and the run does not count.
-- Promises: accepted only while the run holds its job's lease; a job with a requested cancellation ends CANCELLED.
--   Refused: nothing changes, and final_status is the job's state (null: no such run).
-- Called by: a stopping worker; a worker for its stray runs.
-- Locks: the job's row (UPDLOCK), then its run, then its events. ROWLOCK, because a page lock would hide the page's
--   other rows from every claim. Indexes are named where a small table would be read from end to end instead, and rows
--   that others hold waited for.
CREATE OR ALTER PROCEDURE llm.usp_release_job
    @run_id uniqueidentifier,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @now datetime2(6);
    DECLARE @accepted bit;
    DECLARE @job_id uniqueidentifier;
    DECLARE @job_seq bigint;
    DECLARE @job_status nvarchar(40);
    DECLARE @current_run_id uniqueidentifier;
    DECLARE @cancel_requested_utc datetime2(6);
    DECLARE @locked_by nvarchar(200);
    DECLARE @final_status nvarchar(40);

    IF @run_id IS NULL
        THROW 51015, N'HC015: run_id is missing', 1;

    -- A run's job never changes, so it is safe to read it before locking.
    SELECT @job_id = r.job_id
    FROM llm.run AS r WITH (INDEX (pk_run))
    WHERE r.run_id = @run_id;

    BEGIN TRANSACTION;

    -- Usually one pass; another one only where lock hints are ignored and the job changed after it was read.
    WHILE @accepted IS NULL
    BEGIN
        SET @job_seq = NULL;
        SELECT
            @job_seq = j.job_seq,
            @job_status = j.status,
            @current_run_id = j.current_run_id,
            @cancel_requested_utc = j.cancel_requested_utc,
            @locked_by = j.locked_by
        FROM llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (pk_job))
        WHERE j.job_id = @job_id;
        SET @now = SYSUTCDATETIME();

        IF @job_seq IS NULL
            SET @accepted = 0;
        ELSE IF @job_status <> N'RUNNING' OR @current_run_id <> @run_id
        BEGIN
            SET @accepted = 0;
            SET @final_status = @job_status;
        END;
        ELSE
        BEGIN
            SET @final_status = CASE WHEN @cancel_requested_utc IS NULL THEN N'NEW' ELSE N'CANCELLED' END;

            UPDATE llm.job WITH (ROWLOCK)
            SET
                status = @final_status,
                attempt_count = attempt_count - 1,
                locked_by = NULL,
                locked_utc = NULL,
                lease_expires_utc = NULL,
                current_run_id = NULL,
                last_error = @reason,
                error_kind = N'released',
                finished_utc = CASE WHEN @final_status = N'CANCELLED' THEN @now END
            WHERE
                job_seq = @job_seq
                AND status = N'RUNNING'
                AND current_run_id = @run_id
                AND (
                    cancel_requested_utc = @cancel_requested_utc
                    OR (cancel_requested_utc IS NULL AND @cancel_requested_utc IS NULL)
                );

            IF @@ROWCOUNT = 1
            BEGIN
                SET @accepted = 1;

                UPDATE r
                SET
                    status = N'CANCELLED',
                    counted = 0,
                    completed_utc = @now,
                    error_kind = N'released',
                    error = @reason
                FROM llm.run AS r WITH (ROWLOCK, INDEX (pk_run))
                WHERE
                    r.run_id = @run_id
                    AND r.status = N'RUNNING';

                -- One event for the cause and, if that does not imply the new state, one for the state.
                INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason)
                VALUES (
                    @job_id, @run_id, @now, N'released', N'RUNNING',
                    CASE WHEN @final_status = N'CANCELLED' THEN N'RUNNING' ELSE @final_status END,
                    @locked_by, @reason
                );

                IF @final_status = N'CANCELLED'
                    INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason)
                    VALUES (
                        @job_id, @run_id, @now, N'cancelled', N'RUNNING', N'CANCELLED', @locked_by, @reason
                    );
            END;
        END;
    END;

    COMMIT TRANSACTION;

    SELECT
        @accepted AS accepted,
        @final_status AS final_status;
END;
GO

GRANT EXECUTE ON llm.usp_release_job TO llm_worker;
GO
