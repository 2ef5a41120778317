-- What happened, by the hour: moves of state, tokens, and how long jobs waited, runs took and the model worked. Counted
-- out of job_event by usp_roll_up_hours, which alone writes here; it outlives the jobs it tells of. Grows with the
-- hours and with what they differ in, never with the jobs.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.stat_hour', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    -- A row is an hour of one interrogation, model and kind of error. A run's end is told under the model that answered
    -- and the error it ended with; every other move under the model that the job asked for, and no error. Empty: none.
    -- The key is 888 bytes at its longest; a clustered one may have 900.
    CREATE TABLE llm.stat_hour (
        hour_utc datetime2(6) NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        enqueued bigint NOT NULL CONSTRAINT df_stat_hour_enqueued DEFAULT (0),
        promoted bigint NOT NULL CONSTRAINT df_stat_hour_promoted DEFAULT (0),
        claimed bigint NOT NULL CONSTRAINT df_stat_hour_claimed DEFAULT (0),
        succeeded bigint NOT NULL CONSTRAINT df_stat_hour_succeeded DEFAULT (0),
        failed bigint NOT NULL CONSTRAINT df_stat_hour_failed DEFAULT (0),
        dead_lettered bigint NOT NULL CONSTRAINT df_stat_hour_dead_lettered DEFAULT (0),
        retried bigint NOT NULL CONSTRAINT df_stat_hour_retried DEFAULT (0),
        released bigint NOT NULL CONSTRAINT df_stat_hour_released DEFAULT (0),
        lease_expired bigint NOT NULL CONSTRAINT df_stat_hour_lease_expired DEFAULT (0),
        cancelled bigint NOT NULL CONSTRAINT df_stat_hour_cancelled DEFAULT (0),
        requeued bigint NOT NULL CONSTRAINT df_stat_hour_requeued DEFAULT (0),
        prompt_tokens bigint NOT NULL CONSTRAINT df_stat_hour_prompt_tokens DEFAULT (0),
        output_tokens bigint NOT NULL CONSTRAINT df_stat_hour_output_tokens DEFAULT (0),
        -- Of the runs whose answers' tokens are counted: output_tokens over these is the model's speed.
        model_ms bigint NOT NULL CONSTRAINT df_stat_hour_model_ms DEFAULT (0),
        CONSTRAINT pk_stat_hour PRIMARY KEY CLUSTERED (hour_utc, interrogation_key, model, error_kind)
    );

    -- Histograms with fixed buckets: so many took longer than the bucket below this one, and at most up_to_ms. The
    -- bounds are 10, 20, 50, 100 … 100,000,000 milliseconds (28 hours); what took longer is in the last bucket,
    -- 1,000,000,000. measure: wait (ready until claimed), run (claimed until ended), model (the call of the model).
    CREATE TABLE llm.stat_hour_time (
        hour_utc datetime2(6) NOT NULL,
        measure nvarchar(10) COLLATE Latin1_General_100_BIN2 NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        up_to_ms bigint NOT NULL,
        amount bigint NOT NULL CONSTRAINT df_stat_hour_time_amount DEFAULT (0),
        CONSTRAINT pk_stat_hour_time PRIMARY KEY CLUSTERED (hour_utc, measure, interrogation_key, model, up_to_ms),
        CONSTRAINT ck_stat_hour_time_measure CHECK (measure IN (N'wait', N'run', N'model'))
    );

    -- How far the counting has come: every event up to event_seq is in, and so is all that was committed before
    -- through_utc.
    CREATE TABLE llm.stat_mark (
        stat_name nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        event_seq bigint NOT NULL,
        through_utc datetime2(6) NULL,
        CONSTRAINT pk_stat_mark PRIMARY KEY CLUSTERED (stat_name)
    );

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.stat_hour TO llm_operator;
GRANT SELECT ON llm.stat_hour_time TO llm_operator;
GRANT SELECT ON llm.stat_mark TO llm_operator;
GRANT SELECT ON llm.stat_hour TO llm_reader;
GRANT SELECT ON llm.stat_hour_time TO llm_reader;
GRANT SELECT ON llm.stat_mark TO llm_reader;
GO
