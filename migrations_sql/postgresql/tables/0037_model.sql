-- What operators set for a model: pauses, limits and its context. A model without a row has no limits. llm.model_event
-- is their history; llm.model_start holds the last minute's starts of models that have a limit on them.
CREATE TABLE IF NOT EXISTS llm.model (
    model_seq bigint GENERATED ALWAYS AS IDENTITY,
    model llm.key_200 NOT NULL,
    paused_utc timestamptz NULL,
    paused_by varchar(200) COLLATE "C" NULL,
    pause_reason text NULL,
    max_running integer NULL,
    max_starts_per_minute integer NULL,
    num_ctx integer NULL,
    num_predict integer NULL,
    load_ms bigint NULL,
    CONSTRAINT pk_model PRIMARY KEY (model),
    CONSTRAINT ck_model_max_running CHECK (max_running >= 1),
    CONSTRAINT ck_model_max_starts_per_minute CHECK (max_starts_per_minute >= 1),
    CONSTRAINT ck_model_num_ctx CHECK (num_ctx >= 1),
    CONSTRAINT ck_model_num_predict CHECK (num_predict >= 1),
    CONSTRAINT ck_model_load_ms CHECK (load_ms >= 0)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_model_seq ON llm.model (model_seq);

CREATE TABLE IF NOT EXISTS llm.model_event (
    event_seq bigint GENERATED ALWAYS AS IDENTITY,
    model llm.key_200 NOT NULL,
    at_utc timestamptz NOT NULL,
    event varchar(40) COLLATE "C" NOT NULL,
    actor varchar(200) COLLATE "C" NOT NULL,
    -- The login that really did it, also inside a SECURITY DEFINER function.
    db_user varchar(200) COLLATE "C" NOT NULL DEFAULT session_user,
    reason text NULL,
    detail_json llm.json_object NULL,
    CONSTRAINT pk_model_event PRIMARY KEY (event_seq),
    CONSTRAINT ck_model_event_event CHECK (event IN ('model_paused', 'model_resumed', 'model_limits_changed'))
);

CREATE INDEX IF NOT EXISTS ix_model_event_model ON llm.model_event (model, event_seq);

CREATE TABLE IF NOT EXISTS llm.model_start (
    start_seq bigint GENERATED ALWAYS AS IDENTITY,
    model llm.key_200 NOT NULL,
    started_utc timestamptz NOT NULL,
    CONSTRAINT pk_model_start PRIMARY KEY (start_seq)
);

CREATE INDEX IF NOT EXISTS ix_model_start_model ON llm.model_start (model, started_utc);

-- As in 0003_functions, but for types of another procedure whose name is longer: usp_set_model beside
-- usp_set_model_hint.
CREATE OR REPLACE PROCEDURE llm.drop_procedure(procedure_name text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_dropped text;
BEGIN
    FOR v_dropped IN
        SELECT p.oid::regprocedure::text
        FROM pg_proc AS p
        WHERE p.pronamespace = 'llm'::regnamespace
          AND p.proname = drop_procedure.procedure_name
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_dropped;
    END LOOP;
    FOR v_dropped IN
        SELECT t.oid::regtype::text
        FROM pg_type AS t
        JOIN pg_class AS c ON c.oid = t.typrelid AND c.relkind = 'c'
        WHERE t.typnamespace = 'llm'::regnamespace
          AND starts_with(t.typname::text, drop_procedure.procedure_name || '_')
          AND NOT EXISTS (
              SELECT 1
              FROM pg_proc AS longer
              WHERE longer.pronamespace = 'llm'::regnamespace
                AND starts_with(longer.proname::text, drop_procedure.procedure_name || '_')
                AND starts_with(t.typname::text, longer.proname || '_')
          )
    LOOP
        EXECUTE 'DROP TYPE ' || v_dropped;
    END LOOP;
END;
$$;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.model, llm.model_event, llm.model_start TO %I', v_role);
    END LOOP;
    IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'llm_worker') THEN
        GRANT SELECT ON llm.model TO llm_worker;
    END IF;
END;
$$;
