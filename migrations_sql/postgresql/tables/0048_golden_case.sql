-- Golden cases: questions with the facts that a right answer has. A case carries its own input and evidence, so that it
-- outlives the job it was made from; from_run_id and from_review_id say where it came from and are not foreign keys.
CREATE TABLE IF NOT EXISTS llm.golden_case (
    case_seq bigint GENERATED ALWAYS AS IDENTITY,
    case_id uuid NOT NULL DEFAULT gen_random_uuid(),
    set_name llm.key_200 NOT NULL,
    case_key llm.key_200 NOT NULL,
    interrogation_key llm.key_200 NOT NULL,
    input_json llm.json_object NOT NULL,
    -- As evidence_ref_json of a job: {"items": [{"evidence_id", "text", "source_uri"?}]}.
    evidence_json llm.json_object NOT NULL,
    -- {"facts": [{"key", "value", "quote"?, "evidence_id"?}]}
    expected_json llm.json_object NOT NULL,
    -- {"*" or a key: "same", "exact", "present", "ignore"}; null: values are compared by the proof rules' equality.
    matching_json llm.json_object NULL,
    from_run_id uuid NULL,
    from_review_id uuid NULL,
    created_utc timestamptz NOT NULL,
    created_by varchar(200) COLLATE "C" NOT NULL,
    changed_utc timestamptz NOT NULL,
    changed_by varchar(200) COLLATE "C" NOT NULL,
    CONSTRAINT pk_golden_case PRIMARY KEY (case_id)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_golden_case_seq ON llm.golden_case (case_seq);
CREATE UNIQUE INDEX IF NOT EXISTS ux_golden_case_key ON llm.golden_case (set_name, case_key);
CREATE INDEX IF NOT EXISTS ix_golden_case_set ON llm.golden_case (set_name, case_seq);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.golden_case TO %I', v_role);
    END LOOP;
END;
$$;
