-- The views of 0012 anew: no row of theirs can fail the whole read, and a fact also tells its answer's file. Columns
-- are documented in migrations_sql/README.md.

-- Promises: the document as json, of which every part can be read as text. U+0000 and halves of surrogate pairs, which
--   JSON can write and text cannot hold, become U+FFFD; without this, one such answer would fail every query of a view.
--   Backslashes before an escape are paired first, so that a text about escapes stays what it is.
CREATE OR REPLACE FUNCTION llm.readable_json(document text)
RETURNS json
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN strpos(document, '\u') = 0 OR document !~* '\\u(0000|d[89a-f])' THEN document::json
        ELSE regexp_replace(
            regexp_replace(
                regexp_replace(document, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g'),
                '(?<!\\)((?:\\\\)*)\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})', '\1\\ufffd', 'g'
            ),
            '(?<!\\|\\u[dD][89abAB][0-9a-fA-F]{2})((?:\\\\)*)\\u[dD][c-fC-F][0-9a-fA-F]{2}', '\1\\ufffd', 'g'
        )::json
    END;
$$;

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
        WHEN m.metrics ->> 'total_duration' ~ '^-?[0-9]{1,18}$'
            THEN (m.metrics ->> 'total_duration')::bigint
    END AS total_duration_ns,
    CASE
        WHEN m.metrics ->> 'load_duration' ~ '^-?[0-9]{1,18}$'
            THEN (m.metrics ->> 'load_duration')::bigint
    END AS load_duration_ns,
    CASE
        WHEN m.metrics ->> 'prompt_eval_duration' ~ '^-?[0-9]{1,18}$'
            THEN (m.metrics ->> 'prompt_eval_duration')::bigint
    END AS prompt_eval_duration_ns,
    CASE
        WHEN m.metrics ->> 'eval_duration' ~ '^-?[0-9]{1,18}$'
            THEN (m.metrics ->> 'eval_duration')::bigint
    END AS eval_duration_ns,
    r.trace_id
FROM llm.run AS r
INNER JOIN llm.job AS j ON r.job_id = j.job_id
CROSS JOIN LATERAL (VALUES (llm.readable_json(r.metrics_json))) AS m (metrics);

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
    r.completed_utc,
    r.model_tag,
    a.lake_uri,
    a.content_sha256
FROM llm.run AS r
INNER JOIN llm.job AS j ON r.job_id = j.job_id
LEFT JOIN llm.artifact AS a ON r.run_id = a.run_id AND a.artifact_type = 'parsed_output'
CROSS JOIN LATERAL (VALUES (llm.readable_json(r.output_json) -> 'facts')) AS o (facts)
INNER JOIN json_array_elements(
    CASE
        WHEN json_typeof(o.facts) = 'array' THEN o.facts
        ELSE '[]'::json
    END
) WITH ORDINALITY AS f (fact, place) ON TRUE
WHERE
    r.status = 'SUCCEEDED'
    AND json_typeof(f.fact) = 'object';
