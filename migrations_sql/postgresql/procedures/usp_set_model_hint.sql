-- llm.usp_set_model_hint: names the model that jobs want, or with null that they want none.
-- Promises: a row per named job: changed, or why not. Possible in every state but SUCCEEDED; a running job's next
--   run heeds it. The state stays.
-- Called by: queue.py for operators (admin, commands, schedules).
-- Locks: the jobs in job_seq order, then their events; each change repeats its condition.
CALL llm.drop_procedure('usp_set_model_hint');

CREATE TYPE llm.usp_set_model_hint_result AS (
    job_id uuid,
    changed boolean,
    from_status varchar(40),
    to_status varchar(40),
    why text
);

CREATE FUNCTION llm.usp_set_model_hint(
    jobs_json text,
    actor text,
    model_hint text,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_set_model_hint_result
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
    v_actor text := llm.read_actor(usp_set_model_hint.actor);
    v_model_hint text := btrim(usp_set_model_hint.model_hint);
    v_now timestamptz;
    v_job_ids uuid[];
    v_expected text[];
BEGIN
    IF char_length(v_model_hint) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC021', MESSAGE = 'model_hint is blank or longer than 200 characters';
    END IF;
    SELECT list.job_ids, list.expected_statuses
    INTO v_job_ids, v_expected
    FROM llm.read_job_list(usp_set_model_hint.jobs_json) AS list;

    -- + 0: sort these few rows instead of scanning the whole index of job_seq.
    PERFORM 1 FROM llm.job AS j WHERE j.job_id = ANY (v_job_ids) ORDER BY j.job_seq + 0 FOR NO KEY UPDATE;
    v_now := clock_timestamp();  -- read under the locks, so that a job's events are in the order of their times

    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT
            list.place, list.job_id, j.status, j.model_hint,
            CASE
                WHEN j.job_id IS NULL THEN 'no such job'
                WHEN list.expected <> j.status THEN format('the job is %s, not %s', j.status, list.expected)
                WHEN j.status = 'SUCCEEDED' THEN 'a SUCCEEDED job never changes'
                WHEN j.model_hint = v_model_hint THEN 'already ' || j.model_hint
                WHEN j.model_hint IS NULL AND v_model_hint IS NULL THEN 'already without a model'
            END AS why
        FROM unnest(v_job_ids, v_expected) WITH ORDINALITY AS list (job_id, expected, place)
        LEFT JOIN llm.job AS j ON j.job_id = list.job_id
    ),
    changed AS (
        UPDATE llm.job AS j
        SET
            model_hint = v_model_hint,
            marked_part_no = CASE WHEN j.status = 'SPLIT' THEN 0 ELSE j.marked_part_no END
        FROM judged AS q
        -- Not `j.status = q.status`: a plan made while the table is empty might use it to find jobs, and be kept.
        WHERE j.job_id = q.job_id AND q.why IS NULL AND j.status IS NOT DISTINCT FROM q.status
        RETURNING q.place, j.job_id, j.current_run_id, q.status AS from_status, j.status AS to_status, q.model_hint AS from_model, j.model_hint AS to_model
    ),
    told AS (
        INSERT INTO llm.job_event (
            job_id, run_id, at_utc, event, from_status, to_status, actor, reason, detail_json
        )
        SELECT
            c.job_id, c.current_run_id, v_now, 'model_changed',
            c.from_status, c.to_status, v_actor, usp_set_model_hint.reason,
            json_build_object('model_hint', json_build_object('from', c.from_model, 'to', c.to_model))::text
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

CALL llm.grant_procedure('usp_set_model_hint', 'llm_operator');
