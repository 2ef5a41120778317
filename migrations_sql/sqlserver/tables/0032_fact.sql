-- Facts: a row for each cited object of a SUCCEEDED run's answer, with the place of its proof and the verdict on it.
-- fact_set says whose facts are stored, also where an answer has none: a SUCCEEDED run without a row there still waits
-- for usp_rebuild_facts. entity_lock is what whoever writes facts of an entity locks first.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.fact_set', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.fact_set (
        fact_set_seq bigint IDENTITY (1, 1) NOT NULL,
        run_id uniqueidentifier NOT NULL,
        run_seq bigint NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        entity_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        entity_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        fact_count int NOT NULL,
        stored_utc datetime2(6) NOT NULL,
        stored_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        CONSTRAINT ux_fact_set_seq UNIQUE CLUSTERED (fact_set_seq),
        CONSTRAINT pk_fact_set PRIMARY KEY NONCLUSTERED (run_id),
        CONSTRAINT fk_fact_set_run FOREIGN KEY (run_id) REFERENCES llm.run (run_id)
    );

    CREATE NONCLUSTERED INDEX ix_fact_set_entity ON llm.fact_set (entity_id, entity_type)
    WHERE entity_id IS NOT NULL;

    COMMIT TRANSACTION;
END;

IF OBJECT_ID(N'llm.fact', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.fact (
        fact_seq bigint IDENTITY (1, 1) NOT NULL,
        fact_id uniqueidentifier NOT NULL CONSTRAINT df_fact_fact_id DEFAULT (NEWID()),
        run_id uniqueidentifier NOT NULL,
        job_id uniqueidentifier NOT NULL,
        fact_index int NOT NULL,
        path nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        entity_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        entity_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        fact_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        value nvarchar(MAX) NULL,
        -- What two values must share to be the same; null takes no part in conflicts.
        value_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        quote nvarchar(MAX) NULL,
        evidence_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_ids nvarchar(MAX) NULL,
        -- Code points in the text of that item as stored, the end exclusive.
        quote_start int NULL,
        quote_end int NULL,
        occurrences int NOT NULL,
        confidence decimal(5, 2) NULL,
        proof nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        verdict nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        why nvarchar(1000) NULL,
        -- False once a newer run of the same interrogation, entity and evidence has its facts stored.
        is_current bit NOT NULL,
        conflict_id uniqueidentifier NULL,
        review_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        reviewed_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        reviewed_utc datetime2(6) NULL,
        corrected_value nvarchar(MAX) NULL,
        CONSTRAINT ux_fact_seq UNIQUE CLUSTERED (fact_seq),
        CONSTRAINT pk_fact PRIMARY KEY NONCLUSTERED (fact_id),
        CONSTRAINT fk_fact_run FOREIGN KEY (run_id) REFERENCES llm.run (run_id),
        CONSTRAINT ck_fact_verdict CHECK (verdict IN (N'SUPPORTED', N'REFUTED', N'NOT_ENOUGH_INFO')),
        CONSTRAINT ck_fact_review_status CHECK (
            review_status IN (N'NONE', N'OPEN', N'ACCEPTED', N'CORRECTED', N'REJECTED')
        ),
        CONSTRAINT ck_fact_bounds CHECK (fact_index >= 0 AND occurrences >= 0 AND confidence BETWEEN 0 AND 100),
        -- A place is an item and two offsets, or nothing.
        CONSTRAINT ck_fact_place CHECK (
            (evidence_id IS NULL AND quote_start IS NULL AND quote_end IS NULL)
            OR (
                evidence_id IS NOT NULL AND quote_start IS NOT NULL AND quote_end IS NOT NULL
                AND quote_start >= 0 AND quote_end >= quote_start
            )
        )
    );

    CREATE UNIQUE NONCLUSTERED INDEX ux_fact_run ON llm.fact (run_id, fact_index);
    CREATE NONCLUSTERED INDEX ix_fact_job ON llm.fact (job_id);
    CREATE NONCLUSTERED INDEX ix_fact_entity ON llm.fact (entity_id, entity_type, fact_seq)
    WHERE entity_id IS NOT NULL;
    CREATE NONCLUSTERED INDEX ix_fact_key ON llm.fact (fact_key, fact_seq)
    WHERE fact_key IS NOT NULL;
    CREATE NONCLUSTERED INDEX ix_fact_interrogation ON llm.fact (interrogation_key, fact_seq);
    CREATE NONCLUSTERED INDEX ix_fact_verdict ON llm.fact (verdict, fact_seq);
    CREATE NONCLUSTERED INDEX ix_fact_review ON llm.fact (review_status, fact_seq)
    WHERE review_status <> N'NONE';
    CREATE NONCLUSTERED INDEX ix_fact_conflict ON llm.fact (conflict_id, fact_seq)
    WHERE conflict_id IS NOT NULL;

    COMMIT TRANSACTION;
END;

-- One slot stands for many entities; who writes facts of an entity holds its slot until the end of the transaction.
IF OBJECT_ID(N'llm.entity_lock', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.entity_lock (
        slot int NOT NULL,
        taken_utc datetime2(6) NULL,
        CONSTRAINT pk_entity_lock PRIMARY KEY CLUSTERED (slot)
    );

    WITH digit AS (
        SELECT d.n
        FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15)) AS d (n)
    )

    INSERT INTO llm.entity_lock (slot)
    SELECT a.n + 16 * b.n + 256 * c.n + 4096 * d.n
    FROM digit AS a
    CROSS JOIN digit AS b
    CROSS JOIN digit AS c
    CROSS JOIN digit AS d
    WHERE d.n < 4;

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

