-- Which version of an interrogation is live, and what a version has to pass first. A key without a row, or with a row
-- without a version, has nothing promoted: then the highest installed version is live. llm.interrogation_event is the
-- history; its rows promoted and rolled_back name the promotion that a rollback returns to.
CREATE TABLE IF NOT EXISTS llm.interrogation_live (
    live_seq bigint GENERATED ALWAYS AS IDENTITY,
    interrogation_key llm.key_200 NOT NULL,
    definition_sha256 llm.sha256 NULL,
    version varchar(40) COLLATE "C" NULL,
    -- The event that made it live.
    promotion_seq bigint NULL,
    promoted_utc timestamptz NULL,
    promoted_by varchar(200) COLLATE "C" NULL,
    -- The golden set on which a version has to pass gates_json, {"gates": [...], "compares_live": ...}.
    gate_set llm.key_200 NULL,
    gates_json llm.json_object NULL,
    CONSTRAINT pk_interrogation_live PRIMARY KEY (interrogation_key)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_interrogation_live_seq ON llm.interrogation_live (live_seq);

CREATE TABLE IF NOT EXISTS llm.interrogation_event (
    event_seq bigint GENERATED ALWAYS AS IDENTITY,
    interrogation_key llm.key_200 NOT NULL,
    at_utc timestamptz NOT NULL,
    event varchar(40) COLLATE "C" NOT NULL,
    actor varchar(200) COLLATE "C" NOT NULL,
    -- The login that really did it, also inside a SECURITY DEFINER function.
    db_user varchar(200) COLLATE "C" NOT NULL DEFAULT session_user,
    reason text NULL,
    definition_sha256 llm.sha256 NULL,
    version varchar(40) COLLATE "C" NULL,
    -- The promotion that was in force before this one.
    replaces_seq bigint NULL,
    -- The experiment that passed the gate.
    experiment_id uuid NULL,
    detail_json llm.json_object NULL,
    CONSTRAINT pk_interrogation_event PRIMARY KEY (event_seq),
    CONSTRAINT ck_interrogation_event_event CHECK (event IN ('promoted', 'rolled_back', 'gate_changed'))
);

CREATE INDEX IF NOT EXISTS ix_interrogation_event_key ON llm.interrogation_event (interrogation_key, event_seq);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.interrogation_live, llm.interrogation_event TO %I', v_role);
    END LOOP;
    IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'llm_worker') THEN
        GRANT SELECT ON llm.interrogation_live TO llm_worker;
    END IF;
END;
$$;
