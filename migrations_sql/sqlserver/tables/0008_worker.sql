-- Workers as their heartbeats tell of them.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.worker', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.worker (
        worker_id nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        host nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        pid int NULL,
        version nvarchar(100) COLLATE Latin1_General_100_BIN2 NULL,
        started_utc datetime2(6) NULL,
        last_seen_utc datetime2(6) NOT NULL,
        concurrency int NULL,
        active_runs int NOT NULL CONSTRAINT df_worker_active_runs DEFAULT (0),
        stopping bit NOT NULL CONSTRAINT df_worker_stopping DEFAULT (0),
        CONSTRAINT pk_worker PRIMARY KEY CLUSTERED (worker_id),
        CONSTRAINT ck_worker_active_runs CHECK (active_runs >= 0)
    );

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO
