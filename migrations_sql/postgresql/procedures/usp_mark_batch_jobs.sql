-- llm.usp_mark_batch_jobs: brings a pause or resume to the next max_rows jobs of a batch: sets job.paused_utc as the
--   batch's is.
-- Promises: is_done: every unfinished job of the batch is marked as the batch is. Where a pass stands is kept with the
--   batch, so anybody may take the next step, also several at once, and a new pause or resume begins the pass anew. A
--   job is met in whatever state it is, so a running one does not come back ready from a paused batch.
-- Called by: queue.py after usp_set_batch, until it is done; workers, as usp_sweep_batches tells them.
-- Locks: the batch's row, then its jobs in job_seq order.
CALL llm.drop_procedure('usp_mark_batch_jobs');

CREATE TYPE llm.usp_mark_batch_jobs_result AS (
    marked integer,
    is_done boolean
);

CREATE FUNCTION llm.usp_mark_batch_jobs(
    batch_id uuid,
    max_rows integer DEFAULT 500
)
RETURNS SETOF llm.usp_mark_batch_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once a connection, not at each call
SET enable_seqscan = off  -- a plan made while the table was small is kept: let it be the index's from the start
SET enable_bitmapscan = off  -- and in its order: a sort would lock all of the batch
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_from bigint;
    v_paused_utc timestamptz;
    v_jobs bigint[];
    v_marked integer;
BEGIN
    IF coalesce(usp_mark_batch_jobs.max_rows NOT BETWEEN 1 AND 500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_rows is not between 1 and 500';
    END IF;
    SELECT b.marked_job_seq, b.paused_utc
    INTO v_from, v_paused_utc
    FROM llm.batch AS b
    WHERE b.batch_id = usp_mark_batch_jobs.batch_id
    FOR NO KEY UPDATE;
    IF v_from IS NULL THEN
        RETURN NEXT ROW(0, TRUE)::llm.usp_mark_batch_jobs_result;
        RETURN;
    END IF;

    v_jobs := ARRAY(
        SELECT j.job_seq
        FROM llm.job AS j
        WHERE j.batch_id = usp_mark_batch_jobs.batch_id AND j.finished_utc IS NULL AND j.job_seq > v_from
        ORDER BY j.batch_id, j.job_seq
        LIMIT usp_mark_batch_jobs.max_rows
    );
    PERFORM 1 FROM unnest(v_jobs) AS s (job_seq) JOIN llm.job AS j ON j.job_seq = s.job_seq FOR NO KEY UPDATE OF j;
    UPDATE llm.job AS j
    SET paused_utc = v_paused_utc
    WHERE j.job_seq = ANY (v_jobs) AND j.finished_utc IS NULL AND j.paused_utc IS DISTINCT FROM v_paused_utc;
    GET DIAGNOSTICS v_marked = ROW_COUNT;

    UPDATE llm.batch AS b
    SET
        marked_job_seq = CASE
            WHEN cardinality(v_jobs) = usp_mark_batch_jobs.max_rows THEN v_jobs[cardinality(v_jobs)]
        END
    WHERE b.batch_id = usp_mark_batch_jobs.batch_id;

    RETURN NEXT ROW(v_marked, cardinality(v_jobs) < usp_mark_batch_jobs.max_rows)::llm.usp_mark_batch_jobs_result;
END;
$$;

CALL llm.grant_procedure('usp_mark_batch_jobs', 'llm_worker', 'llm_operator');
