-- Reviews: what people decided about facts, which facts wait for a decision, and how many reviewers an interrogation
-- asks for. A fact waits while it has a review_priority, the priority of its job; review_round counts the opinions it
-- has so far. Who looks at it claims it for a while: review_claimed_by, review_claim_expires_utc, in no index.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF COL_LENGTH(N'llm.fact', N'review_priority') IS NULL
    ALTER TABLE llm.fact ADD review_priority int NULL;
IF COL_LENGTH(N'llm.fact', N'review_round') IS NULL
    ALTER TABLE llm.fact ADD review_round int NOT NULL CONSTRAINT df_fact_review_round DEFAULT (0);
IF COL_LENGTH(N'llm.fact', N'review_claimed_by') IS NULL
    ALTER TABLE llm.fact ADD review_claimed_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL;
IF COL_LENGTH(N'llm.fact', N'review_claim_expires_utc') IS NULL
    ALTER TABLE llm.fact ADD review_claim_expires_utc datetime2(6) NULL;
-- The place that a correction names; the fact's own quote stays as it was answered.
IF COL_LENGTH(N'llm.fact', N'corrected_quote') IS NULL
    ALTER TABLE llm.fact ADD corrected_quote nvarchar(MAX) NULL;
IF COL_LENGTH(N'llm.fact', N'corrected_evidence_id') IS NULL
    ALTER TABLE llm.fact ADD corrected_evidence_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL;
IF COL_LENGTH(N'llm.fact', N'corrected_quote_start') IS NULL
    ALTER TABLE llm.fact ADD corrected_quote_start int NULL;
IF COL_LENGTH(N'llm.fact', N'corrected_quote_end') IS NULL
    ALTER TABLE llm.fact ADD corrected_quote_end int NULL;
GO

UPDATE f
SET review_priority = j.priority
FROM llm.fact AS f
INNER JOIN llm.job AS j
    ON f.job_id = j.job_id
WHERE
    f.review_priority IS NULL
    AND (f.review_status = N'OPEN' OR (f.conflict_id IS NOT NULL AND f.review_status = N'NONE'));
GO

IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_fact_to_review' AND object_id = OBJECT_ID(N'llm.fact')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_fact_to_review ON llm.fact (review_round, review_priority DESC, fact_seq)
    WHERE review_priority IS NOT NULL AND is_current = 1;
END;
GO

-- Append only. No foreign key: a fact that is rebuilt as another leaves its reviews, which a purge of the run takes.
SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.fact_review', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.fact_review (
        review_seq bigint IDENTITY (1, 1) NOT NULL,
        review_id uniqueidentifier NOT NULL CONSTRAINT df_fact_review_review_id DEFAULT (NEWID()),
        fact_id uniqueidentifier NOT NULL,
        run_id uniqueidentifier NOT NULL,
        job_id uniqueidentifier NOT NULL,
        fact_index int NOT NULL,
        -- NONE takes back what the same person decided before.
        decision nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        from_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        to_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        at_utc datetime2(6) NOT NULL,
        actor nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        db_user nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_fact_review_db_user DEFAULT (ORIGINAL_LOGIN()),
        reason nvarchar(MAX) NULL,
        -- Why it was to be reviewed: verdict, conflict, sample; asked: it was not.
        because nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        -- The fact as it was decided on.
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        fact_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        value nvarchar(MAX) NULL,
        value_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        proof nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        verdict nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        confidence decimal(5, 2) NULL,
        corrected_value nvarchar(MAX) NULL,
        corrected_value_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        quote nvarchar(MAX) NULL,
        quote_start int NULL,
        quote_end int NULL,
        CONSTRAINT ux_fact_review_seq UNIQUE CLUSTERED (review_seq),
        CONSTRAINT pk_fact_review PRIMARY KEY NONCLUSTERED (review_id),
        CONSTRAINT ck_fact_review_decision CHECK (
            decision IN (N'ACCEPTED', N'CORRECTED', N'REJECTED', N'NOT_SURE', N'NONE', N'ADDED')
        ),
        CONSTRAINT ck_fact_review_from_status CHECK (
            from_status IN (N'NONE', N'OPEN', N'ACCEPTED', N'CORRECTED', N'REJECTED')
        ),
        CONSTRAINT ck_fact_review_to_status CHECK (
            to_status IN (N'NONE', N'OPEN', N'ACCEPTED', N'CORRECTED', N'REJECTED')
        ),
        CONSTRAINT ck_fact_review_verdict CHECK (verdict IN (N'SUPPORTED', N'REFUTED', N'NOT_ENOUGH_INFO'))
    );

    CREATE NONCLUSTERED INDEX ix_fact_review_fact ON llm.fact_review (fact_id, review_seq);
    CREATE NONCLUSTERED INDEX ix_fact_review_run ON llm.fact_review (run_id);

    COMMIT TRANSACTION;
