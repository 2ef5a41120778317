-- llm.usp_reprioritize_jobs: gives jobs another priority; higher is sooner.
-- Promises: a row per named job: changed, or why not. Possible in every state but SUCCEEDED; the state stays.
-- Called by: queue.py for operators (admin, commands, schedules).
-- Locks: the jobs in job_seq order, then their events; each change repeats its condition.
CALL llm.drop_procedure('usp_reprioritize_jobs');

CREATE TYPE llm.usp_reprioritize_jobs_result AS (
    job_id uuid,
    changed boolean,
    from_status varchar(40),
    to_status varchar(40),
    why text
);

CREATE FUNCTION llm.usp_reprioritize_jobs(
    jobs_json text,
    actor text,
    priority integer,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_reprioritize_jobs_result
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
    v_actor text := llm.read_actor(usp_reprioritize_jobs.actor);
    v_now timestamptz;
    v_job_ids uuid[];
    v_expected text[];
BEGIN
    IF coalesce(usp_reprioritize_jobs.priority < 0, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC006', MESSAGE = 'priority is missing or negative';
    END IF;
    SELECT list.job_ids, list.expected_statuses
    INTO v_job_ids, v_expected
    FROM llm.read_job_list(usp_reprioritize_jobs.jobs_json) AS list;

    -- + 0: sort these few rows instead of scanning the whole index of job_seq.
    PERFORM 1 FROM llm.job AS j WHERE j.job_id = ANY (v_job_ids) ORDER BY j.job_seq + 0 FOR NO KEY UPDATE;
    v_now := clock_timestamp();  -- read under the locks, so that a job's events are in the order of their times

    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT
            list.place, list.job_id, j.status, j.priority,
            CASE
                WHEN j.job_id IS NULL THEN 'no such job'
                WHEN list.expected <> j.status THEN format('the job is %s, not %s', j.status, list.expected)
                WHEN j.status = 'SUCCEEDED' THEN 'a SUCCEEDED job never changes'
                WHEN j.priority = usp_reprioritize_jobs.priority THEN format('already priority %s', j.priority)
            END AS why
        FROM unnest(v_job_ids, v_expected) WITH ORDINALITY AS list (job_id, expected, place)
        LEFT JOIN llm.job AS j ON j.job_id = list.job_id
    ),
    changed AS (
        UPDATE llm.job AS j
        SET
            priority = usp_reprioritize_jobs.priority,
            marked_part_no = CASE WHEN j.status = 'SPLIT' THEN 0 ELSE j.marked_part_no END
        FROM judged AS q
        -- Not `j.status = q.status`: a plan made while the table is empty might use it to find jobs, and be kept.
        WHERE j.job_id = q.job_id AND q.why IS NULL AND j.status IS NOT DISTINCT FROM q.status
        RETURNING q.place, j.job_id, j.current_run_id, q.status AS from_status, j.status AS to_status, q.priority AS from_priority, j.priority AS to_priority
    ),
    told AS (
        INSERT INTO llm.job_event (
            job_id, run_id, at_utc, event, from_status, to_status, actor, reason, detail_json
        )
        SELECT
            c.job_id, c.current_run_id, v_now, 'reprioritized',
            c.from_status, c.to_status, v_actor, usp_reprioritize_jobs.reason,
            json_build_object('priority', json_build_object('from', c.from_priority, 'to', c.to_priority))::text
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

CALL llm.grant_procedure('usp_reprioritize_jobs', 'llm_operator');
