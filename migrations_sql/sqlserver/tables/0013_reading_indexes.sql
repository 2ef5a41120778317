-- Indexes of the reading side: a page of any one filter, and of a state with one other, is read by its key alone.
-- A filter without a state is answered from the seven ranges of its states, so that no second index is kept for it:
-- every index on a job is written again at each of its moves.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_interrogation_status' AND object_id = OBJECT_ID(N'llm.job')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_interrogation_status ON llm.job (interrogation_key, status, job_seq);
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_created_by_status' AND object_id = OBJECT_ID(N'llm.job')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_created_by_status ON llm.job (created_by, status, job_seq);
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_entity_status' AND object_id = OBJECT_ID(N'llm.job')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_entity_status ON llm.job (entity_id, status, job_seq)
    WHERE entity_id IS NOT NULL;
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_model_status' AND object_id = OBJECT_ID(N'llm.job')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_model_status ON llm.job (model_hint, status, job_seq)
    WHERE model_hint IS NOT NULL;
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_error_status' AND object_id = OBJECT_ID(N'llm.job')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_error_status ON llm.job (error_kind, status, job_seq)
    WHERE error_kind IS NOT NULL;
END;
GO

DROP INDEX IF EXISTS ix_job_interrogation ON llm.job;
DROP INDEX IF EXISTS ix_job_created_by ON llm.job;
DROP INDEX IF EXISTS ix_job_entity_id ON llm.job;
DROP INDEX IF EXISTS ix_job_model ON llm.job;
DROP INDEX IF EXISTS ix_job_error_kind ON llm.job;
GO

-- What ended lately, in one state. Written once a job, when it ends.
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_ended' AND object_id = OBJECT_ID(N'llm.job')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_ended ON llm.job (status, finished_utc, job_seq)
    WHERE finished_utc IS NOT NULL;
END;
GO

-- What people did, among millions of events that workers wrote. Workers' events are in neither.
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_event_acts' AND object_id = OBJECT_ID(N'llm.job_event')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_event_acts ON llm.job_event (event_seq)
    WHERE event IN (
        N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized', N'model_changed', N'held',
        N'unheld'
    );
END;
IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_job_event_actor' AND object_id = OBJECT_ID(N'llm.job_event')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_event_actor ON llm.job_event (actor, event_seq)
    WHERE event IN (
        N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized', N'model_changed', N'held',
        N'unheld'
    );
END;
GO