END;

-- Append only: the newest row of an interrogation holds. Without one: 2 %, one reviewer.
IF OBJECT_ID(N'llm.review_policy', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.review_policy (
        policy_seq bigint IDENTITY (1, 1) NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        sample_percent decimal(5, 2) NOT NULL,
        reviewers int NOT NULL,
        changed_utc datetime2(6) NOT NULL,
        changed_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        db_user nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_review_policy_db_user DEFAULT (ORIGINAL_LOGIN()),
        reason nvarchar(MAX) NULL,
        CONSTRAINT pk_review_policy PRIMARY KEY CLUSTERED (policy_seq),
        CONSTRAINT ck_review_policy_bounds CHECK (sample_percent BETWEEN 0 AND 100 AND reviewers BETWEEN 1 AND 2)
    );

    CREATE NONCLUSTERED INDEX ix_review_policy_key ON llm.review_policy (interrogation_key, policy_seq);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

SET XACT_ABORT ON;
BEGIN TRANSACTION;

ALTER TABLE llm.job_event DROP CONSTRAINT IF EXISTS ck_job_event_event;
ALTER TABLE llm.job_event ADD CONSTRAINT ck_job_event_event CHECK (
    event IN (
        N'enqueued', N'promoted', N'claimed', N'completed', N'retried', N'dead_lettered', N'released',
        N'lease_expired', N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized',
        N'model_changed', N'held', N'unheld', N'purged', N'fact_reviewed'
    )
);

COMMIT TRANSACTION;
SET XACT_ABORT OFF;
GO

-- Whether a fact is of the share of admitted ones that people look at: always the same answer for one fact.
IF OBJECT_ID(N'llm.is_in_review_sample', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.is_in_review_sample (@fact_id uniqueidentifier, @sample_percent decimal(5, 2))
RETURNS bit
AS
BEGIN
    RETURN CASE
        WHEN CAST(
            SUBSTRING(HASHBYTES(''SHA2_256'', LOWER(CAST(@fact_id AS nvarchar(36)))), 1, 2) AS int
        ) < @sample_percent * 655.36 THEN 1
        ELSE 0
    END;
END');
END;
GO

-- The place in the queue of a fact about which somebody has to decide: none for one that was decided on.
IF OBJECT_ID(N'llm.review_priority_of', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.review_priority_of (
    @job_id uniqueidentifier, @review_status nvarchar(40), @review_priority int
)
RETURNS int
AS
BEGIN
    RETURN CASE
        WHEN @review_status IN (N''NONE'', N''OPEN'')
            THEN COALESCE(@review_priority, (SELECT j.priority FROM llm.job AS j WHERE j.job_id = @job_id))
    END;
END');
END;
GO

-- A purge deletes thousands of rows in one statement: see 0020.
IF SERVERPROPERTY('BabelfishVersion') IS NULL
BEGIN
    EXEC (N'ALTER TABLE llm.fact_review SET (LOCK_ESCALATION = DISABLE)');
END;
GO

GRANT SELECT ON llm.fact_review TO llm_operator;
GRANT SELECT ON llm.review_policy TO llm_operator;
GRANT SELECT ON llm.fact_review TO llm_reader;
GRANT SELECT ON llm.review_policy TO llm_reader;
GO
