-- Every change of a job's state, and who made it; only ever inserted. No foreign key: history may outlive its job.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.job_event', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.job_event (
        event_seq bigint IDENTITY (1, 1) NOT NULL,
        job_id uniqueidentifier NOT NULL,
        run_id uniqueidentifier NULL,
        at_utc datetime2(6) NOT NULL,
        event nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        from_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        to_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        actor nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        -- The login that really did it, also inside a procedure and under EXECUTE AS.
        db_user nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_job_event_db_user DEFAULT (ORIGINAL_LOGIN()),
        reason nvarchar(MAX) NULL,
        detail_json nvarchar(MAX) NULL,
        CONSTRAINT pk_job_event PRIMARY KEY CLUSTERED (event_seq),
        CONSTRAINT ck_job_event_event CHECK (
            event IN (
                N'enqueued', N'promoted', N'claimed', N'completed', N'retried', N'dead_lettered', N'released',
                N'lease_expired', N'cancel_requested', N'cancelled', N'requeued', N'rescheduled', N'reprioritized',
                N'model_changed', N'held', N'unheld'
            )
        ),
        CONSTRAINT ck_job_event_from_status CHECK (
            from_status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED')
        ),
        CONSTRAINT ck_job_event_to_status CHECK (
            to_status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED')
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_job_event_detail_json CHECK (
            ISJSON(detail_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(detail_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE NONCLUSTERED INDEX ix_job_event_job ON llm.job_event (job_id, event_seq);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO
