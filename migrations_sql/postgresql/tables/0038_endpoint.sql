-- The model servers of each worker, as its heartbeats tell of them. Rewritten every few seconds, like llm.worker: HOT,
-- in a loosely filled page. They go with their worker's row.
CREATE TABLE IF NOT EXISTS llm.endpoint (
    worker_id varchar(200) COLLATE "C" NOT NULL,
    name llm.key_200 NOT NULL,
    protocol varchar(40) COLLATE "C" NOT NULL,
    address varchar(400) COLLATE "C" NOT NULL,
    slots integer NOT NULL,
    state varchar(40) COLLATE "C" NOT NULL,
    serving_model llm.key_200 NULL,
    serving_since_utc timestamptz NULL,
    resident_models_json text NULL,
    models_json text NULL,
    last_error varchar(1000) COLLATE "C" NULL,
    last_seen_utc timestamptz NOT NULL,
    CONSTRAINT pk_endpoint PRIMARY KEY (worker_id, name),
    CONSTRAINT fk_endpoint_worker FOREIGN KEY (worker_id) REFERENCES llm.worker (worker_id) ON DELETE CASCADE,
    CONSTRAINT ck_endpoint_slots CHECK (slots >= 1),
    CONSTRAINT ck_endpoint_state CHECK (state IN ('UP', 'DOWN', 'PAUSED'))
) WITH (fillfactor = 50);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.endpoint TO %I', v_role);
    END LOOP;
END;
$$;
