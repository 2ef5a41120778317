-- Jobs that are to be queued as a whole, part by part as they came: nothing of them is in the queue before they are
-- published together. Whoever does not come to that leaves them behind; they go when somebody else begins.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.staged_jobs', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.staged_jobs (
        staged_seq bigint IDENTITY (1, 1) NOT NULL,
        stage_id uniqueidentifier NOT NULL,
        part_no int NOT NULL,
        jobs_json nvarchar(MAX) NOT NULL,
        staged_utc datetime2(6) NOT NULL,
        CONSTRAINT pk_staged_jobs PRIMARY KEY CLUSTERED (staged_seq)
    );

    CREATE UNIQUE NONCLUSTERED INDEX ux_staged_jobs_part ON llm.staged_jobs (stage_id, part_no);
    CREATE NONCLUSTERED INDEX ix_staged_jobs_staged ON llm.staged_jobs (staged_utc);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.staged_jobs TO llm_operator;
GRANT SELECT ON llm.staged_jobs TO llm_reader;
GO
