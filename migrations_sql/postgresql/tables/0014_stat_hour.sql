-- What happened, by the hour: moves of state, tokens, and how long jobs waited, runs took and the model worked. Counted
-- out of job_event by usp_roll_up_hours, which alone writes here; it outlives the jobs it tells of. Grows with the
-- hours and with what they differ in, never with the jobs.

-- A row is an hour of one interrogation, model and kind of error. A run's end is told under the model that answered and
-- the error it ended with; every other move under the model that the job asked for, and no error. Empty: none.
CREATE TABLE IF NOT EXISTS llm.stat_hour (
    hour_utc timestamptz NOT NULL,
    interrogation_key varchar(200) COLLATE "C" NOT NULL,
    model varchar(200) COLLATE "C" NOT NULL,
    error_kind varchar(40) COLLATE "C" NOT NULL,
    enqueued bigint NOT NULL DEFAULT 0,
    promoted bigint NOT NULL DEFAULT 0,
    claimed bigint NOT NULL DEFAULT 0,
    succeeded bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    retried bigint NOT NULL DEFAULT 0,
    released bigint NOT NULL DEFAULT 0,
    lease_expired bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    requeued bigint NOT NULL DEFAULT 0,
    prompt_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    -- Of the runs whose answers' tokens are counted: output_tokens over these is the model's speed.
    model_ms bigint NOT NULL DEFAULT 0,
    CONSTRAINT pk_stat_hour PRIMARY KEY (hour_utc, interrogation_key, model, error_kind)
) WITH (fillfactor = 70);  -- the running hour's rows are rewritten in place, again and again

-- Histograms with fixed buckets: so many took longer than the bucket below this one, and at most up_to_ms. The bounds
-- are 10, 20, 50, 100 … 100,000,000 milliseconds (28 hours); what took longer is in the last bucket, 1,000,000,000.
-- measure: wait (ready until claimed), run (claimed until ended), model (the call of the model).
CREATE TABLE IF NOT EXISTS llm.stat_hour_time (
    hour_utc timestamptz NOT NULL,
    measure varchar(10) COLLATE "C" NOT NULL,
    interrogation_key varchar(200) COLLATE "C" NOT NULL,
    model varchar(200) COLLATE "C" NOT NULL,
    up_to_ms bigint NOT NULL,
    amount bigint NOT NULL DEFAULT 0,
    CONSTRAINT pk_stat_hour_time PRIMARY KEY (hour_utc, measure, interrogation_key, model, up_to_ms),
    CONSTRAINT ck_stat_hour_time_measure CHECK (measure IN ('wait', 'run', 'model'))
) WITH (fillfactor = 70);

-- How far the counting has come: every event up to event_seq is in, and so is all that was committed before
-- through_utc.
CREATE TABLE IF NOT EXISTS llm.stat_mark (
    stat_name varchar(40) COLLATE "C" NOT NULL,
    event_seq bigint NOT NULL,
    through_utc timestamptz NULL,
    CONSTRAINT pk_stat_mark PRIMARY KEY (stat_name)
) WITH (fillfactor = 50);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format(
            'GRANT SELECT ON llm.stat_hour, llm.stat_hour_time, llm.stat_mark TO %I', v_role
        );
    END LOOP;
END;
$$;
