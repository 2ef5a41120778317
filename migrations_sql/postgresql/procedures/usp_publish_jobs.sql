-- llm.usp_publish_jobs: queues all that was staged under one id, or nothing of it; answers one row a job.
-- Promises: what usp_enqueue_jobs promises for one call with all parts in their order, each n once in all of them. What
--   was staged stays, until usp_stage_jobs clears it: a job_id that exists is answered with its job, so that this may
--   be said again and answers the same. A stage without parts answers no rows.
-- Called by: queue.py.
-- Locks: those of usp_enqueue_jobs, for as long as this one statement takes: nobody waits while the parts arrive.
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
    reason text DEFAULT NULL
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
        usp_publish_jobs.reason
    ) AS answer;
END;
$$;

CALL llm.grant_procedure('usp_publish_jobs', 'llm_operator');
