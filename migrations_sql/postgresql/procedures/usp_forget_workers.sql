-- llm.usp_forget_workers: removes up to max_rows workers without a heartbeat for silent_days, and their endpoints.
-- Promises: a worker with running runs stays, whatever its heartbeats. Runs and events keep the name of their worker. A
--   worker of a removed id that starts again is added anew. Returns how many were removed.
-- Called by: schedules.
-- Locks: workers, SKIP LOCKED (a heartbeat that holds one just keeps it), then their endpoints.
CALL llm.drop_procedure('usp_forget_workers');

CREATE TYPE llm.usp_forget_workers_result AS (
    removed integer
);

CREATE FUNCTION llm.usp_forget_workers(
    silent_days integer DEFAULT 30,
    max_rows integer DEFAULT 500
)
RETURNS SETOF llm.usp_forget_workers_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_before timestamptz;
    v_removed integer;
BEGIN
    IF coalesce(usp_forget_workers.silent_days NOT BETWEEN 1 AND 36500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC050', MESSAGE = 'silent_days is not between 1 and 36500';
    END IF;
    IF coalesce(usp_forget_workers.max_rows NOT BETWEEN 1 AND 500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_rows is not between 1 and 500';
    END IF;
    v_before := clock_timestamp() - make_interval(days => usp_forget_workers.silent_days);

    WITH silent AS MATERIALIZED (
        SELECT w.worker_id
        FROM llm.worker AS w
        WHERE w.last_seen_utc < v_before
            AND NOT EXISTS (SELECT 1 FROM llm.job AS j WHERE j.status = 'RUNNING' AND j.locked_by = w.worker_id)
        ORDER BY w.worker_id
        LIMIT usp_forget_workers.max_rows
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM llm.worker AS w
    USING silent AS s
    WHERE w.worker_id = s.worker_id;
    GET DIAGNOSTICS v_removed = ROW_COUNT;

    RETURN NEXT ROW(v_removed)::llm.usp_forget_workers_result;
END;
$$;

CALL llm.grant_procedure('usp_forget_workers', 'llm_operator');
