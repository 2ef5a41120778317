-- What people did: enqueues and reviews too, which the indexes of 0021 left out. Enqueues have indexes of their own:
-- there are so many that looking for other actions would pass over all of them. The new ones are there before the old
-- ones go.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_event_action' AND object_id = OBJECT_ID(N'llm.job_event')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_event_action ON llm.job_event (event_seq)
    WHERE event IN (
        N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized', N'model_changed', N'held',
        N'unheld', N'purged', N'fact_reviewed'
    );
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_event_action_by' AND object_id = OBJECT_ID(N'llm.job_event')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_event_action_by ON llm.job_event (actor, event_seq)
    WHERE event IN (
        N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized', N'model_changed', N'held',
        N'unheld', N'purged', N'fact_reviewed'
    );
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_event_enqueued' AND object_id = OBJECT_ID(N'llm.job_event')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_event_enqueued ON llm.job_event (event_seq)
    WHERE event = N'enqueued';
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_event_enqueued_by' AND object_id = OBJECT_ID(N'llm.job_event')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_event_enqueued_by ON llm.job_event (actor, event_seq)
    WHERE event = N'enqueued';
END;
GO

DROP INDEX IF EXISTS ix_job_event_acted ON llm.job_event;
DROP INDEX IF EXISTS ix_job_event_acted_by ON llm.job_event;
GO
