-- llm.usp_seal_horizon: the highest event_seq that no open transaction can precede, and when it was read.
-- Promises: every event up to event_seq is committed and visible, or never will be. event_seq null: there is no event,
--   or a transaction that may have a lower one stays open; call again later.
-- Why this is true, although event_seq is not the order of commits: the highest visible one is read first. A
--   transaction with a lower one that is not yet visible took it earlier (the identity has no cache), and before that
--   took the table's ROW EXCLUSIVE lock, which it releases only when it ends. So the call waits briefly for the present
--   holders of that lock. Nobody waits for the seal.
-- Called by: the sealing of the history.
-- Locks: none.
CALL llm.drop_procedure('usp_seal_horizon');

CREATE TYPE llm.usp_seal_horizon_result AS (
    event_seq bigint,
    at_utc timestamptz
);

CREATE FUNCTION llm.usp_seal_horizon()
RETURNS SETOF llm.usp_seal_horizon_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c_patience CONSTANT interval := '500 ms';
    v_begun_utc timestamptz := clock_timestamp();
    v_high bigint;
    v_open text[];
BEGIN
    SELECT max(e.event_seq) INTO v_high FROM llm.job_event AS e;
    v_open := ARRAY(
        SELECT l.virtualtransaction
        FROM pg_locks AS l
        INNER JOIN pg_database AS d ON l.database = d.oid AND d.datname = current_database()
        WHERE
            l.locktype = 'relation'
            AND l.relation = 'llm.job_event'::regclass
            AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            AND l.granted
            AND l.pid IS DISTINCT FROM pg_backend_pid()
    );
    WHILE EXISTS (SELECT 1 FROM pg_locks AS l WHERE l.locktype = 'relation'
        AND l.relation = 'llm.job_event'::regclass AND l.virtualtransaction = ANY (v_open))
    LOOP
        IF clock_timestamp() > v_begun_utc + c_patience THEN
            RETURN NEXT ROW(NULL, v_begun_utc)::llm.usp_seal_horizon_result;
            RETURN;
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
    RETURN NEXT ROW(v_high, v_begun_utc)::llm.usp_seal_horizon_result;
END;
$$;

CALL llm.grant_procedure('usp_seal_horizon', 'llm_operator');
