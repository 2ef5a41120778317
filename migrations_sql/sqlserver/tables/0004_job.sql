-- The queue. Only the procedures write here.
-- Clustered on the identity: a random guid there would split pages at every insert, and a status would move the row at
-- every change. Keys and codes compare by code point, whatever the database's collation.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.job', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.job (
        job_seq bigint IDENTITY (1, 1) NOT NULL,
        job_id uniqueidentifier NOT NULL CONSTRAINT df_job_job_id DEFAULT (NEWID()),
        created_utc datetime2(6) NOT NULL CONSTRAINT df_job_created_utc DEFAULT (SYSUTCDATETIME()),
        created_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        priority int NOT NULL CONSTRAINT df_job_priority DEFAULT (100),
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        entity_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        entity_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        input_json nvarchar(MAX) NOT NULL,
        evidence_ref_json nvarchar(MAX) NULL,
        model_hint nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        max_attempts int NOT NULL CONSTRAINT df_job_max_attempts DEFAULT (3),
        attempt_count int NOT NULL CONSTRAINT df_job_attempt_count DEFAULT (0),
        available_utc datetime2(6) NOT NULL CONSTRAINT df_job_available_utc DEFAULT (SYSUTCDATETIME()),
        locked_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        locked_utc datetime2(6) NULL,
        lease_expires_utc datetime2(6) NULL,
        current_run_id uniqueidentifier NULL,
        cancel_requested_utc datetime2(6) NULL,
        hold_utc datetime2(6) NULL,
        dedupe_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        repeats_run_id uniqueidentifier NULL,
        last_error nvarchar(MAX) NULL,
        error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        finished_utc datetime2(6) NULL,
        CONSTRAINT ux_job_seq UNIQUE CLUSTERED (job_seq),
        CONSTRAINT pk_job PRIMARY KEY NONCLUSTERED (job_id),
        CONSTRAINT ck_job_status CHECK (
            status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED')
        ),
        CONSTRAINT ck_job_priority CHECK (priority >= 0),
        CONSTRAINT ck_job_max_attempts CHECK (max_attempts >= 1),
        CONSTRAINT ck_job_attempt_count CHECK (attempt_count >= 0),
        -- A lease stands exactly while the job runs.
        CONSTRAINT ck_job_lease CHECK (
            (
                status = N'RUNNING'
                AND locked_by IS NOT NULL
                AND locked_utc IS NOT NULL
                AND lease_expires_utc IS NOT NULL
                AND current_run_id IS NOT NULL
            )
            OR (
                status <> N'RUNNING'
                AND locked_by IS NULL
                AND locked_utc IS NULL
                AND lease_expires_utc IS NULL
                AND current_run_id IS NULL
            )
        ),
        CONSTRAINT ck_job_finished CHECK (
            (status IN (N'NEW', N'SCHEDULED', N'RUNNING') AND finished_utc IS NULL)
            OR (status IN (N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED') AND finished_utc IS NOT NULL)
        ),
        -- Comparing ignores blanks at the end here, LIKE does not: keys without any mean the same on both engines.
        CONSTRAINT ck_job_interrogation_key CHECK (
            LEN(interrogation_key) > 0 AND interrogation_key NOT LIKE N' %' AND interrogation_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_job_dedupe_key CHECK (
            LEN(dedupe_key) > 0 AND dedupe_key NOT LIKE N' %' AND dedupe_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_job_model_hint CHECK (
            LEN(model_hint) > 0 AND model_hint NOT LIKE N' %' AND model_hint NOT LIKE N'% '
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_job_input_json CHECK (
            ISJSON(input_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(input_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_job_evidence_ref_json CHECK (
            ISJSON(evidence_ref_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(evidence_ref_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    -- 5,000 row locks would otherwise become one table lock, and READPAST does not skip that. The second engine locks
    -- rows only, does not know the option, and would refuse the whole batch: hence the EXEC.
    IF SERVERPROPERTY('BabelfishVersion') IS NULL
    BEGIN
        EXEC (N'ALTER TABLE llm.job SET (LOCK_ESCALATION = DISABLE)');
    END;

    -- Queue side. The claim walks ix_job_ready (any model) or two ranges of ix_job_ready_model (one model, or none) in
    -- exactly its own order; waiting rows are in ix_job_due alone, so that no claim walks over them.
    CREATE NONCLUSTERED INDEX ix_job_ready ON llm.job (priority DESC, available_utc, job_seq)
    WHERE status = N'NEW';
    CREATE NONCLUSTERED INDEX ix_job_ready_model ON llm.job (model_hint, priority DESC, available_utc, job_seq)
    WHERE status = N'NEW';
    CREATE NONCLUSTERED INDEX ix_job_due ON llm.job (available_utc, job_seq)
    WHERE status = N'SCHEDULED';
    -- A worker's live runs (heartbeat), and all live runs (reap). The lease stands in no
    -- index, so that a heartbeat writes the row alone.
    CREATE NONCLUSTERED INDEX ix_job_running ON llm.job (locked_by, job_seq)
    WHERE status = N'RUNNING';
    -- job_id is carried along so that looking for the holder of a key never locks the holder's row.
    CREATE UNIQUE NONCLUSTERED INDEX ux_job_dedupe ON llm.job (dedupe_key, interrogation_key)
    INCLUDE (job_id)
    WHERE dedupe_key IS NOT NULL AND status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SUCCEEDED');

    -- Reading side: pages by key within one filter. No literal stands in these filters, because a parameter never
    -- matches one; IS NOT NULL still serves `column = parameter`.
    CREATE NONCLUSTERED INDEX ix_job_status ON llm.job (status, job_seq);
    CREATE NONCLUSTERED INDEX ix_job_finished ON llm.job (finished_utc, job_seq);
    CREATE NONCLUSTERED INDEX ix_job_entity ON llm.job (entity_type, entity_id, job_seq);
    CREATE NONCLUSTERED INDEX ix_job_entity_id ON llm.job (entity_id, job_seq)
    WHERE entity_id IS NOT NULL;
    CREATE NONCLUSTERED INDEX ix_job_interrogation ON llm.job (interrogation_key, job_seq);
    CREATE NONCLUSTERED INDEX ix_job_created_by ON llm.job (created_by, job_seq);
    CREATE NONCLUSTERED INDEX ix_job_model ON llm.job (model_hint, job_seq)
    WHERE model_hint IS NOT NULL;
    CREATE NONCLUSTERED INDEX ix_job_error_kind ON llm.job (error_kind, job_seq)
    WHERE error_kind IS NOT NULL;
    CREATE NONCLUSTERED INDEX ix_job_dedupe_key ON llm.job (dedupe_key, job_seq)
    WHERE dedupe_key IS NOT NULL;
    CREATE NONCLUSTERED INDEX ix_job_repeats ON llm.job (repeats_run_id)
    WHERE repeats_run_id IS NOT NULL;

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO
