-- ux_job_dedupe with the status in it. Its filter names the status, so whoever looks for the holder of a key has to
-- judge it: where the index does not hold it, by the job's row. That look holds the key's entry (UPDLOCK, HOLDLOCK)
-- while it waits for the row, and a completion holds the row while it waits for the entry: a deadlock. Now the index
-- answers alone.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- Babelfish ignores lock hints and cannot replace an index: nothing is held there while the row is read.
IF SERVERPROPERTY('BabelfishVersion') IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM sys.indexes AS i
        INNER JOIN sys.index_columns AS ic
            ON i.object_id = ic.object_id
            AND i.index_id = ic.index_id
        WHERE
            i.object_id = OBJECT_ID(N'llm.job')
            AND i.name = N'ux_job_dedupe'
            AND ic.is_included_column = 1
            AND COL_NAME(ic.object_id, ic.column_id) = N'status'
    )
BEGIN
    EXEC (N'
CREATE UNIQUE NONCLUSTERED INDEX ux_job_dedupe ON llm.job (dedupe_key, interrogation_key)
INCLUDE (job_id, status)
WHERE dedupe_key IS NOT NULL AND status IN (N''NEW'', N''SCHEDULED'', N''RUNNING'', N''SUCCEEDED'')
WITH (DROP_EXISTING = ON)');
END;
GO
