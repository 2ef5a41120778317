-- llm.usp_publish_jobs: queues all jobs staged under one id, or none; returns one row per job.
-- Promises: those of usp_enqueue_jobs for one call with all parts in order, in which each n occurs once. Staged jobs
--   remain until usp_stage_jobs clears them: for a job_id that exists the row is that of its job, so that the call may
--   be repeated with the same result. A stage without parts returns no rows. With a batch_id the jobs belong to
--   that batch, which is filled then.
-- Called by: queue.py.
-- Locks: those of usp_enqueue_jobs, for as long as this one statement takes; nobody waits while the parts arrive.
CALL llm.drop_procedure('usp_publish_jobs');

CREATE TYPE llm.usp_publish_jobs_result AS (
    n integer,
    job_id uuid,
    is_duplicate boolean,
    status varchar(40)
);

CREATE FUNCTION llm.usp_publish_jobs(
    stage_id uuid,
    actor text DEFAULT NULL,
    reason text DEFAULT NULL,
    batch_id uuid DEFAULT NULL
)
RETURNS SETOF llm.usp_publish_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF usp_publish_jobs.stage_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC029', MESSAGE = 'stage_id is missing';
    END IF;
    RETURN QUERY
    SELECT answer.n, answer.job_id, answer.is_duplicate, answer.status
    FROM llm.usp_enqueue_jobs(
        (
            -- The arrays' elements, in one array.
            SELECT format(
                '[%s]', string_agg(substr(s.jobs_json, 2, length(s.jobs_json) - 2), ',' ORDER BY s.part_no)
            )
            FROM llm.staged_jobs AS s
            WHERE s.stage_id = usp_publish_jobs.stage_id
        ),
        usp_publish_jobs.actor,
        usp_publish_jobs.reason,
        usp_publish_jobs.batch_id
    ) AS answer;

    WITH filled AS (
        UPDATE llm.batch AS b
        SET filled_utc = clock_timestamp()
        WHERE b.batch_id = usp_publish_jobs.batch_id AND b.filled_utc IS NULL
        RETURNING b.batch_id, b.filled_utc
    )
    INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason)
    SELECT
        f.batch_id, f.filled_utc, 'batch_filled', coalesce(nullif(btrim(usp_publish_jobs.actor), ''), session_user),
        usp_publish_jobs.reason
    FROM filled AS f;
END;
$$;

CALL llm.grant_procedure('usp_publish_jobs', 'llm_operator');
