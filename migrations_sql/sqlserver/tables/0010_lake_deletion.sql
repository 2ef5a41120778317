-- Files of purged jobs that the lake still has to lose: written with the purge, worked off and retried afterwards.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.lake_deletion', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.lake_deletion (
        deletion_seq bigint IDENTITY (1, 1) NOT NULL,
        job_id uniqueidentifier NOT NULL,
        run_id uniqueidentifier NOT NULL,
        lake_uri nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        requested_utc datetime2(6) NOT NULL,
        requested_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        reason nvarchar(MAX) NULL,
        attempts int NOT NULL CONSTRAINT df_lake_deletion_attempts DEFAULT (0),
        last_error nvarchar(MAX) NULL,
        deleted_utc datetime2(6) NULL,
        CONSTRAINT pk_lake_deletion PRIMARY KEY CLUSTERED (deletion_seq),
        CONSTRAINT ck_lake_deletion_attempts CHECK (attempts >= 0)
    );

    CREATE NONCLUSTERED INDEX ix_lake_deletion_open ON llm.lake_deletion (deletion_seq)
    WHERE deleted_utc IS NULL;

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO
