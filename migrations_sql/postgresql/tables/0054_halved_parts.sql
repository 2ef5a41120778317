-- A part whose window was too much for its model is halved: halved_ref_json refers to what it reads since. Its
-- evidence_ref_json stays, as that of any queued job. The other half is a further part of its parent.
ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS halved_ref_json llm.json_object NULL;

-- The parts of split jobs and what their runs left, for the run that joins them. Views read with their owner's rights.
CREATE OR REPLACE VIEW llm.v_part AS
SELECT
    p.parent_job_id,
    p.part_no,
    p.part_count,
    p.job_id,
    p.status,
    p.error_kind,
    p.last_error,
    coalesce(p.halved_ref_json, p.evidence_ref_json) AS evidence_ref_json,
    r.run_id,
    r.model_name,
    r.definition_sha256,
    r.evidence_sha256,
    r.output_json
FROM llm.job AS p
LEFT JOIN llm.run AS r ON p.job_id = r.job_id AND r.status = 'SUCCEEDED'
WHERE p.parent_job_id IS NOT NULL;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT r.rolname
        FROM pg_catalog.pg_roles AS r
        WHERE r.rolname IN ('llm_worker', 'llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.v_part TO %I', v_role);
    END LOOP;
END;
$$;
