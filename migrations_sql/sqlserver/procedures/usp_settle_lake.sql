SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_settle_lake: returns which lake has this database's files, after recording it if necessary.
-- Promises: lake_id is recorded if none is, or if the recorded one is the one to replace; else nothing changes. Returns
--   the recorded id, or no row if there is none. Without lake_id it only reads.
-- Called by: workers on start, checks of the lake, and set_up_lake.
-- Locks: the one row, or the place where it would be, so that of two first callers the second reads the first's id.
CREATE OR ALTER PROCEDURE llm.usp_settle_lake
    @lake_id uniqueidentifier = NULL,
    @replaces uniqueidentifier = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    IF @lake_id IS NOT NULL
    BEGIN
        UPDATE l
        SET
            lake_id = @lake_id,
            recorded_utc = SYSUTCDATETIME()
        FROM llm.lake AS l WITH (ROWLOCK)
        WHERE
            l.lake_key = 1
            AND l.lake_id = @replaces;

        BEGIN TRY
            INSERT INTO llm.lake (lake_key, lake_id, recorded_utc)
            SELECT
                1,
                @lake_id,
                SYSUTCDATETIME()
            WHERE NOT EXISTS (SELECT 1 FROM llm.lake AS l WITH (UPDLOCK, HOLDLOCK) WHERE l.lake_key = 1);
        END TRY
        BEGIN CATCH
            -- 2601, 2627: where lock hints are ignored, another caller was faster.
            IF @@TRANCOUNT > 0 OR ERROR_NUMBER() NOT IN (2601, 2627)
                THROW;
        END CATCH;
    END;

    SELECT
        l.lake_id,
        l.recorded_utc
    FROM llm.lake AS l
    WHERE l.lake_key = 1;
END;
GO

GRANT EXECUTE ON llm.usp_settle_lake TO llm_worker;
GRANT EXECUTE ON llm.usp_settle_lake TO llm_operator;
GO
