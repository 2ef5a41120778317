-- llm.usp_record_lake_deletions: records the results of attempts to delete purged files from the lake.
-- Promises: each attempt counts; without an error, the file is recorded as deleted for good. Rows that are deleted
--   already or unknown are left alone. recorded: the number of changed rows.
-- deletions_json: [{"deletion_seq", "error"?}, ...], at most 1000.
-- Called by: the purge, after its rows are deleted.
-- Locks: the rows in deletion_seq order.
CALL llm.drop_procedure('usp_record_lake_deletions');

CREATE TYPE llm.usp_record_lake_deletions_result AS (
    recorded integer
);

CREATE FUNCTION llm.usp_record_lake_deletions(
    deletions_json text
)
RETURNS SETOF llm.usp_record_lake_deletions_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
AS $$
#variable_conflict use_column
DECLARE
    v_seqs bigint[];
    v_errors text[];
    v_recorded integer;
BEGIN
    BEGIN
        SELECT array_agg(e.deletion_seq ORDER BY e.deletion_seq), array_agg(e.error ORDER BY e.deletion_seq)
        INTO v_seqs, v_errors
        FROM json_to_recordset(usp_record_lake_deletions.deletions_json::json) AS e (deletion_seq bigint, error text);
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'HC031', MESSAGE = 'deletions_json is malformed: ' || SQLERRM;
    END;
    IF usp_record_lake_deletions.deletions_json IS NULL
        OR array_position(v_seqs, NULL) IS NOT NULL
        OR cardinality(v_seqs) > 1000
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC031',
            MESSAGE = 'deletions_json is not an array of at most 1000 objects with a deletion_seq';
    END IF;

    PERFORM 1
    FROM llm.lake_deletion AS d
    WHERE d.deletion_seq = ANY (v_seqs)
    ORDER BY d.deletion_seq
    FOR UPDATE;

    UPDATE llm.lake_deletion AS d
    SET
        attempts = d.attempts + 1,
        last_error = told.error,
        deleted_utc = CASE WHEN told.error IS NULL THEN clock_timestamp() END
    FROM unnest(v_seqs, v_errors) AS told (deletion_seq, error)
    WHERE d.deletion_seq = told.deletion_seq AND d.deleted_utc IS NULL;
    GET DIAGNOSTICS v_recorded = ROW_COUNT;
    RETURN NEXT ROW(v_recorded)::llm.usp_record_lake_deletions_result;
END;
$$;

CALL llm.grant_procedure('usp_record_lake_deletions', 'llm_operator');
