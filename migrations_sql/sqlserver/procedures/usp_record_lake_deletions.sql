SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_record_lake_deletions: records the results of attempts to delete purged files from the lake.
-- Promises: each attempt counts; without an error, the file is recorded as deleted for good. Rows that are deleted
--   already or unknown are left alone. recorded: the number of changed rows.
-- deletions_json: [{"deletion_seq", "error"?}, ...], at most 1000.
-- Called by: the purge, after its rows are deleted.
-- Locks: the rows, by the clustered key.
CREATE OR ALTER PROCEDURE llm.usp_record_lake_deletions
    @deletions_json nvarchar(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @recorded int = 0;
    DECLARE @now datetime2(6) = SYSUTCDATETIME();
    DECLARE @listed TABLE (deletion_seq bigint NULL, error nvarchar(MAX) NULL);
    DECLARE @told TABLE (deletion_seq bigint NOT NULL PRIMARY KEY, error nvarchar(MAX) NULL);

    IF llm.is_json_array(@deletions_json) = 0
        THROW 51031, N'HC031: deletions_json is missing, or not an array', 1;

    BEGIN TRY
        INSERT INTO @listed (deletion_seq, error)
        SELECT
            d.deletion_seq,
            d.error
        FROM OPENJSON(@deletions_json) WITH (deletion_seq bigint '$.deletion_seq', error nvarchar(MAX) '$.error') AS d;
    END TRY
    BEGIN CATCH
        THROW 51031, N'HC031: deletions_json is malformed', 1;
    END CATCH;
    IF EXISTS (SELECT 1 FROM @listed WHERE deletion_seq IS NULL)
        OR (SELECT COUNT(*) FROM @listed) > 1000
        THROW 51031, N'HC031: deletions_json is not an array of at most 1000 objects with a deletion_seq', 1;

    INSERT INTO @told (deletion_seq, error)
    SELECT
        l.deletion_seq,
        MAX(l.error)
    FROM @listed AS l
    GROUP BY l.deletion_seq;

    UPDATE d
    SET
        attempts = d.attempts + 1,
        last_error = t.error,
        deleted_utc = CASE WHEN t.error IS NULL THEN @now END
    FROM @told AS t
    INNER JOIN llm.lake_deletion AS d WITH (ROWLOCK)
        ON t.deletion_seq = d.deletion_seq
    WHERE d.deleted_utc IS NULL
    OPTION (LOOP JOIN, FORCE ORDER);
    SET @recorded = @@ROWCOUNT;

    SELECT @recorded AS recorded;
END;
GO

GRANT EXECUTE ON llm.usp_record_lake_deletions TO llm_operator;
GO
