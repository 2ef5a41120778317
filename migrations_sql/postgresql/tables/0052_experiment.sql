-- Experiments: variants of a question, asked about the cases of a golden set and compared. The answers are jobs of the
-- experiment's batch. llm.experiment_case is its own copy of the cases, so that a set may change meanwhile.
CREATE TABLE IF NOT EXISTS llm.experiment (
    experiment_seq bigint GENERATED ALWAYS AS IDENTITY,
    experiment_id uuid NOT NULL,
    set_name llm.key_200 NOT NULL,
    batch_id uuid NOT NULL,
    created_utc timestamptz NOT NULL,
    created_by varchar(200) COLLATE "C" NOT NULL,
    reason text NULL,
    -- {"variants": [...]}: exact definitions, models and options.
    variants_json llm.json_object NOT NULL,
    -- {"gates": [...]}
    gates_json llm.json_object NOT NULL,
    repeats integer NOT NULL,
    cases integer NOT NULL,
    -- Once every job has ended.
    result_json llm.json_object NULL,
    is_passed boolean NULL,
    scored_utc timestamptz NULL,
    CONSTRAINT pk_experiment PRIMARY KEY (experiment_id),
    CONSTRAINT ck_experiment_bounds CHECK (repeats BETWEEN 1 AND 100 AND cases >= 1)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_experiment_seq ON llm.experiment (experiment_seq);
-- Which jobs are an experiment's, and so in no export.
CREATE UNIQUE INDEX IF NOT EXISTS ux_experiment_batch ON llm.experiment (batch_id);

CREATE TABLE IF NOT EXISTS llm.experiment_case (
    experiment_case_seq bigint GENERATED ALWAYS AS IDENTITY,
    experiment_id uuid NOT NULL,
    case_no integer NOT NULL,
    case_key llm.key_200 NOT NULL,
    interrogation_key llm.key_200 NOT NULL,
    input_json llm.json_object NOT NULL,
    evidence_json llm.json_object NOT NULL,
    expected_json llm.json_object NOT NULL,
    matching_json llm.json_object NULL,
    CONSTRAINT pk_experiment_case PRIMARY KEY (experiment_case_seq)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_experiment_case_no ON llm.experiment_case (experiment_id, case_no);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.experiment, llm.experiment_case TO %I', v_role);
    END LOOP;
END;
$$;
