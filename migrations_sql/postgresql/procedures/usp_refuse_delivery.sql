-- llm.usp_refuse_delivery: records that the target refused a subject's row, and why.
-- Promises: the row of the outbox is not taken again until its subject has a newer one, which replaces it; an earlier
--   refusal of the same subject goes. changed: whether it was still waiting. Raises HC069.
-- Called by: queue.py (deliver, schedules), after the transaction that failed.
-- Locks: the rows of the outbox.
CALL llm.drop_procedure('usp_refuse_delivery');

CREATE TYPE llm.usp_refuse_delivery_result AS (
    changed boolean
);

CREATE FUNCTION llm.usp_refuse_delivery(
    delivery_seq bigint,
    why text
)
RETURNS SETOF llm.usp_refuse_delivery_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
AS $$
#variable_conflict use_column
DECLARE
    v_derivation_seq bigint;
    v_subject_seq bigint;
BEGIN
    IF coalesce(char_length(usp_refuse_delivery.why), 0) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC069', MESSAGE = 'why is missing or longer than 1000 characters';
    END IF;
    UPDATE llm.delivery AS d
    SET refused_utc = clock_timestamp(), why = usp_refuse_delivery.why
    WHERE d.delivery_seq = usp_refuse_delivery.delivery_seq AND d.refused_utc IS NULL
    RETURNING d.derivation_seq, d.subject_seq INTO v_derivation_seq, v_subject_seq;
    DELETE FROM llm.delivery AS d
    WHERE d.derivation_seq = v_derivation_seq
        AND d.subject_seq = v_subject_seq
        AND d.refused_utc IS NOT NULL
        AND d.delivery_seq < usp_refuse_delivery.delivery_seq;
    RETURN NEXT ROW(v_subject_seq IS NOT NULL)::llm.usp_refuse_delivery_result;
END;
$$;

CALL llm.grant_procedure('usp_refuse_delivery', 'llm_operator');
