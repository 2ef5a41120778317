-- Sealed history: job_event hashed into a chain, a row a seal; and the event by which a purge says what it took.
-- A seal's document, with every hash it holds, is in the lake; pending_json keeps it until it is there.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.seal', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.seal (
        seal_seq bigint NOT NULL,
        first_event_seq bigint NOT NULL,
        last_event_seq bigint NOT NULL,
        event_count int NOT NULL,
        -- The head of the seal before; of the first one 64 zeros.
        previous_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL,
        -- The head: of the document's bytes, among which is the head before.
        sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL,
        created_utc datetime2(6) NOT NULL,
        db_user nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_seal_db_user DEFAULT (ORIGINAL_LOGIN()),
        pending_json nvarchar(MAX) NULL,
        CONSTRAINT pk_seal PRIMARY KEY CLUSTERED (seal_seq),
        CONSTRAINT ck_seal_seal_seq CHECK (seal_seq >= 1),
        CONSTRAINT ck_seal_event_count CHECK (event_count >= 1),
        -- 64 hexadecimal digits: every digit is turned into a zero.
        CONSTRAINT ck_seal_previous_sha256 CHECK (
            TRANSLATE(previous_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        CONSTRAINT ck_seal_sha256 CHECK (
            TRANSLATE(sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_seal_pending_json CHECK (
            ISJSON(pending_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(pending_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE NONCLUSTERED INDEX ix_seal_pending ON llm.seal (seal_seq)
    WHERE pending_json IS NOT NULL;

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
        N'model_changed', N'held', N'unheld', N'purged'
    )
);

COMMIT TRANSACTION;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.seal TO llm_operator;
GRANT SELECT ON llm.seal TO llm_reader;
GO
