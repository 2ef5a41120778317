-- Batches: jobs queued together, with a counted end. llm.batch has what was asked for and what became of it,
-- llm.batch_event its history, llm.batch_count its jobs by state, llm.batch_progress its pace, llm.batch_spend what was
-- spent and is not yet added up.
-- No hot row: a worker never writes a batch as its jobs move. Whoever makes a job of a batch unfinished (enqueue,
-- requeue) locks the batch's row first; usp_sweep_batches locks it too, looks for an unfinished job and ends the batch
-- if there is none. So an end is counted once, and never while a job is on its way in. There is no foreign key from
-- job: it would read and lock the batch's row for each job, and enqueue, the only writer, has just read it.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.batch', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.batch (
        batch_seq bigint IDENTITY (1, 1) NOT NULL,
        batch_id uniqueidentifier NOT NULL CONSTRAINT df_batch_batch_id DEFAULT (NEWID()),
        name nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        created_utc datetime2(6) NOT NULL CONSTRAINT df_batch_created_utc DEFAULT (SYSUTCDATETIME()),
        created_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        derivation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        -- The batch whose on_finish made this one.
        previous_batch_id uniqueidentifier NULL,
        queued_jobs bigint NOT NULL CONSTRAINT df_batch_queued_jobs DEFAULT (0),
        duplicate_jobs bigint NOT NULL CONSTRAINT df_batch_duplicate_jobs DEFAULT (0),
        -- From then on it may end; more jobs may still come until it has.
        filled_utc datetime2(6) NULL,
        paused_utc datetime2(6) NULL,
        paused_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        pause_reason nvarchar(MAX) NULL,
        -- A pause or resume is brought to the jobs in steps, in job_seq order: this far. Null: to all of them.
        marked_job_seq bigint NULL,
        cancelled_utc datetime2(6) NULL,
        cancelled_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        budget_tokens bigint NULL,
        budget_model_seconds bigint NULL,
        spent_tokens bigint NOT NULL CONSTRAINT df_batch_spent_tokens DEFAULT (0),
        spent_model_ms bigint NOT NULL CONSTRAINT df_batch_spent_model_ms DEFAULT (0),
        on_finish_json nvarchar(MAX) NULL,
        continued_utc datetime2(6) NULL,
        finished_utc datetime2(6) NULL,
        -- Whether sweeps look at it: until it has ended, and after that while jobs of it are requeued or it must
        -- continue.
        is_watched bit NOT NULL CONSTRAINT df_batch_is_watched DEFAULT (1),
        counted_utc datetime2(6) NULL,
        count_ms int NOT NULL CONSTRAINT df_batch_count_ms DEFAULT (0),
        CONSTRAINT ux_batch_seq UNIQUE CLUSTERED (batch_seq),
        CONSTRAINT pk_batch PRIMARY KEY NONCLUSTERED (batch_id),
        CONSTRAINT ck_batch_name CHECK (LEN(name) > 0 AND name NOT LIKE N' %' AND name NOT LIKE N'% '),
        CONSTRAINT ck_batch_derivation_key CHECK (
            LEN(derivation_key) > 0 AND derivation_key NOT LIKE N' %' AND derivation_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_batch_budget_tokens CHECK (budget_tokens >= 1),
        CONSTRAINT ck_batch_budget_model_seconds CHECK (budget_model_seconds >= 1),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_batch_on_finish_json CHECK (
            ISJSON(on_finish_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(on_finish_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    -- A name finds the batch that has not ended; ended ones keep theirs.
    CREATE UNIQUE NONCLUSTERED INDEX ux_batch_open_name ON llm.batch (name)
    WHERE finished_utc IS NULL;
    CREATE NONCLUSTERED INDEX ix_batch_name ON llm.batch (name, batch_seq);
    CREATE NONCLUSTERED INDEX ix_batch_watched ON llm.batch (batch_seq)
    WHERE is_watched = 1;

    CREATE TABLE llm.batch_event (
        event_seq bigint IDENTITY (1, 1) NOT NULL,
        batch_id uniqueidentifier NOT NULL,
        at_utc datetime2(6) NOT NULL,
        event nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        actor nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        db_user nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_batch_event_db_user DEFAULT (ORIGINAL_LOGIN()),
        reason nvarchar(MAX) NULL,
        detail_json nvarchar(MAX) NULL,
        CONSTRAINT pk_batch_event PRIMARY KEY CLUSTERED (event_seq),
        CONSTRAINT ck_batch_event_event CHECK (
            event IN (
                N'batch_created', N'batch_filled', N'batch_paused', N'batch_resumed', N'batch_cancelled',
                N'batch_budget_changed', N'batch_finished', N'batch_continued'
            )
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_batch_event_detail_json CHECK (
            ISJSON(detail_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(detail_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE NONCLUSTERED INDEX ix_batch_event_batch ON llm.batch_event (batch_id, event_seq);

    -- Rows of one state add up. A sweep replaces what it counted (is_purged 0) as a whole; a purge adds what it removed
    -- (is_purged 1), and takes it from what was counted, so the sum is right at any time.
    CREATE TABLE llm.batch_count (
        count_seq bigint IDENTITY (1, 1) NOT NULL,
        batch_id uniqueidentifier NOT NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        is_purged bit NOT NULL,
        jobs bigint NOT NULL,
        CONSTRAINT pk_batch_count PRIMARY KEY CLUSTERED (count_seq)
    );

    CREATE NONCLUSTERED INDEX ix_batch_count_batch ON llm.batch_count (batch_id, count_seq);

    CREATE TABLE llm.batch_progress (
        progress_seq bigint IDENTITY (1, 1) NOT NULL,
        batch_id uniqueidentifier NOT NULL,
        at_utc datetime2(6) NOT NULL,
        ended_jobs bigint NOT NULL,
        spent_tokens bigint NOT NULL,
        spent_model_ms bigint NOT NULL,
        CONSTRAINT pk_batch_progress PRIMARY KEY CLUSTERED (progress_seq)
    );

    CREATE NONCLUSTERED INDEX ix_batch_progress_batch ON llm.batch_progress (batch_id, progress_seq);

    -- Written by the roll-up of hours, which sees the end of each run once; taken away by the sweep that adds it up.
    CREATE TABLE llm.batch_spend (
        spend_seq bigint IDENTITY (1, 1) NOT NULL,
        batch_id uniqueidentifier NOT NULL,
        tokens bigint NOT NULL,
        model_ms bigint NOT NULL,
        CONSTRAINT pk_batch_spend PRIMARY KEY CLUSTERED (spend_seq)
    );

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

IF COL_LENGTH(N'llm.job', N'batch_id') IS NULL
BEGIN
    ALTER TABLE llm.job ADD batch_id uniqueidentifier NULL;
END;
-- Set while the batch is paused: not to be claimed, whatever its state.
IF COL_LENGTH(N'llm.job', N'paused_utc') IS NULL
BEGIN
    ALTER TABLE llm.job ADD paused_utc datetime2(6) NULL;
END;
GO

-- Unfinished jobs of a batch. A job keeps its place here until it ends, whatever moves it makes: a look at this index
-- cannot miss it between two states, and a pass along it meets each job once. finished_utc is carried along, because a
-- filter on IS NULL alone does not spare the look at the row.
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_batch_open', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_batch_open ON llm.job (batch_id, job_seq)
    INCLUDE (finished_utc)
    WHERE batch_id IS NOT NULL AND finished_utc IS NULL;
END;
-- Reading side: lists and counts.
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_batch_status', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_batch_status ON llm.job (batch_id, status, job_seq)
    INCLUDE (error_kind)
    WHERE batch_id IS NOT NULL;
END;
-- The claim's indexes again, without paused jobs: a claim never walks over them, however many they are.
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_claimable', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_claimable ON llm.job (priority DESC, available_utc, job_seq)
    INCLUDE (paused_utc)
    WHERE status = N'NEW' AND paused_utc IS NULL;
END;
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_claimable_model', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_claimable_model ON llm.job (model_hint, priority DESC, available_utc, job_seq)
    INCLUDE (paused_utc)
    WHERE status = N'NEW' AND paused_utc IS NULL;
END;
IF INDEXPROPERTY(OBJECT_ID(N'llm.job'), N'ix_job_claimable_priority', 'IndexID') IS NULL
BEGIN
    CREATE NONCLUSTERED INDEX ix_job_claimable_priority ON llm.job (priority DESC, model_hint DESC)
    INCLUDE (paused_utc)
    WHERE status = N'NEW' AND paused_utc IS NULL;
END;
GO

DROP INDEX IF EXISTS ix_job_ready ON llm.job;
DROP INDEX IF EXISTS ix_job_ready_model ON llm.job;
DROP INDEX IF EXISTS ix_job_ready_priority ON llm.job;
GO

GRANT SELECT ON llm.batch TO llm_operator;
GRANT SELECT ON llm.batch_event TO llm_operator;
GRANT SELECT ON llm.batch_count TO llm_operator;
GRANT SELECT ON llm.batch_progress TO llm_operator;
GRANT SELECT ON llm.batch_spend TO llm_operator;
GRANT SELECT ON llm.batch TO llm_reader;
GRANT SELECT ON llm.batch_event TO llm_reader;
GRANT SELECT ON llm.batch_count TO llm_reader;
GRANT SELECT ON llm.batch_progress TO llm_reader;
GRANT SELECT ON llm.batch_spend TO llm_reader;
GO
