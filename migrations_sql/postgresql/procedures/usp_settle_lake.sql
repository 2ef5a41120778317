-- llm.usp_settle_lake: returns which lake has this database's files, after recording it if necessary.
-- Promises: lake_id is recorded if none is, or if the recorded one is the one to replace; else nothing changes. Returns
--   the recorded id, or no row if there is none. Without lake_id it only reads.
-- Called by: workers on start, checks of the lake, and set_up_lake.
-- Locks: the one row; of two first callers the second waits for the first and reads its id.
CALL llm.drop_procedure('usp_settle_lake');

CREATE TYPE llm.usp_settle_lake_result AS (
    lake_id uuid,
    recorded_utc timestamptz
);

CREATE FUNCTION llm.usp_settle_lake(
    lake_id uuid DEFAULT NULL,
    replaces uuid DEFAULT NULL
)
RETURNS SETOF llm.usp_settle_lake_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF usp_settle_lake.lake_id IS NOT NULL THEN
        INSERT INTO llm.lake AS l (lake_key, lake_id, recorded_utc)
        VALUES (1, usp_settle_lake.lake_id, clock_timestamp())
        ON CONFLICT (lake_key) DO UPDATE
        SET lake_id = EXCLUDED.lake_id, recorded_utc = EXCLUDED.recorded_utc
        WHERE l.lake_id = usp_settle_lake.replaces;
    END IF;

    RETURN QUERY
    SELECT l.lake_id, l.recorded_utc
    FROM llm.lake AS l
    WHERE l.lake_key = 1;
END;
$$;

CALL llm.grant_procedure('usp_settle_lake', 'llm_worker', 'llm_operator');
