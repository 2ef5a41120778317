-- Attempts at jobs. A run's row is made by the claim and ended once: by completion, release or reap.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.run', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.run (
        run_seq bigint IDENTITY (1, 1) NOT NULL,
        run_id uniqueidentifier NOT NULL CONSTRAINT df_run_run_id DEFAULT (NEWID()),
        job_id uniqueidentifier NOT NULL,
        attempt int NOT NULL,
        counted bit NOT NULL CONSTRAINT df_run_counted DEFAULT (1),
        started_utc datetime2(6) NOT NULL,
        completed_utc datetime2(6) NULL,
        lease_until_utc datetime2(6) NOT NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        worker_id nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        ollama_base_url nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        model_name nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        model_tag nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        model_digest nvarchar(100) COLLATE Latin1_General_100_BIN2 NULL,
        options_json nvarchar(MAX) NULL,
        metrics_json nvarchar(MAX) NULL,
        prompt_tokens int NULL,
        output_tokens int NULL,
        total_ms bigint NULL,
        interrogation_version nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        definition_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        output_json nvarchar(MAX) NULL,
        trace_id nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        error nvarchar(MAX) NULL,
        CONSTRAINT ux_run_seq UNIQUE CLUSTERED (run_seq),
        CONSTRAINT pk_run PRIMARY KEY NONCLUSTERED (run_id),
        CONSTRAINT fk_run_job FOREIGN KEY (job_id) REFERENCES llm.job (job_id),
        CONSTRAINT ck_run_attempt CHECK (attempt >= 1),
        CONSTRAINT ck_run_status CHECK (status IN (N'RUNNING', N'SUCCEEDED', N'FAILED', N'CANCELLED')),
        CONSTRAINT ck_run_completed CHECK (
            (status = N'RUNNING' AND completed_utc IS NULL) OR (status <> N'RUNNING' AND completed_utc IS NOT NULL)
        ),
        -- 64 hexadecimal digits: every digit is turned into a zero.
        CONSTRAINT ck_run_definition_sha256 CHECK (
            TRANSLATE(definition_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        CONSTRAINT ck_run_evidence_sha256 CHECK (
            TRANSLATE(evidence_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        -- JSON objects: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_run_options_json CHECK (
            ISJSON(options_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(options_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_run_metrics_json CHECK (
            ISJSON(metrics_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(metrics_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_run_output_json CHECK (
            ISJSON(output_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(output_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE UNIQUE NONCLUSTERED INDEX ux_run_job_attempt ON llm.run (job_id, attempt);
    -- One success a job, held by the database itself.
    CREATE UNIQUE NONCLUSTERED INDEX ux_run_succeeded ON llm.run (job_id)
    WHERE status = N'SUCCEEDED';
    CREATE NONCLUSTERED INDEX ix_run_completed ON llm.run (completed_utc, run_seq);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO
