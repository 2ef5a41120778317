-- What operators set for a model: pauses, limits and its context. A model without a row has no limits. llm.model_event
-- is their history; llm.model_start holds the last minute's starts of models that have a limit on them.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.model', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.model (
        model_seq bigint IDENTITY (1, 1) NOT NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        paused_utc datetime2(6) NULL,
        paused_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        pause_reason nvarchar(MAX) NULL,
        max_running int NULL,
        max_starts_per_minute int NULL,
        num_ctx int NULL,
        num_predict int NULL,
        load_ms bigint NULL,
        CONSTRAINT ux_model_seq UNIQUE CLUSTERED (model_seq),
        CONSTRAINT pk_model PRIMARY KEY NONCLUSTERED (model),
        CONSTRAINT ck_model_model CHECK (LEN(model) > 0 AND model NOT LIKE N' %' AND model NOT LIKE N'% '),
        CONSTRAINT ck_model_max_running CHECK (max_running >= 1),
        CONSTRAINT ck_model_max_starts_per_minute CHECK (max_starts_per_minute >= 1),
        CONSTRAINT ck_model_num_ctx CHECK (num_ctx >= 1),
        CONSTRAINT ck_model_num_predict CHECK (num_predict >= 1),
        CONSTRAINT ck_model_load_ms CHECK (load_ms >= 0)
    );

    CREATE TABLE llm.model_event (
        event_seq bigint IDENTITY (1, 1) NOT NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        at_utc datetime2(6) NOT NULL,
        event nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        actor nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        db_user nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_model_event_db_user DEFAULT (ORIGINAL_LOGIN()),
        reason nvarchar(MAX) NULL,
        detail_json nvarchar(MAX) NULL,
        CONSTRAINT pk_model_event PRIMARY KEY CLUSTERED (event_seq),
        CONSTRAINT ck_model_event_model CHECK (LEN(model) > 0 AND model NOT LIKE N' %' AND model NOT LIKE N'% '),
        CONSTRAINT ck_model_event_event CHECK (
            event IN (N'model_paused', N'model_resumed', N'model_limits_changed')
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_model_event_detail_json CHECK (
            ISJSON(detail_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(detail_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE NONCLUSTERED INDEX ix_model_event_model ON llm.model_event (model, event_seq);

    CREATE TABLE llm.model_start (
        start_seq bigint IDENTITY (1, 1) NOT NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        started_utc datetime2(6) NOT NULL,
        CONSTRAINT pk_model_start PRIMARY KEY CLUSTERED (start_seq),
        CONSTRAINT ck_model_start_model CHECK (LEN(model) > 0 AND model NOT LIKE N' %' AND model NOT LIKE N'% ')
    );

    CREATE NONCLUSTERED INDEX ix_model_start_model ON llm.model_start (model, started_utc);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.model TO llm_operator;
GRANT SELECT ON llm.model_event TO llm_operator;
GRANT SELECT ON llm.model_start TO llm_operator;
GRANT SELECT ON llm.model TO llm_reader;
GRANT SELECT ON llm.model_event TO llm_reader;
GRANT SELECT ON llm.model_start TO llm_reader;
GRANT SELECT ON llm.model TO llm_worker;
GO
