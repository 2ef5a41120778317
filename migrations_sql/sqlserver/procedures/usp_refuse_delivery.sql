SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_refuse_delivery: records that the target refused a subject's row, and why.
-- Promises: the row of the outbox is not taken again until its subject has a newer one, which replaces it; an earlier
--   refusal of the same subject goes. changed: whether it was still waiting. Raises HC069.
-- Called by: queue.py (deliver, schedules), after the transaction that failed.
-- Locks: the rows of the outbox.
CREATE OR ALTER PROCEDURE llm.usp_refuse_delivery
    @delivery_seq bigint,
    @why nvarchar(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @derivation_seq bigint;
    DECLARE @subject_seq bigint;

    IF @why IS NULL OR LEN(@why) NOT BETWEEN 1 AND 1000
        THROW 51069, N'HC069: why is missing or longer than 1000 characters', 1;

    BEGIN TRANSACTION;

    UPDATE llm.delivery
    SET
        refused_utc = SYSUTCDATETIME(),
        why = @why,
        @derivation_seq = derivation_seq,
        @subject_seq = subject_seq
    WHERE
        delivery_seq = @delivery_seq
        AND refused_utc IS NULL;
    IF @subject_seq IS NOT NULL
        DELETE FROM llm.delivery
        WHERE
            derivation_seq = @derivation_seq
            AND subject_seq = @subject_seq
            AND refused_utc IS NOT NULL
            AND delivery_seq < @delivery_seq;

    COMMIT TRANSACTION;

    SELECT CAST(CASE WHEN @subject_seq IS NULL THEN 0 ELSE 1 END AS bit) AS changed;
END;
GO

GRANT EXECUTE ON llm.usp_refuse_delivery TO llm_operator;
GO
