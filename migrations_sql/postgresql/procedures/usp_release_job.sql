-- llm.usp_release_job: releases a running job; it keeps its place in the queue, and the run does not count.
-- Promises: accepted only while the run holds its job's lease; a job with a requested cancellation ends CANCELLED.
--   Refused: nothing changes, and final_status is the job's state (null: no such run).
-- Called by: a stopping worker; a worker for its stray runs.
-- Locks: the job's row, then its run, then its events.
CALL llm.drop_procedure('usp_release_job');

CREATE TYPE llm.usp_release_job_result AS (
    accepted boolean,
    final_status varchar(40)
);

CREATE FUNCTION llm.usp_release_job(
    run_id uuid,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_release_job_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz;
    v_job record;
    v_final_status text;
BEGIN
    IF usp_release_job.run_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC015', MESSAGE = 'run_id is missing';
    END IF;

    -- A run's job never changes, so it is safe to read it before locking.
    SELECT j.job_id, j.status, j.current_run_id, j.cancel_requested_utc, j.locked_by
    INTO v_job
    FROM llm.job AS j
    WHERE j.job_id = (SELECT r.job_id FROM llm.run AS r WHERE r.run_id = usp_release_job.run_id)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NEXT ROW(FALSE, NULL)::llm.usp_release_job_result;
        RETURN;
    END IF;
    IF v_job.status <> 'RUNNING' OR v_job.current_run_id <> usp_release_job.run_id THEN
        RETURN NEXT ROW(FALSE, v_job.status)::llm.usp_release_job_result;
        RETURN;
    END IF;
    v_now := clock_timestamp();
    v_final_status := CASE WHEN v_job.cancel_requested_utc IS NULL THEN 'NEW' ELSE 'CANCELLED' END;

    UPDATE llm.job AS j
    SET
        status = v_final_status,
        attempt_count = j.attempt_count - 1,
        locked_by = NULL,
        locked_utc = NULL,
        lease_expires_utc = NULL,
        current_run_id = NULL,
        last_error = usp_release_job.reason,
        error_kind = 'released',
        finished_utc = CASE WHEN v_final_status = 'CANCELLED' THEN v_now END
    WHERE j.job_id = v_job.job_id
        AND j.status IS NOT DISTINCT FROM 'RUNNING'  -- find the row by id, whatever the statistics
        AND j.current_run_id = usp_release_job.run_id;

    UPDATE llm.run AS r
    SET
        status = 'CANCELLED',
        counted = FALSE,
        completed_utc = v_now,
        error_kind = 'released',
        error = usp_release_job.reason
    WHERE r.run_id = usp_release_job.run_id AND r.status = 'RUNNING';

    -- One event for the cause and, if that does not imply the new state, one for the state.
    INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason)
    VALUES (
        v_job.job_id, usp_release_job.run_id, v_now, 'released', 'RUNNING',
        CASE WHEN v_final_status = 'CANCELLED' THEN 'RUNNING' ELSE v_final_status END,
        v_job.locked_by, usp_release_job.reason
    );
    IF v_final_status = 'CANCELLED' THEN
        INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason)
        VALUES (
            v_job.job_id, usp_release_job.run_id, v_now, 'cancelled', 'RUNNING', 'CANCELLED',
            v_job.locked_by, usp_release_job.reason
        );
    END IF;

    RETURN NEXT ROW(TRUE, v_final_status)::llm.usp_release_job_result;
END;
$$;

CALL llm.grant_procedure('usp_release_job', 'llm_worker');
