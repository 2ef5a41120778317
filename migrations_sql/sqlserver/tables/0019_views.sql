-- The views of 0012 anew: a fact also tells its answer's file, and a run's numbers its trace. Columns are documented in
-- migrations_sql/README.md. What JSON can write and text on the other engine cannot hold (U+0000, halves of surrogate
-- pairs) nvarchar holds, so that nothing has to be made readable first.
-- Dropped and made anew, so that the script can be repeated: not every engine has CREATE OR ALTER VIEW.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF OBJECT_ID(N'llm.v_run_metrics', N'V') IS NOT NULL
    DROP VIEW llm.v_run_metrics;
GO

-- A count or a duration that is no whole number is told as null, and never fails the whole read.
CREATE VIEW llm.v_run_metrics (
    run_seq,
    run_id,
    job_id,
    attempt,
    counted,
    status,
    error_kind,
    interrogation_key,
    interrogation_version,
    entity_type,
    entity_id,
    worker_id,
    model_name,
    model_tag,
    model_digest,
    definition_sha256,
    evidence_sha256,
    started_utc,
    completed_utc,
    prompt_tokens,
    output_tokens,
    total_ms,
    total_duration_ns,
    load_duration_ns,
    prompt_eval_duration_ns,
    eval_duration_ns,
    trace_id
)
AS
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
    TRY_CAST(JSON_VALUE(r.metrics_json, '$.total_duration') AS bigint),
    TRY_CAST(JSON_VALUE(r.metrics_json, '$.load_duration') AS bigint),
    TRY_CAST(JSON_VALUE(r.metrics_json, '$.prompt_eval_duration') AS bigint),
    TRY_CAST(JSON_VALUE(r.metrics_json, '$.eval_duration') AS bigint),
    r.trace_id
FROM llm.run AS r
INNER JOIN llm.job AS j ON r.job_id = j.job_id;
GO

IF OBJECT_ID(N'llm.v_entity_fact', N'V') IS NOT NULL
    DROP VIEW llm.v_entity_fact;
GO

-- Out of run.output_json, which is kept beside the lake: a lost lake is not lost data. Answers without an array
-- `facts` have no rows here. OPENJSON tells an element's place as its key; type 5 is an object. What is no scalar
-- comes as JSON, as on PostgreSQL.
CREATE VIEW llm.v_entity_fact (
    run_seq,
    job_id,
    run_id,
    interrogation_key,
    interrogation_version,
    entity_type,
    entity_id,
    fact_index,
    fact_key,
    value,
    confidence,
    evidence_ids,
    quote,
    model_name,
    model_digest,
    definition_sha256,
    evidence_sha256,
    completed_utc,
    model_tag,
    lake_uri,
    content_sha256
)
AS
SELECT
    r.run_seq,
    r.job_id,
    r.run_id,
    j.interrogation_key,
    r.interrogation_version,
    j.entity_type,
    j.entity_id,
    CAST(e.[key] AS int),
    COALESCE(f.fact_key, f.fact_key_json),
    COALESCE(f.fact_value, f.fact_value_json),
    TRY_CAST(f.confidence AS int),
    CASE WHEN LEFT(f.evidence_ids, 1) = N'[' THEN f.evidence_ids END,
    COALESCE(f.quote, f.quote_json),
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
LEFT JOIN llm.artifact AS a ON r.run_id = a.run_id AND a.artifact_type = N'parsed_output'
CROSS APPLY OPENJSON(r.output_json, '$.facts') AS e
CROSS APPLY OPENJSON(CASE WHEN e.[type] = 5 THEN e.[value] ELSE N'{}' END) WITH (
    fact_key nvarchar(MAX) '$.fact_key',
    fact_key_json nvarchar(MAX) '$.fact_key' AS JSON,
    fact_value nvarchar(MAX) '$.value',
    fact_value_json nvarchar(MAX) '$.value' AS JSON,
    confidence nvarchar(40) '$.confidence',
    evidence_ids nvarchar(MAX) '$.evidence_ids' AS JSON,
    quote nvarchar(MAX) '$.quote',
    quote_json nvarchar(MAX) '$.quote' AS JSON
) AS f
WHERE r.status = N'SUCCEEDED'
    AND e.[type] = 5
    AND LEFT(JSON_QUERY(r.output_json, '$.facts'), 1) = N'[';
GO

GRANT SELECT ON llm.v_run_metrics TO llm_operator;
GRANT SELECT ON llm.v_entity_fact TO llm_operator;
GRANT SELECT ON llm.v_run_metrics TO llm_reader;
GRANT SELECT ON llm.v_entity_fact TO llm_reader;
GO
