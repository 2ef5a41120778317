-- llm.usp_fill_deliveries: queues a delivery of each subject that has an answer, after the target was declared.
-- Promises: up to max_rows subjects in subject_seq order, after those of the last call; restart begins with the first.
--   is_done: all are queued. filled: how many this call queued. Raises HC061, HC067.
-- Called by: queue.py (deliver, schedules).
-- Locks: the subjects of this step in subject_seq order, so that none that is being settled is passed over; then the
--   derivation's row.
CALL llm.drop_procedure('usp_fill_deliveries');

CREATE TYPE llm.usp_fill_deliveries_result AS (
    filled integer,
    is_done boolean
);

CREATE FUNCTION llm.usp_fill_deliveries(
    derivation_key text,
    max_rows integer DEFAULT 500,
    restart boolean DEFAULT FALSE
)
RETURNS SETOF llm.usp_fill_deliveries_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_derivation_seq bigint;
    v_from bigint;
    v_subjects bigint[];
    v_to bigint;
    v_filled integer;
BEGIN
    IF coalesce(usp_fill_deliveries.max_rows NOT BETWEEN 1 AND 1000, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC067', MESSAGE = 'max_rows is not between 1 and 1000';
    END IF;
    SELECT d.derivation_seq, CASE WHEN usp_fill_deliveries.restart THEN 0 ELSE d.fill_after_seq END
    INTO v_derivation_seq, v_from
    FROM llm.derivation AS d
    WHERE d.derivation_key = btrim(usp_fill_deliveries.derivation_key);
    IF v_derivation_seq IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC061', MESSAGE = 'there is no derivation with this derivation_key';
    END IF;
    IF v_from IS NULL THEN
        RETURN NEXT ROW(0, TRUE)::llm.usp_fill_deliveries_result;
        RETURN;
    END IF;

    v_subjects := ARRAY(
        SELECT s.subject_seq
        FROM llm.subject AS s
        WHERE s.derivation_seq = v_derivation_seq AND s.subject_seq > v_from
        ORDER BY s.subject_seq
        LIMIT usp_fill_deliveries.max_rows
        FOR NO KEY UPDATE
    );
    INSERT INTO llm.delivery (derivation_seq, subject_seq)
    SELECT s.derivation_seq, s.subject_seq
    FROM llm.subject AS s
    WHERE s.subject_seq = ANY (v_subjects) AND s.run_id IS NOT NULL
    ORDER BY s.subject_seq;
    GET DIAGNOSTICS v_filled = ROW_COUNT;

    v_to := CASE
        WHEN cardinality(v_subjects) = usp_fill_deliveries.max_rows THEN v_subjects[cardinality(v_subjects)]
    END;
    UPDATE llm.derivation AS d
    SET fill_after_seq = v_to
    WHERE d.derivation_seq = v_derivation_seq
        -- Else the target was declared anew meanwhile, and all of it is to be queued again.
        AND (usp_fill_deliveries.restart OR d.fill_after_seq = v_from);
    RETURN NEXT ROW(v_filled, v_to IS NULL)::llm.usp_fill_deliveries_result;
END;
$$;

CALL llm.grant_procedure('usp_fill_deliveries', 'llm_operator');
