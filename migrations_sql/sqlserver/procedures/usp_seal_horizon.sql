SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_seal_horizon: the highest event_seq that no open transaction can precede, and when it was read.
-- Promises: every event up to event_seq is committed and visible, or never will be. event_seq null: there is no event,
--   or a transaction that may have a lower one stays open; call again later.
-- Why it holds, though event_seq is not the order of commits: the number is looked up under a shared lock of the
--   table, for an instant. Whoever inserts holds the table's intent lock from before it takes a number until its
--   transaction ends, so in that instant nobody is between the two. (Where lock hints are ignored, what is open in that
--   instant is missed.)
-- Called by: the sealing of the history.
-- Locks: job_event, shared, in a transaction that reads one number; waited for 0.1 s, during which writers wait behind.
CREATE OR ALTER PROCEDURE llm.usp_seal_horizon
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET DEADLOCK_PRIORITY LOW;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @begun_utc datetime2(6) = SYSUTCDATETIME();
    DECLARE @high bigint;

    BEGIN TRY
        SET LOCK_TIMEOUT 100;
        BEGIN TRANSACTION;
        SELECT @high = MAX(e.event_seq)
        FROM llm.job_event AS e WITH (TABLOCK, HOLDLOCK);
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        -- 1222: the lock was not granted in time, and the transaction was rolled back.
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        SET @high = NULL;
        IF ERROR_NUMBER() <> 1222
            THROW;
    END CATCH;
    SET LOCK_TIMEOUT -1;

    SELECT
        @high AS event_seq,
        @begun_utc AS at_utc;
END;
GO

GRANT EXECUTE ON llm.usp_seal_horizon TO llm_operator;
GO
