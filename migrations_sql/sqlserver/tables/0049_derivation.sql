-- Derivations: a source and an interrogation, whose answers are kept current. llm.derivation is what was declared,
-- llm.subject one entity of one derivation: what its newest job was asked, and which answer is in use.
-- No hot row: a worker never writes a subject. usp_settle_subjects reads the events of jobs, behind the hours' mark,
-- and settles the subjects whose jobs they are of.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.derivation', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.derivation (
        derivation_seq bigint IDENTITY (1, 1) NOT NULL,
        derivation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        declared_in nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        source_name nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        -- Pinned; null: the version that workers use now.
        version nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        -- Null: the workers' own.
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        priority int NOT NULL CONSTRAINT df_derivation_priority DEFAULT (100),
        max_attempts int NOT NULL CONSTRAINT df_derivation_max_attempts DEFAULT (3),
        -- Five fields of cron, UTC; null: applied by hand only.
        schedule nvarchar(100) COLLATE Latin1_General_100_BIN2 NULL,
        rate_per_minute int NULL,
        depth_limit int NULL,
        budget_tokens bigint NULL,
        budget_model_seconds bigint NULL,
        retire_policy nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        created_utc datetime2(6) NOT NULL CONSTRAINT df_derivation_created_utc DEFAULT (SYSUTCDATETIME()),
        created_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        changed_utc datetime2(6) NOT NULL CONSTRAINT df_derivation_changed_utc DEFAULT (SYSUTCDATETIME()),
        changed_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        paused_utc datetime2(6) NULL,
        paused_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        pause_reason nvarchar(MAX) NULL,
        -- The newest comparison of all subjects, and the newest that left nothing to queue.
        planned_utc datetime2(6) NULL,
        applied_utc datetime2(6) NULL,
        next_utc datetime2(6) NULL,
        -- With a rate: jobs queued so far start until then.
        paced_until_utc datetime2(6) NULL,
        CONSTRAINT ux_derivation_seq UNIQUE CLUSTERED (derivation_seq),
        CONSTRAINT pk_derivation PRIMARY KEY NONCLUSTERED (derivation_key),
        CONSTRAINT ck_derivation_derivation_key CHECK (
            LEN(derivation_key) > 0 AND derivation_key NOT LIKE N' %' AND derivation_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_derivation_source_name CHECK (
            LEN(source_name) > 0 AND source_name NOT LIKE N' %' AND source_name NOT LIKE N'% '
        ),
        CONSTRAINT ck_derivation_interrogation_key CHECK (
            LEN(interrogation_key) > 0 AND interrogation_key NOT LIKE N' %' AND interrogation_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_derivation_model CHECK (LEN(model) > 0 AND model NOT LIKE N' %' AND model NOT LIKE N'% '),
        CONSTRAINT ck_derivation_declared_in CHECK (declared_in IN (N'file', N'admin')),
        CONSTRAINT ck_derivation_retire_policy CHECK (retire_policy IN (N'keep', N'retire')),
        CONSTRAINT ck_derivation_priority CHECK (priority >= 0),
        CONSTRAINT ck_derivation_max_attempts CHECK (max_attempts >= 1),
        CONSTRAINT ck_derivation_rate_per_minute CHECK (rate_per_minute >= 1),
        CONSTRAINT ck_derivation_depth_limit CHECK (depth_limit >= 1),
        CONSTRAINT ck_derivation_budget_tokens CHECK (budget_tokens >= 1),
        CONSTRAINT ck_derivation_budget_model_seconds CHECK (budget_model_seconds >= 1)
    );

    CREATE TABLE llm.subject (
        subject_seq bigint IDENTITY (1, 1) NOT NULL,
        derivation_seq bigint NOT NULL,
        entity_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        entity_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        state nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        stale_because nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        -- Of a retired one that a rule leaves out: the rule's reason.
        why nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        -- What the newest job was asked: token and fingerprint of its evidence, definition, model.
        change_token nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        definition_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        -- How often somebody asked again; part of the job's id.
        asks int NOT NULL CONSTRAINT df_subject_asks DEFAULT (0),
        job_id uniqueidentifier NULL,
        -- The answer in use: its job and its run.
        answer_job_id uniqueidentifier NULL,
        run_id uniqueidentifier NULL,
        changed_utc datetime2(6) NOT NULL CONSTRAINT df_subject_changed_utc DEFAULT (SYSUTCDATETIME()),
        answered_utc datetime2(6) NULL,
        CONSTRAINT pk_subject PRIMARY KEY CLUSTERED (subject_seq),
        CONSTRAINT ck_subject_entity_type CHECK (
            LEN(entity_type) > 0 AND entity_type NOT LIKE N' %' AND entity_type NOT LIKE N'% '
        ),
        CONSTRAINT ck_subject_entity_id CHECK (
            LEN(entity_id) > 0 AND entity_id NOT LIKE N' %' AND entity_id NOT LIKE N'% '
        ),
        CONSTRAINT ck_subject_evidence_sha256 CHECK (
            TRANSLATE(evidence_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        CONSTRAINT ck_subject_definition_sha256 CHECK (
            TRANSLATE(definition_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        CONSTRAINT ck_subject_state CHECK (
            state IN (N'MISSING', N'QUEUED', N'CURRENT', N'STALE', N'FAILED', N'RETIRED')
        ),
        CONSTRAINT ck_subject_stale_because CHECK (
            stale_because IN (N'evidence', N'definition', N'model', N'asked')
        )
    );

    CREATE UNIQUE NONCLUSTERED INDEX ux_subject_entity ON llm.subject (derivation_seq, entity_type, entity_id);
    CREATE NONCLUSTERED INDEX ix_subject_state ON llm.subject (derivation_seq, state, subject_seq)
    INCLUDE (stale_because);
    CREATE NONCLUSTERED INDEX ix_subject_job ON llm.subject (job_id)
    WHERE job_id IS NOT NULL;
    CREATE NONCLUSTERED INDEX ix_subject_answer_job ON llm.subject (answer_job_id)
    WHERE answer_job_id IS NOT NULL;

    -- Jobs whose answers are no longer in use: a newer one succeeded, or the subject is gone. Their facts are not
    -- admitted.
    CREATE TABLE llm.past_answer (
        job_id uniqueidentifier NOT NULL,
        because nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        since_utc datetime2(6) NOT NULL CONSTRAINT df_past_answer_since_utc DEFAULT (SYSUTCDATETIME()),
        CONSTRAINT pk_past_answer PRIMARY KEY CLUSTERED (job_id),
        CONSTRAINT ck_past_answer_because CHECK (because IN (N'superseded', N'retired'))
    );

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.derivation TO llm_operator;
GRANT SELECT ON llm.subject TO llm_operator;
GRANT SELECT ON llm.past_answer TO llm_operator;
GRANT SELECT ON llm.derivation TO llm_reader;
GRANT SELECT ON llm.subject TO llm_reader;
GRANT SELECT ON llm.past_answer TO llm_reader;
GO
