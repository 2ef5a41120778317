-- Facts: a row for each cited object of a SUCCEEDED run's answer, with the place of its proof and the verdict on it.
-- fact_set says whose facts are stored, also where an answer has none: a SUCCEEDED run without a row there still waits
-- for usp_rebuild_facts. entity_lock is what whoever writes facts of an entity locks first.
DO $$
BEGIN
    CREATE DOMAIN llm.fact_verdict AS varchar(40) COLLATE "C" CONSTRAINT ck_fact_verdict CHECK (
        value IN ('SUPPORTED', 'REFUTED', 'NOT_ENOUGH_INFO')
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

DO $$
BEGIN
    CREATE DOMAIN llm.fact_review_status AS varchar(40) COLLATE "C" CONSTRAINT ck_fact_review_status CHECK (
        value IN ('NONE', 'OPEN', 'ACCEPTED', 'CORRECTED', 'REJECTED')
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

CREATE TABLE IF NOT EXISTS llm.fact_set (
    fact_set_seq bigint GENERATED ALWAYS AS IDENTITY,
    run_id uuid NOT NULL,
    run_seq bigint NOT NULL,
    interrogation_key varchar(200) COLLATE "C" NOT NULL,
    entity_type varchar(200) COLLATE "C" NULL,
    entity_id varchar(400) COLLATE "C" NULL,
    evidence_sha256 varchar(64) COLLATE "C" NULL,
    fact_count integer NOT NULL,
    stored_utc timestamptz NOT NULL,
    stored_by varchar(200) COLLATE "C" NOT NULL,
    CONSTRAINT pk_fact_set PRIMARY KEY (run_id),
    CONSTRAINT fk_fact_set_run FOREIGN KEY (run_id) REFERENCES llm.run (run_id)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_fact_set_seq ON llm.fact_set (fact_set_seq);
CREATE INDEX IF NOT EXISTS ix_fact_set_entity ON llm.fact_set (entity_id, entity_type) WHERE entity_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS llm.fact (
    fact_seq bigint GENERATED ALWAYS AS IDENTITY,
    fact_id uuid NOT NULL DEFAULT gen_random_uuid(),
    run_id uuid NOT NULL,
    job_id uuid NOT NULL,
    fact_index integer NOT NULL,
    path varchar(400) COLLATE "C" NOT NULL,
    interrogation_key varchar(200) COLLATE "C" NOT NULL,
    entity_type varchar(200) COLLATE "C" NULL,
    entity_id varchar(400) COLLATE "C" NULL,
    fact_key varchar(200) COLLATE "C" NULL,
    value text NULL,
    -- What two values must share to be the same; null takes no part in conflicts.
    value_key varchar(400) COLLATE "C" NULL,
    quote text NULL,
    evidence_id varchar(400) COLLATE "C" NULL,
    evidence_ids text NULL,
    -- Code points in the text of that item as stored, the end exclusive.
    quote_start integer NULL,
    quote_end integer NULL,
    occurrences integer NOT NULL,
    confidence numeric(5, 2) NULL,
    proof varchar(40) COLLATE "C" NOT NULL,
    verdict llm.fact_verdict NOT NULL,
    why varchar(1000) NULL,
    -- False once a newer run of the same interrogation, entity and evidence has its facts stored.
    is_current boolean NOT NULL,
    conflict_id uuid NULL,
    review_status llm.fact_review_status NOT NULL,
    reviewed_by varchar(200) COLLATE "C" NULL,
    reviewed_utc timestamptz NULL,
    corrected_value text NULL,
    CONSTRAINT pk_fact PRIMARY KEY (fact_id),
    CONSTRAINT fk_fact_run FOREIGN KEY (run_id) REFERENCES llm.run (run_id),
    CONSTRAINT ck_fact_bounds CHECK (fact_index >= 0 AND occurrences >= 0 AND confidence BETWEEN 0 AND 100),
    -- A place is an item and two offsets, or nothing.
    CONSTRAINT ck_fact_place CHECK (
        (evidence_id IS NULL AND quote_start IS NULL AND quote_end IS NULL)
        OR (
            evidence_id IS NOT NULL AND quote_start IS NOT NULL AND quote_end IS NOT NULL
            AND quote_start >= 0 AND quote_end >= quote_start
        )
    )
) WITH (
    fillfactor = 90  -- what follows newer runs and reviews is in no index but one: mostly HOT
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_fact_seq ON llm.fact (fact_seq);
CREATE UNIQUE INDEX IF NOT EXISTS ux_fact_run ON llm.fact (run_id, fact_index);
CREATE INDEX IF NOT EXISTS ix_fact_job ON llm.fact (job_id);
CREATE INDEX IF NOT EXISTS ix_fact_entity ON llm.fact (entity_id, entity_type, fact_seq) WHERE entity_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_fact_key ON llm.fact (fact_key, fact_seq) WHERE fact_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_fact_interrogation ON llm.fact (interrogation_key, fact_seq);
CREATE INDEX IF NOT EXISTS ix_fact_verdict ON llm.fact (verdict, fact_seq);
CREATE INDEX IF NOT EXISTS ix_fact_review ON llm.fact (review_status, fact_seq) WHERE review_status <> 'NONE';
CREATE INDEX IF NOT EXISTS ix_fact_conflict ON llm.fact (conflict_id, fact_seq) WHERE conflict_id IS NOT NULL;

-- One slot stands for many entities; who writes facts of an entity holds its slot until the end of the transaction.
CREATE TABLE IF NOT EXISTS llm.entity_lock (
    slot integer NOT NULL,
    taken_utc timestamptz NULL,
    CONSTRAINT pk_entity_lock PRIMARY KEY (slot)
);

INSERT INTO llm.entity_lock (slot)
SELECT s.slot
FROM generate_series(0, 16383) AS s (slot)
ON CONFLICT DO NOTHING;

-- The slot of an entity; null where it is not named by type and id.
CREATE OR REPLACE FUNCTION llm.entity_slot(entity_type text, entity_id text)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (
        pg_catalog.hashtextextended(entity_id, pg_catalog.hashtextextended(entity_type, 0)) & 16383
    )::integer
$$;

-- The id that facts share which disagree about one key of one subject: an entity, or a run that names none.
CREATE OR REPLACE FUNCTION llm.conflict_id_of(subject_type text, subject_id text, fact_key text)
RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.encode(
        pg_catalog.substr(
            pg_catalog.sha256(
                pg_catalog.convert_to(
                    pg_catalog.json_build_array(subject_type, subject_id, fact_key)::text, 'UTF8'
                )
            ),
            1, 16
        ),
        'hex'
    )::uuid
$$;

REVOKE ALL ON FUNCTION llm.entity_slot(text, text) FROM public;
REVOKE ALL ON FUNCTION llm.conflict_id_of(text, text, text) FROM public;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.fact, llm.fact_set, llm.entity_lock TO %I', v_role);
    END LOOP;
END;
$$;
