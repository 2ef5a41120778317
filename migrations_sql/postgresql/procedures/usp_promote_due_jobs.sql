-- llm.usp_promote_due_jobs: changes up to max_rows SCHEDULED jobs that are due to NEW, the longest due first.
-- Promises: a job is promoted once; returns how many were. Jobs that are locked are left for the next call.
-- Called by: usp_claim_next_job, schedules.
-- Locks: the jobs it promotes, SKIP LOCKED (never waits, so the order of picking is free), then their events.
CALL llm.drop_procedure('usp_promote_due_jobs');

CREATE TYPE llm.usp_promote_due_jobs_result AS (
    promoted integer
);

CREATE FUNCTION llm.usp_promote_due_jobs(
    max_rows integer DEFAULT 500
)
RETURNS SETOF llm.usp_promote_due_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- keep to ix_job_due's order, whatever the statistics say of a table that empties and fills
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
    v_promoted integer;
BEGIN
    IF coalesce(usp_promote_due_jobs.max_rows NOT BETWEEN 1 AND 500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_rows is not between 1 and 500';
    END IF;

    WITH due AS MATERIALIZED (
        SELECT j.job_id
        FROM llm.job AS j
        WHERE j.status = 'SCHEDULED' AND j.available_utc <= v_now
        ORDER BY j.available_utc, j.job_seq
        LIMIT usp_promote_due_jobs.max_rows
        FOR NO KEY UPDATE SKIP LOCKED
    ),
    promoted AS (
        UPDATE llm.job AS j
        SET status = 'NEW'
        FROM due
        -- Not `status = 'SCHEDULED'`: a plan made while the table was empty might look this up by status and be kept.
        WHERE j.job_id = due.job_id AND j.status IS NOT DISTINCT FROM 'SCHEDULED' AND j.available_utc <= v_now
        RETURNING j.job_id
    ),
    told AS (
        INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor)
        -- The clock now, under the lock, so that a job's events are in the order of their times.
        SELECT p.job_id, clock_timestamp(), 'promoted', 'SCHEDULED', 'NEW', 'promotion'
        FROM promoted AS p
    )
    SELECT count(*)::integer INTO v_promoted FROM promoted;

    RETURN NEXT ROW(v_promoted)::llm.usp_promote_due_jobs_result;
END;
$$;

CALL llm.grant_procedure('usp_promote_due_jobs', 'llm_worker', 'llm_operator');
