-- Files that runs left in the lake. Written once, by the completion; ux_artifact_run_type also serves reading by run.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.artifact', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.artifact (
        artifact_seq bigint IDENTITY (1, 1) NOT NULL,
        artifact_id uniqueidentifier NOT NULL CONSTRAINT df_artifact_artifact_id DEFAULT (NEWID()),
        run_id uniqueidentifier NOT NULL,
        artifact_type nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        media_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        content_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL,
        byte_count bigint NOT NULL,
        lake_uri nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        created_utc datetime2(6) NOT NULL CONSTRAINT df_artifact_created_utc DEFAULT (SYSUTCDATETIME()),
        CONSTRAINT ux_artifact_seq UNIQUE CLUSTERED (artifact_seq),
        CONSTRAINT pk_artifact PRIMARY KEY NONCLUSTERED (artifact_id),
        CONSTRAINT fk_artifact_run FOREIGN KEY (run_id) REFERENCES llm.run (run_id),
        CONSTRAINT ck_artifact_type CHECK (LEN(artifact_type) > 0),
        -- 64 hexadecimal digits: every digit is turned into a zero.
        CONSTRAINT ck_artifact_content_sha256 CHECK (
            TRANSLATE(content_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        CONSTRAINT ck_artifact_byte_count CHECK (byte_count >= 0),
        CONSTRAINT ck_artifact_lake_uri CHECK (LEN(lake_uri) > 0)
    );

    CREATE UNIQUE NONCLUSTERED INDEX ux_artifact_run_type ON llm.artifact (run_id, artifact_type);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO
