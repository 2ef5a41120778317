-- What people did, purges among it: the indexes of 0013 left those out. The new ones are there before the old ones go.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_event_acted' AND object_id = OBJECT_ID(N'llm.job_event')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_event_acted ON llm.job_event (event_seq)
    WHERE event IN (
        N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized', N'model_changed', N'held',
        N'unheld', N'purged'
    );
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_event_acted_by' AND object_id = OBJECT_ID(N'llm.job_event')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_event_acted_by ON llm.job_event (actor, event_seq)
    WHERE event IN (
        N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized', N'model_changed', N'held',
        N'unheld', N'purged'
    );
END;
GO

DROP INDEX IF EXISTS ix_job_event_acts ON llm.job_event;
DROP INDEX IF EXISTS ix_job_event_actor ON llm.job_event;
GO
