-- llm.usp_cancel_jobs: ends waiting jobs at once, and asks running ones to end.
-- Promises: a row per named job: changed, or why not. NEW and SCHEDULED become CANCELLED; of a RUNNING one the
--   request is kept, which its worker learns by heartbeat: a later completion other than SUCCEEDED, a release or a reap
--   makes it CANCELLED. Of a SPLIT one usp_join_due_jobs brings the request to the
--   parts, and makes it CANCELLED when they have ended.
-- Called by: queue.py for operators (admin, commands, schedules).
-- Locks: the jobs in job_seq order, then their events; each change repeats its condition.
CALL llm.drop_procedure('usp_cancel_jobs');

CREATE TYPE llm.usp_cancel_jobs_result AS (
    job_id uuid,
    changed boolean,
    from_status varchar(40),
    to_status varchar(40),
    why text
);

CREATE FUNCTION llm.usp_cancel_jobs(
    jobs_json text,
    actor text,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_cancel_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the table is small is kept, so use the index from the start
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_cancel_jobs.actor);
    v_now timestamptz;
    v_job_ids uuid[];
    v_expected text[];
BEGIN
    SELECT list.job_ids, list.expected_statuses
    INTO v_job_ids, v_expected
    FROM llm.read_job_list(usp_cancel_jobs.jobs_json) AS list;

    -- + 0: sort these few rows instead of scanning the whole index of job_seq.
    PERFORM 1 FROM llm.job AS j WHERE j.job_id = ANY (v_job_ids) ORDER BY j.job_seq + 0 FOR NO KEY UPDATE;
    v_now := clock_timestamp();  -- read under the locks, so that a job's events are in the order of their times

    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT
            list.place, list.job_id, j.status,
            CASE
                WHEN j.job_id IS NULL THEN 'no such job'
                WHEN list.expected <> j.status THEN format('the job is %s, not %s', j.status, list.expected)
                WHEN j.cancel_requested_utc IS NOT NULL AND j.status IN ('RUNNING', 'SPLIT')
                    THEN 'cancellation already requested'
                WHEN j.status NOT IN ('NEW', 'SCHEDULED', 'RUNNING', 'SPLIT') THEN 'already ' || j.status
            END AS why
        FROM unnest(v_job_ids, v_expected) WITH ORDINALITY AS list (job_id, expected, place)
        LEFT JOIN llm.job AS j ON j.job_id = list.job_id
    ),
    changed AS (
        UPDATE llm.job AS j
        SET
            status = CASE WHEN q.status IN ('RUNNING', 'SPLIT') THEN q.status ELSE 'CANCELLED' END,
            cancel_requested_utc = v_now,
            finished_utc = CASE WHEN q.status NOT IN ('RUNNING', 'SPLIT') THEN v_now END,
            marked_part_no = CASE WHEN q.status = 'SPLIT' THEN 0 END
        FROM judged AS q
        -- Not `j.status = q.status`: a plan made while the table is empty might use it to find jobs, and be kept.
        WHERE j.job_id = q.job_id AND q.why IS NULL AND j.status IS NOT DISTINCT FROM q.status
        RETURNING q.place, j.job_id, j.current_run_id, q.status AS from_status, j.status AS to_status
    ),
    told AS (
        INSERT INTO llm.job_event (
            job_id, run_id, at_utc, event, from_status, to_status, actor, reason
        )
        SELECT
            c.job_id, c.current_run_id, v_now, CASE c.to_status WHEN 'CANCELLED' THEN 'cancelled' ELSE 'cancel_requested' END,
            c.from_status, c.to_status, v_actor, usp_cancel_jobs.reason
        FROM changed AS c
        ORDER BY c.place
    )
    SELECT
        q.job_id, c.job_id IS NOT NULL, q.status::varchar(40), coalesce(c.to_status, q.status)::varchar(40), q.why
    FROM judged AS q
    LEFT JOIN changed AS c ON c.place = q.place
    ORDER BY q.place;
END;
$$;

CALL llm.grant_procedure('usp_cancel_jobs', 'llm_operator');