-- The slot of an entity; null where it is not named by type and id.
IF OBJECT_ID(N'llm.entity_slot', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.entity_slot (@entity_type nvarchar(200), @entity_id nvarchar(400))
RETURNS int
AS
BEGIN
    IF @entity_type IS NULL OR @entity_id IS NULL
        RETURN NULL;
    RETURN CAST(
        SUBSTRING(HASHBYTES(''SHA2_256'', CONCAT(@entity_type, NCHAR(10), @entity_id)), 1, 2) AS int
    ) % 16384;
END');
END;
GO

-- The id that facts share which disagree about one key of one subject: an entity, or a run that names none.
IF OBJECT_ID(N'llm.conflict_id_of', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.conflict_id_of (
    @subject_type nvarchar(200), @subject_id nvarchar(400), @fact_key nvarchar(200)
)
RETURNS uniqueidentifier
AS
BEGIN
    RETURN CAST(
        SUBSTRING(
            HASHBYTES(
                ''SHA2_256'',
                CONCAT(
                    LEN(@subject_type), N'':'', @subject_type, LEN(@subject_id), N'':'', @subject_id, @fact_key
                )
            ), 1, 16
        ) AS uniqueidentifier
    );
END');
END;
GO

-- A purge deletes thousands of rows in one statement: see 0020.
IF SERVERPROPERTY('BabelfishVersion') IS NULL
BEGIN
    EXEC (N'ALTER TABLE llm.fact SET (LOCK_ESCALATION = DISABLE)');
    EXEC (N'ALTER TABLE llm.fact_set SET (LOCK_ESCALATION = DISABLE)');
    EXEC (N'ALTER TABLE llm.entity_lock SET (LOCK_ESCALATION = DISABLE)');
END;
GO

GRANT SELECT ON llm.fact TO llm_operator;
GRANT SELECT ON llm.fact_set TO llm_operator;
GRANT SELECT ON llm.entity_lock TO llm_operator;
GRANT SELECT ON llm.fact TO llm_reader;
GRANT SELECT ON llm.fact_set TO llm_reader;
GRANT SELECT ON llm.entity_lock TO llm_reader;
GO
