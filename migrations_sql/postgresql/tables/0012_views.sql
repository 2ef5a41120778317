-- What people and other programs read: jobs and runs without payloads, and a row a fact out of the answers.
-- Columns are documented in migrations_sql/README.md. A view reads with its owner's rights: SELECT on it is enough.

CREATE OR REPLACE VIEW llm.v_job_status AS
SELECT
    j.job_seq,
    j.job_id,
    j.status,
    j.priority,
    j.interrogation_key,
    j.entity_type,
    j.entity_id,
    j.model_hint,
    j.attempt_count,
    j.max_attempts,
    j.created_utc,
    j.created_by,
    j.available_utc,
    j.locked_by,
    j.lease_expires_utc,
    j.current_run_id,
    j.cancel_requested_utc,
    j.hold_utc,
    j.dedupe_key,
    j.repeats_run_id,
    j.error_kind,
    j.last_error,
    j.finished_utc
FROM llm.job AS j;

-- A count or a duration that is no whole number is told as null, and never fails the whole read.
CREATE OR REPLACE VIEW llm.v_run_metrics AS
SELECT
    r.run_seq,
    r.run_id,
    r.job_id,
    r.attempt,
    r.counted,
    r.status,
    r.error_kind,
    j.interrogation_key,
    r.interrogation_version,
    j.entity_type,
    j.entity_id,
    r.worker_id,
    r.model_name,
    r.model_tag,
    r.model_digest,
    r.definition_sha256,
    r.evidence_sha256,
    r.started_utc,
    r.completed_utc,
    r.prompt_tokens,
    r.output_tokens,
    r.total_ms,
    CASE
        WHEN r.metrics_json::json ->> 'total_duration' ~ '^-?[0-9]{1,18}$'
            THEN (r.metrics_json::json ->> 'total_duration')::bigint
    END AS total_duration_ns,
    CASE
        WHEN r.metrics_json::json ->> 'load_duration' ~ '^-?[0-9]{1,18}$'
            THEN (r.metrics_json::json ->> 'load_duration')::bigint
    END AS load_duration_ns,
    CASE
        WHEN r.metrics_json::json ->> 'prompt_eval_duration' ~ '^-?[0-9]{1,18}$'
            THEN (r.metrics_json::json ->> 'prompt_eval_duration')::bigint
    END AS prompt_eval_duration_ns,
    CASE
        WHEN r.metrics_json::json ->> 'eval_duration' ~ '^-?[0-9]{1,18}$'
            THEN (r.metrics_json::json ->> 'eval_duration')::bigint
    END AS eval_duration_ns
FROM llm.run AS r
INNER JOIN llm.job AS j ON r.job_id = j.job_id;

-- Out of run.output_json, which is kept beside the lake: a lost lake is not lost data. Answers without an array
-- `facts` have no rows here.
CREATE OR REPLACE VIEW llm.v_entity_fact AS
SELECT
    r.run_seq,
    r.job_id,
    r.run_id,
    j.interrogation_key,
    r.interrogation_version,
    j.entity_type,
    j.entity_id,
    (f.place - 1)::integer AS fact_index,
    f.fact ->> 'fact_key' AS fact_key,
    f.fact ->> 'value' AS value,
    CASE WHEN f.fact ->> 'confidence' ~ '^-?[0-9]{1,9}$' THEN (f.fact ->> 'confidence')::integer END AS confidence,
    CASE WHEN json_typeof(f.fact -> 'evidence_ids') = 'array' THEN (f.fact -> 'evidence_ids')::text END
        AS evidence_ids,
    f.fact ->> 'quote' AS quote,
    r.model_name,
    r.model_digest,
    r.definition_sha256,
    r.evidence_sha256,
    r.completed_utc
FROM llm.run AS r
INNER JOIN llm.job AS j ON r.job_id = j.job_id
INNER JOIN json_array_elements(
    CASE
        WHEN json_typeof(r.output_json::json -> 'facts') = 'array' THEN r.output_json::json -> 'facts'
        ELSE '[]'::json
    END
) WITH ORDINALITY AS f (fact, place) ON TRUE
WHERE
    r.status = 'SUCCEEDED'
    AND json_typeof(f.fact) = 'object';

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format(
            'GRANT SELECT ON llm.v_job_status, llm.v_run_metrics, llm.v_entity_fact TO %I', v_role
        );
    END LOOP;
END;
$$;
