-- For claims that may not take every model: the models of a priority, by one read each.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF NOT EXISTS (
    SELECT 1
    FROM sys.indexes AS i
    WHERE
        i.object_id = OBJECT_ID(N'llm.job')
        AND i.name = N'ix_job_ready_priority'
)
    CREATE NONCLUSTERED INDEX ix_job_ready_priority ON llm.job (priority DESC, model_hint DESC)
    WHERE status = N'NEW';
GO
