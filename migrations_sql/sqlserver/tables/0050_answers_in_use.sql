-- Facts of an answer that is no longer in use (llm.past_answer) are not admitted, and disagree with no other.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF OBJECT_ID(N'llm.v_admitted_fact', N'V') IS NOT NULL
    DROP VIEW llm.v_admitted_fact;
GO

IF OBJECT_ID(N'llm.v_entity_fact', N'V') IS NOT NULL
    DROP VIEW llm.v_entity_fact;
GO

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
    content_sha256,
    fact_seq,
    fact_id,
    path,
    value_key,
    evidence_id,
    quote_start,
    quote_end,
    occurrences,
    proof,
    verdict,
    why,
    is_current,
    conflict_id,
    review_status,
    reviewed_by,
    reviewed_utc,
    corrected_value,
    admitted,
    corrected_evidence_id,
    corrected_quote,
    corrected_quote_start,
    corrected_quote_end
)
AS
SELECT
    r.run_seq,
    f.job_id,
    f.run_id,
    f.interrogation_key,
    r.interrogation_version,
    f.entity_type,
    f.entity_id,
    f.fact_index,
    f.fact_key,
    f.value,
    CASE WHEN f.confidence = FLOOR(f.confidence) THEN TRY_CAST(f.confidence AS int) END,
    COALESCE(f.evidence_ids, N'["' + STRING_ESCAPE(f.evidence_id, 'json') + N'"]'),
    f.quote,
    r.model_name,
    r.model_digest,
    r.definition_sha256,
    r.evidence_sha256,
    r.completed_utc,
    r.model_tag,
    a.lake_uri,
    a.content_sha256,
    f.fact_seq,
    f.fact_id,
    f.path,
    f.value_key,
    f.evidence_id,
    f.quote_start,
    f.quote_end,
    f.occurrences,
    f.proof,
    f.verdict,
    f.why,
    f.is_current,
    f.conflict_id,
    f.review_status,
    f.reviewed_by,
    f.reviewed_utc,
    f.corrected_value,
    TRY_CAST(
        CASE
            WHEN f.is_current = 0 THEN 0
            WHEN EXISTS (SELECT 1 FROM llm.past_answer AS past WHERE past.job_id = f.job_id) THEN 0
            WHEN f.review_status IN (N'ACCEPTED', N'CORRECTED') THEN 1
            WHEN f.verdict <> N'SUPPORTED' OR f.review_status <> N'NONE' THEN 0
            WHEN f.conflict_id IS NULL THEN 1
            WHEN EXISTS (
                SELECT 1
                FROM llm.fact AS other
                WHERE
                    other.conflict_id = f.conflict_id
                    AND other.is_current = 1
                    AND NOT EXISTS (SELECT 1 FROM llm.past_answer AS past WHERE past.job_id = other.job_id)
                    AND other.value_key <> f.value_key
                    AND (
                        other.review_status IN (N'ACCEPTED', N'CORRECTED')
                        OR (
                            other.review_status <> N'REJECTED'
                            AND NOT EXISTS (
                                SELECT 1
                                FROM llm.fact AS decided
                                WHERE
                                    decided.conflict_id = f.conflict_id
                                    AND decided.is_current = 1
                                    AND NOT EXISTS (
                                        SELECT 1
                                        FROM llm.past_answer AS past
                                        WHERE past.job_id = decided.job_id
                                    )
                                    AND decided.value_key = f.value_key
                                    AND decided.review_status IN (N'ACCEPTED', N'CORRECTED')
                            )
                        )
                    )
            ) THEN 0
            ELSE 1
        END AS bit
    ),
    f.corrected_evidence_id,
    f.corrected_quote,
    f.corrected_quote_start,
    f.corrected_quote_end
FROM llm.fact AS f
INNER JOIN llm.run AS r ON f.run_id = r.run_id
LEFT JOIN llm.artifact AS a ON f.run_id = a.run_id AND a.artifact_type = N'parsed_output';
GO

-- What downstream reads; a corrected fact with the value and the place that people gave it.
CREATE VIEW llm.v_admitted_fact (
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
    content_sha256,
    fact_seq,
    fact_id,
    path,
    value_key,
    evidence_id,
    quote_start,
    quote_end,
    occurrences,
    proof,
    verdict,
    why,
    is_current,
    conflict_id,
    review_status,
    reviewed_by,
    reviewed_utc,
    corrected_value,
    admitted,
    corrected_evidence_id,
    corrected_quote,
    corrected_quote_start,
    corrected_quote_end
)
AS
SELECT
    v.run_seq,
    v.job_id,
    v.run_id,
    v.interrogation_key,
    v.interrogation_version,
    v.entity_type,
    v.entity_id,
    v.fact_index,
    v.fact_key,
    CASE WHEN v.review_status = N'CORRECTED' THEN v.corrected_value ELSE v.value END,
    v.confidence,
    CASE
        WHEN v.corrected_evidence_id IS NULL THEN v.evidence_ids
        ELSE N'["' + STRING_ESCAPE(v.corrected_evidence_id, 'json') + N'"]'
    END,
    COALESCE(v.corrected_quote, v.quote),
    v.model_name,
    v.model_digest,
    v.definition_sha256,
    v.evidence_sha256,
    v.completed_utc,
    v.model_tag,
    v.lake_uri,
    v.content_sha256,
    v.fact_seq,
    v.fact_id,
    v.path,
    v.value_key,
    COALESCE(v.corrected_evidence_id, v.evidence_id),
    COALESCE(v.corrected_quote_start, v.quote_start),
    COALESCE(v.corrected_quote_end, v.quote_end),
    v.occurrences,
    v.proof,
    v.verdict,
    v.why,
    v.is_current,
    v.conflict_id,
    v.review_status,
    v.reviewed_by,
    v.reviewed_utc,
    v.corrected_value,
    v.admitted,
    v.corrected_evidence_id,
    v.corrected_quote,
    v.corrected_quote_start,
    v.corrected_quote_end
FROM llm.v_entity_fact AS v
WHERE v.admitted = 1;
GO

GRANT SELECT ON llm.v_entity_fact TO llm_operator;
GRANT SELECT ON llm.v_admitted_fact TO llm_operator;
GRANT SELECT ON llm.v_entity_fact TO llm_reader;
GRANT SELECT ON llm.v_admitted_fact TO llm_reader;
GO
