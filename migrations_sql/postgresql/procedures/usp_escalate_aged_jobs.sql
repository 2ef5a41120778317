-- llm.usp_escalate_aged_jobs: raises the priority of jobs that were ready for more than waiting_seconds by raise_by,
--   up to max_priority; of one interrogation, or of all.
-- Promises: no priority is lowered. A job is raised again only after it has waited that long once more. Each call
--   reads at most max_rows jobs of one priority, those that have waited longest first, and returns where it stopped.
--   The next call passes that as after_priority, after_utc and after_job_seq and continues down to the lowest priority,
--   where they are null. So one pass reads each aged job once, because raised jobs are already behind it.
-- Called by: schedules.
-- Locks: the jobs in job_seq order, SKIP LOCKED (it never waits, and a claim passes over what it holds), then their
--   events; each change repeats its condition.
CALL llm.drop_procedure('usp_escalate_aged_jobs');

CREATE TYPE llm.usp_escalate_aged_jobs_result AS (
    raised integer,
    priority integer,
    available_utc timestamptz,
    job_seq bigint
);

CREATE FUNCTION llm.usp_escalate_aged_jobs(
    actor text,
    waiting_seconds integer,
    raise_by integer,
    max_priority integer,
    interrogation_key text DEFAULT NULL,
    after_priority integer DEFAULT NULL,
    after_utc timestamptz DEFAULT NULL,
    after_job_seq bigint DEFAULT NULL,
    max_rows integer DEFAULT 500,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_escalate_aged_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- keep the order of the ready index, whatever the statistics of a table that empties
SET enable_bitmapscan = off  -- and fills
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_escalate_aged_jobs.actor);
    v_key text := nullif(btrim(usp_escalate_aged_jobs.interrogation_key), '');
    v_level integer := usp_escalate_aged_jobs.after_priority;
    v_before timestamptz;
    v_seen bigint[];
    v_last_utc timestamptz;
    v_picked bigint[];
    v_now timestamptz;
    v_raised integer := 0;
BEGIN
    IF coalesce(usp_escalate_aged_jobs.waiting_seconds NOT BETWEEN 1 AND 31536000, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC045', MESSAGE = 'waiting_seconds is not between 1 and 31536000';
    END IF;
    IF coalesce(usp_escalate_aged_jobs.raise_by < 1 OR usp_escalate_aged_jobs.max_priority < 1, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC046', MESSAGE = 'raise_by or max_priority is missing or less than 1';
    END IF;
    IF usp_escalate_aged_jobs.after_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00' THEN
        RAISE EXCEPTION USING ERRCODE = 'HC028', MESSAGE = 'after_utc is not in the years 2000 to 9000';
    END IF;
    IF coalesce(usp_escalate_aged_jobs.max_rows NOT BETWEEN 1 AND 500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_rows is not between 1 and 500';
    END IF;
    v_before := clock_timestamp() - make_interval(secs => usp_escalate_aged_jobs.waiting_seconds);

    IF usp_escalate_aged_jobs.after_job_seq IS NULL THEN
        v_level := (
            SELECT j.priority
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.paused_utc IS NULL
                AND j.priority < least(usp_escalate_aged_jobs.max_priority, usp_escalate_aged_jobs.after_priority)
            ORDER BY j.priority DESC, j.available_utc, j.job_seq
            LIMIT 1
        );
    END IF;
    IF v_level IS NULL THEN
        RETURN NEXT ROW(0, NULL, NULL, NULL)::llm.usp_escalate_aged_jobs_result;
        RETURN;
    END IF;

    SELECT array_agg(l.job_seq ORDER BY l.available_utc, l.job_seq), max(l.available_utc)
    INTO v_seen, v_last_utc
    FROM (
        SELECT j.job_seq, j.available_utc
        FROM llm.job AS j
        WHERE j.status = 'NEW' AND j.paused_utc IS NULL
            AND j.priority = v_level
            AND j.available_utc <= v_before
            AND (j.available_utc, j.job_seq) > (
                coalesce(usp_escalate_aged_jobs.after_utc, '-infinity'::timestamptz),
                coalesce(usp_escalate_aged_jobs.after_job_seq, 0)
            )
        ORDER BY j.available_utc, j.job_seq
        LIMIT usp_escalate_aged_jobs.max_rows
    ) AS l;

    -- + 0: sort these few rows instead of scanning the whole index of job_seq.
    v_picked := ARRAY(
        SELECT j.job_seq
        FROM llm.job AS j
        WHERE j.job_seq = ANY (v_seen)
            AND j.status IS NOT DISTINCT FROM 'NEW' AND j.paused_utc IS NULL
            AND j.priority = v_level
            AND j.priority < usp_escalate_aged_jobs.max_priority
            AND greatest(j.available_utc, j.escalated_utc) <= v_before
            AND (v_key IS NULL OR j.interrogation_key = v_key)
        ORDER BY j.job_seq + 0
        FOR NO KEY UPDATE SKIP LOCKED
    );

    IF v_picked <> '{}' THEN
        v_now := clock_timestamp();  -- read under the locks, so that a job's events are in the order of their times
        WITH raised AS (
            UPDATE llm.job AS j
            SET
                priority = least(v_level::bigint + usp_escalate_aged_jobs.raise_by, usp_escalate_aged_jobs.max_priority),
                escalated_utc = v_now
            WHERE j.job_seq = ANY (v_picked) AND j.status IS NOT DISTINCT FROM 'NEW' AND j.priority = v_level
            RETURNING j.job_seq, j.job_id, j.priority
        ),

        told AS (
            INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason, detail_json)
            SELECT
                r.job_id, v_now, 'reprioritized', 'NEW', 'NEW', v_actor, usp_escalate_aged_jobs.reason,
                json_build_object('priority', json_build_object('from', v_level, 'to', r.priority))::text
            FROM raised AS r
            ORDER BY r.job_seq
        )

        SELECT count(*)::integer INTO v_raised FROM raised;
    END IF;

    IF coalesce(cardinality(v_seen), 0) < usp_escalate_aged_jobs.max_rows THEN
        RETURN NEXT ROW(v_raised, v_level, NULL, NULL)::llm.usp_escalate_aged_jobs_result;
    ELSE
        RETURN NEXT ROW(
            v_raised, v_level, v_last_utc, v_seen[usp_escalate_aged_jobs.max_rows]
        )::llm.usp_escalate_aged_jobs_result;
    END IF;
END;
$$;

CALL llm.grant_procedure('usp_escalate_aged_jobs', 'llm_operator');
