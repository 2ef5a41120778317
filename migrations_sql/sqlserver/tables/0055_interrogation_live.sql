-- Which version of an interrogation is live, and what a version has to pass first. A key without a row, or with a row
-- without a version, has nothing promoted: then the highest installed version is live. llm.interrogation_event is the
-- history; its rows promoted and rolled_back name the promotion that a rollback returns to.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.interrogation_live', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.interrogation_live (
        live_seq bigint IDENTITY (1, 1) NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        definition_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        version nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        -- The event that made it live.
        promotion_seq bigint NULL,
        promoted_utc datetime2(6) NULL,
        promoted_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        -- The golden set on which a version has to pass gates_json, {"gates": [...], "compares_live": ...}.
        gate_set nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        gates_json nvarchar(MAX) NULL,
        CONSTRAINT ux_interrogation_live_seq UNIQUE CLUSTERED (live_seq),
        CONSTRAINT pk_interrogation_live PRIMARY KEY NONCLUSTERED (interrogation_key),
        CONSTRAINT ck_interrogation_live_interrogation_key CHECK (
            LEN(interrogation_key) > 0 AND interrogation_key NOT LIKE N' %' AND interrogation_key NOT LIKE N'% '
        ),
        -- 64 hexadecimal digits: every digit is turned into a zero.
        CONSTRAINT ck_interrogation_live_definition_sha256 CHECK (
            TRANSLATE(definition_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        CONSTRAINT ck_interrogation_live_gate_set CHECK (
            LEN(gate_set) > 0 AND gate_set NOT LIKE N' %' AND gate_set NOT LIKE N'% '
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_interrogation_live_gates_json CHECK (
            ISJSON(gates_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(gates_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE TABLE llm.interrogation_event (
        event_seq bigint IDENTITY (1, 1) NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        at_utc datetime2(6) NOT NULL,
        event nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        actor nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        db_user nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_interrogation_event_db_user DEFAULT (ORIGINAL_LOGIN()),
        reason nvarchar(MAX) NULL,
        definition_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        version nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        -- The promotion that was in force before this one.
        replaces_seq bigint NULL,
        -- The experiment that passed the gate.
        experiment_id uniqueidentifier NULL,
        detail_json nvarchar(MAX) NULL,
        CONSTRAINT pk_interrogation_event PRIMARY KEY CLUSTERED (event_seq),
        CONSTRAINT ck_interrogation_event_interrogation_key CHECK (
            LEN(interrogation_key) > 0 AND interrogation_key NOT LIKE N' %' AND interrogation_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_interrogation_event_definition_sha256 CHECK (
            TRANSLATE(definition_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        CONSTRAINT ck_interrogation_event_event CHECK (event IN (N'promoted', N'rolled_back', N'gate_changed')),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_interrogation_event_detail_json CHECK (
            ISJSON(detail_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(detail_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE NONCLUSTERED INDEX ix_interrogation_event_key ON llm.interrogation_event (interrogation_key, event_seq);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.interrogation_live TO llm_operator;
GRANT SELECT ON llm.interrogation_event TO llm_operator;
GRANT SELECT ON llm.interrogation_live TO llm_reader;
GRANT SELECT ON llm.interrogation_event TO llm_reader;
GRANT SELECT ON llm.interrogation_live TO llm_worker;
GO
