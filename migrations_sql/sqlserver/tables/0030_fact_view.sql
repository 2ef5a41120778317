-- llm.v_entity_fact again, without a cast that can fail. Where `facts` is an object its keys are texts, and SQL Server
-- may cast a key before the WHERE removes that answer: one such answer would then fail every reader.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
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
    TRY_CAST(e.[key] AS int),
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

GRANT SELECT ON llm.v_entity_fact TO llm_operator;
GRANT SELECT ON llm.v_entity_fact TO llm_reader;
GO
