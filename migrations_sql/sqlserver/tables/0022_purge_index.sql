-- What a purge may take: what ended, state by state, the oldest first. States that a policy keeps for ever, and jobs
-- that are held, are not walked over. In the place of ix_job_finished, which knew no states and served the purge alone.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_purge' AND object_id = OBJECT_ID(N'llm.job')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_purge ON llm.job (status, finished_utc, job_seq)
    WHERE finished_utc IS NOT NULL AND hold_utc IS NULL;
END;
GO

DROP INDEX IF EXISTS ix_job_finished ON llm.job;
GO
