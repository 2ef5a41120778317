-- The model servers of each worker, as its heartbeats tell of them. They go with their worker's row.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.endpoint', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.endpoint (
        worker_id nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        name nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        protocol nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        address nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        slots int NOT NULL,
        state nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        serving_model nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        serving_since_utc datetime2(6) NULL,
        resident_models_json nvarchar(MAX) NULL,
        models_json nvarchar(MAX) NULL,
        last_error nvarchar(1000) COLLATE Latin1_General_100_BIN2 NULL,
        last_seen_utc datetime2(6) NOT NULL,
        CONSTRAINT pk_endpoint PRIMARY KEY CLUSTERED (worker_id, name),
        CONSTRAINT fk_endpoint_worker FOREIGN KEY (worker_id) REFERENCES llm.worker (worker_id) ON DELETE CASCADE,
        CONSTRAINT ck_endpoint_name CHECK (LEN(name) > 0 AND name NOT LIKE N' %' AND name NOT LIKE N'% '),
        CONSTRAINT ck_endpoint_serving_model CHECK (
            LEN(serving_model) > 0 AND serving_model NOT LIKE N' %' AND serving_model NOT LIKE N'% '
        ),
        CONSTRAINT ck_endpoint_slots CHECK (slots >= 1),
        CONSTRAINT ck_endpoint_state CHECK (state IN (N'UP', N'DOWN', N'PAUSED'))
    );

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.endpoint TO llm_operator;
GRANT SELECT ON llm.endpoint TO llm_reader;
GO
