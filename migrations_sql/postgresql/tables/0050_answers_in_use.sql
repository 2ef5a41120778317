-- Facts of an answer that is no longer in use (llm.past_answer) are not admitted, and disagree with no other.
DROP VIEW IF EXISTS llm.v_admitted_fact, llm.v_entity_fact;

CREATE VIEW llm.v_entity_fact AS
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
    CASE WHEN f.confidence = trunc(f.confidence) THEN f.confidence::integer END AS confidence,
    CASE
        WHEN f.evidence_ids IS NOT NULL THEN f.evidence_ids
        WHEN f.evidence_id IS NOT NULL THEN json_build_array(f.evidence_id)::text
    END AS evidence_ids,
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
    f.is_current
    AND NOT EXISTS (
        SELECT 1
        FROM llm.past_answer AS past
        WHERE past.job_id = f.job_id
    )
    AND (
        f.review_status IN ('ACCEPTED', 'CORRECTED')
        OR (
            f.verdict = 'SUPPORTED'
            AND f.review_status = 'NONE'
            AND (
                f.conflict_id IS NULL
                OR NOT EXISTS (
                    SELECT 1
                    FROM llm.fact AS other
                    WHERE
                        other.conflict_id = f.conflict_id
                        AND other.is_current
                        AND NOT EXISTS (
                            SELECT 1
                            FROM llm.past_answer AS past
                            WHERE past.job_id = other.job_id
                        )
                        AND other.value_key <> f.value_key
                        AND (
                            other.review_status IN ('ACCEPTED', 'CORRECTED')
                            OR (
                                other.review_status <> 'REJECTED'
                                AND NOT EXISTS (
                                    SELECT 1
                                    FROM llm.fact AS decided
                                    WHERE
                                        decided.conflict_id = f.conflict_id
                                        AND decided.is_current
                                        AND NOT EXISTS (
                                            SELECT 1
                                            FROM llm.past_answer AS past
                                            WHERE past.job_id = decided.job_id
                                        )
                                        AND decided.value_key = f.value_key
                                        AND decided.review_status IN ('ACCEPTED', 'CORRECTED')
                                )
                            )
                        )
                )
            )
        )
    ) AS admitted,
    f.corrected_evidence_id,
    f.corrected_quote,
    f.corrected_quote_start,
    f.corrected_quote_end
FROM llm.fact AS f
INNER JOIN llm.run AS r ON f.run_id = r.run_id
LEFT JOIN llm.artifact AS a ON f.run_id = a.run_id AND a.artifact_type = 'parsed_output';

-- What downstream reads; a corrected fact with the value and the place that people gave it.
CREATE VIEW llm.v_admitted_fact AS
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
    CASE WHEN v.review_status = 'CORRECTED' THEN v.corrected_value ELSE v.value END AS value,
    v.confidence,
    CASE
        WHEN v.corrected_evidence_id IS NULL THEN v.evidence_ids
        ELSE json_build_array(v.corrected_evidence_id)::text
    END AS evidence_ids,
    coalesce(v.corrected_quote, v.quote) AS quote,
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
    coalesce(v.corrected_evidence_id, v.evidence_id) AS evidence_id,
    coalesce(v.corrected_quote_start, v.quote_start) AS quote_start,
    coalesce(v.corrected_quote_end, v.quote_end) AS quote_end,
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
WHERE v.admitted;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.v_entity_fact, llm.v_admitted_fact TO %I', v_role);
    END LOOP;
END;
$$;
