-- llm.queue_deliveries: queues a delivery of every subject about these entities whose derivation has a target. Not for
--   callers.
-- Promises: subjects of other derivations too: whether a fact is admitted depends on those of other answers about its
--   entity. One too many does no harm.
-- Called by: settle_subjects, usp_settle_subjects, usp_set_subjects.
-- Locks: none; the subjects' changes are of the same transaction.
CALL llm.drop_procedure('queue_deliveries');

CREATE FUNCTION llm.queue_deliveries(entity_types text[], entity_ids text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT 1 FROM llm.derivation AS d WHERE d.target_json IS NOT NULL) THEN
        RETURN;
    END IF;
    INSERT INTO llm.delivery (derivation_seq, subject_seq)
    SELECT s.derivation_seq, s.subject_seq
    FROM (
        SELECT DISTINCT u.entity_type, u.entity_id
        FROM unnest(queue_deliveries.entity_types, queue_deliveries.entity_ids) AS u (entity_type, entity_id)
    ) AS e
    CROSS JOIN llm.derivation AS d
    INNER JOIN llm.subject AS s
        ON d.derivation_seq = s.derivation_seq AND e.entity_type = s.entity_type AND e.entity_id = s.entity_id
    WHERE d.target_json IS NOT NULL
    ORDER BY s.subject_seq;
END;
$$;

REVOKE ALL ON FUNCTION llm.queue_deliveries FROM public;

-- llm.usp_take_deliveries: takes up to max_rows rows from the outbox of a derivation, with the subjects they are of.
-- Promises: a row for each subject, as it is now: a later change is not lost, it has a row of its own. Rows refused
--   earlier of the same subjects go too. What is taken is gone when the caller's transaction commits, which writes the
--   target as well; it stays if that does not commit. One at a time a derivation, so that an older answer is never
--   written over a newer one: raises HC068 while another transaction delivers. Raises HC061, HC067.
-- Called by: queue.py (deliver, schedules), as a part of the transaction that writes the target.
-- Locks: the derivation's own lock, not waited for; then the rows of the outbox that are taken.
CALL llm.drop_procedure('usp_take_deliveries');

CREATE TYPE llm.usp_take_deliveries_result AS (
    delivery_seq bigint,
    entity_type text,
    entity_id text,
    state text,
    run_id uuid,
    changed_utc timestamptz
);

CREATE FUNCTION llm.usp_take_deliveries(
    derivation_key text,
    max_rows integer DEFAULT 500
)
RETURNS SETOF llm.usp_take_deliveries_result
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
    v_deliveries bigint[];
    v_subjects bigint[];
BEGIN
    IF coalesce(usp_take_deliveries.max_rows NOT BETWEEN 1 AND 1000, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC067', MESSAGE = 'max_rows is not between 1 and 1000';
    END IF;
    SELECT d.derivation_seq
    INTO v_derivation_seq
    FROM llm.derivation AS d
    WHERE d.derivation_key = btrim(usp_take_deliveries.derivation_key);
    IF v_derivation_seq IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC061', MESSAGE = 'there is no derivation with this derivation_key';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('llm.usp_take_deliveries', v_derivation_seq)) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC068', MESSAGE = 'this derivation is being delivered already';
    END IF;

    SELECT coalesce(array_agg(one.delivery_seq), '{}'), coalesce(array_agg(DISTINCT one.subject_seq), '{}')
    INTO v_deliveries, v_subjects
    FROM (
        SELECT d.delivery_seq, d.subject_seq
        FROM llm.delivery AS d
        WHERE d.derivation_seq = v_derivation_seq AND d.refused_utc IS NULL
        ORDER BY d.delivery_seq
        LIMIT usp_take_deliveries.max_rows
    ) AS one;

    -- Read after the rows: a change that comes later has a row that was not taken.
    RETURN QUERY
    SELECT (
        SELECT max(d.delivery_seq)
        FROM llm.delivery AS d
        WHERE d.delivery_seq = ANY (v_deliveries) AND d.subject_seq = s.subject_seq
    ), s.entity_type::text, s.entity_id::text, s.state::text, s.run_id, s.changed_utc
    FROM llm.subject AS s
    WHERE s.subject_seq = ANY (v_subjects)
    ORDER BY s.entity_type, s.entity_id;

    DELETE FROM llm.delivery AS d
    WHERE d.delivery_seq = ANY (v_deliveries);
    DELETE FROM llm.delivery AS d
    WHERE d.derivation_seq = v_derivation_seq AND d.subject_seq = ANY (v_subjects) AND d.refused_utc IS NOT NULL;
END;
$$;

CALL llm.grant_procedure('usp_take_deliveries', 'llm_operator');
