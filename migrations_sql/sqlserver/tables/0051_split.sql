-- Long evidence: a job whose evidence does not fit one prompt waits as SPLIT while its parts, jobs of their own, are
-- worked. A part has parent_job_id, part_no (from 1) and part_count; its parent has part_count alone.
-- A part ends, and is made unfinished again, without its parent being written: usp_join_due_jobs looks for an
-- unfinished part in ix_job_part_open, holding the parent, and only that sweep sends parts back into the queue. So a
-- parent that is joined has no unfinished part, and is joined once.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
BEGIN TRANSACTION;

ALTER TABLE llm.job DROP CONSTRAINT IF EXISTS ck_job_status;
ALTER TABLE llm.job ADD CONSTRAINT ck_job_status CHECK (
    status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT', N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED')
);
ALTER TABLE llm.job DROP CONSTRAINT IF EXISTS ck_job_finished;
ALTER TABLE llm.job ADD CONSTRAINT ck_job_finished CHECK (
    (status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT') AND finished_utc IS NULL)
    OR (status IN (N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED') AND finished_utc IS NOT NULL)
);
ALTER TABLE llm.run DROP CONSTRAINT IF EXISTS ck_run_status;
ALTER TABLE llm.run ADD CONSTRAINT ck_run_status CHECK (
    status IN (N'RUNNING', N'SPLIT', N'SUCCEEDED', N'FAILED', N'CANCELLED')
);
ALTER TABLE llm.job_event DROP CONSTRAINT IF EXISTS ck_job_event_event;
ALTER TABLE llm.job_event ADD CONSTRAINT ck_job_event_event CHECK (
    event IN (
        N'enqueued', N'promoted', N'claimed', N'completed', N'retried', N'dead_lettered', N'released',
        N'lease_expired', N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized',
        N'model_changed', N'held', N'unheld', N'purged', N'fact_reviewed', N'split', N'joined'
    )
);
ALTER TABLE llm.job_event DROP CONSTRAINT IF EXISTS ck_job_event_from_status;
ALTER TABLE llm.job_event ADD CONSTRAINT ck_job_event_from_status CHECK (
    from_status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT', N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED')
);
ALTER TABLE llm.job_event DROP CONSTRAINT IF EXISTS ck_job_event_to_status;
ALTER TABLE llm.job_event ADD CONSTRAINT ck_job_event_to_status CHECK (
    to_status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT', N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED')
);

COMMIT TRANSACTION;
SET XACT_ABORT OFF;
GO

-- A SPLIT job holds its dedupe key.
SET XACT_ABORT ON;
IF COL_LENGTH(N'llm.job', N'parent_job_id') IS NULL
BEGIN
    BEGIN TRANSACTION;

    DROP INDEX IF EXISTS ux_job_dedupe ON llm.job;
    CREATE UNIQUE NONCLUSTERED INDEX ux_job_dedupe ON llm.job (dedupe_key, interrogation_key)
    INCLUDE (job_id, status)
    WHERE dedupe_key IS NOT NULL AND status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT', N'SUCCEEDED');

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

IF COL_LENGTH(N'llm.job', N'parent_job_id') IS NULL
BEGIN
    ALTER TABLE llm.job ADD parent_job_id uniqueidentifier NULL;
END;
IF COL_LENGTH(N'llm.job', N'part_no') IS NULL
BEGIN
    ALTER TABLE llm.job ADD part_no int NULL;
END;
IF COL_LENGTH(N'llm.job', N'part_count') IS NULL
BEGIN
    ALTER TABLE llm.job ADD part_count int NULL;
END;
-- Of a SPLIT job: what operators changed is brought to its parts in steps, in part_no order: this far. Null: to all.
IF COL_LENGTH(N'llm.job', N'marked_part_no') IS NULL
BEGIN
    ALTER TABLE llm.job ADD marked_part_no int NULL;
END;
-- What such a pass brings besides priority, model and cancellation: parts that ended unsuccessfully before the one are
-- queued again, waiting parts get the other as their available_utc. Null: neither.
IF COL_LENGTH(N'llm.job', N'retry_parts_utc') IS NULL
BEGIN
    ALTER TABLE llm.job ADD retry_parts_utc datetime2(6) NULL;
END;
IF COL_LENGTH(N'llm.job', N'parts_available_utc') IS NULL
BEGIN
    ALTER TABLE llm.job ADD parts_available_utc datetime2(6) NULL;
END;
GO

IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_split', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_split ON llm.job (job_seq)
    INCLUDE (job_id, status, marked_part_no)
    WHERE status = N'SPLIT';
END;
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ux_job_part', 'IndexID') IS NULL
BEGIN
    CREATE UNIQUE NONCLUSTERED INDEX ux_job_part ON llm.job (parent_job_id, part_no)
    INCLUDE (status)
    WHERE parent_job_id IS NOT NULL;
END;
-- Unfinished parts. A part keeps its place here until it ends, whatever moves it makes: a look cannot miss it between
-- two states. finished_utc is carried along, because a filter on IS NULL alone does not spare the look at the row.
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_part_open', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_part_open ON llm.job (parent_job_id, part_no)
    INCLUDE (finished_utc)
    WHERE parent_job_id IS NOT NULL AND finished_utc IS NULL;
END;

-- What counts and purges walk over, without parts: they go with their parents.
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_batch_member', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_batch_member ON llm.job (batch_id, status, job_seq)
    INCLUDE (error_kind, parent_job_id)
    WHERE batch_id IS NOT NULL AND parent_job_id IS NULL;
END;
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_purgeable', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_purgeable ON llm.job (status, finished_utc, job_seq)
    INCLUDE (hold_utc, parent_job_id)
    WHERE finished_utc IS NOT NULL AND hold_utc IS NULL AND parent_job_id IS NULL;
END;
GO

DROP INDEX IF EXISTS ix_job_batch_status ON llm.job;
DROP INDEX IF EXISTS ix_job_purge ON llm.job;
GO

IF OBJECT_ID(N'llm.v_part', N'V') IS NOT NULL
    DROP VIEW llm.v_part;
GO

-- The parts of split jobs and what their runs left, for the run that joins them. Views read with their owner's rights.
CREATE VIEW llm.v_part (
    parent_job_id,
    part_no,
    part_count,
    job_id,
    status,
    error_kind,
    last_error,
    evidence_ref_json,
    run_id,
    model_name,
    definition_sha256,
    evidence_sha256,
    output_json
)
AS
SELECT
    p.parent_job_id,
    p.part_no,
    p.part_count,
    p.job_id,
    p.status,
    p.error_kind,
    p.last_error,
    p.evidence_ref_json,
    r.run_id,
    r.model_name,
    r.definition_sha256,
    r.evidence_sha256,
    r.output_json
FROM llm.job AS p
LEFT JOIN llm.run AS r
    ON
        p.job_id = r.job_id
        AND r.status = N'SUCCEEDED'
WHERE p.parent_job_id IS NOT NULL;
GO

GRANT SELECT ON llm.v_part TO llm_worker;
GRANT SELECT ON llm.v_part TO llm_reader;
GRANT SELECT ON llm.v_part TO llm_operator;
GO
