-- llm.usp_stage_jobs: stores a part of the jobs that usp_publish_jobs will queue together.
-- Promises: staged jobs are not in the queue and hold no keys. Repeating a part replaces it. Without jobs_json, all
--   parts of the stage are deleted, and those that others abandoned more than a day ago.
-- Called by: queue.py, before usp_publish_jobs.
-- Locks: its own rows.
CALL llm.drop_procedure('usp_stage_jobs');

CREATE TYPE llm.usp_stage_jobs_result AS (
    parts integer
);

CREATE FUNCTION llm.usp_stage_jobs(
    stage_id uuid,
    part_no integer DEFAULT 0,
    jobs_json text DEFAULT NULL
)
RETURNS SETOF llm.usp_stage_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF usp_stage_jobs.stage_id IS NULL OR usp_stage_jobs.part_no IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC029', MESSAGE = 'stage_id or part_no is missing';
    END IF;
    IF usp_stage_jobs.jobs_json IS NULL THEN
        DELETE FROM llm.staged_jobs AS s WHERE s.stage_id = usp_stage_jobs.stage_id;
        DELETE FROM llm.staged_jobs AS s WHERE s.staged_utc < clock_timestamp() - interval '1 day';
    ELSE
        INSERT INTO llm.staged_jobs AS s (stage_id, part_no, jobs_json, staged_utc)
        VALUES (usp_stage_jobs.stage_id, usp_stage_jobs.part_no, usp_stage_jobs.jobs_json, clock_timestamp())
        ON CONFLICT (stage_id, part_no) DO UPDATE SET jobs_json = excluded.jobs_json;
    END IF;
    RETURN QUERY
    SELECT count(*)::integer FROM llm.staged_jobs AS s WHERE s.stage_id = usp_stage_jobs.stage_id;
END;
$$;

CALL llm.grant_procedure('usp_stage_jobs', 'llm_operator');
