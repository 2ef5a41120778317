SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_record_experiment: keeps the result of an experiment, and whether all its gates passed.
-- Promises: the first result stays; another one is refused (recorded false). No such experiment: recorded false.
-- Called by: queue.py (evaluate, admin), once all its jobs have ended.
-- Locks: the experiment's row.
CREATE OR ALTER PROCEDURE llm.usp_record_experiment
    @experiment_id uniqueidentifier,
    @result_json nvarchar(MAX),
    @is_passed bit
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @recorded bit = 0;

    IF @is_passed IS NULL OR COALESCE(llm.is_json_object(@result_json), 0) = 0
        THROW 51058, N'HC058: is_passed is missing, or result_json is no JSON object', 1;

    UPDATE e
    SET
        result_json = @result_json,
        is_passed = @is_passed,
        scored_utc = SYSUTCDATETIME()
    FROM llm.experiment AS e
    WHERE e.experiment_id = @experiment_id AND e.scored_utc IS NULL;
    IF @@ROWCOUNT > 0
        SET @recorded = 1;

    SELECT @recorded AS recorded;
END;
GO

GRANT EXECUTE ON llm.usp_record_experiment TO llm_operator;
GO
