-- llm.usp_complete_jobs: ends several runs in one transaction, each as usp_complete_job does, and returns a row each.
-- Promises: those of usp_complete_job for each element of outcomes_json, whose members are its parameters; one that is
--   refused does not affect the others; one with bad arguments rolls back all.
-- Called by: the worker, when several outcomes are waiting, so that they share a commit.
-- Locks: those of usp_complete_job; first all jobs in the order of job_seq, as whoever locks several does, then all
--   slots of their entities in order, since nobody may wait for a job, or for an earlier slot, while holding one.
CALL llm.drop_procedure('usp_complete_jobs');

CREATE TYPE llm.usp_complete_jobs_result AS (
    run_id uuid,
    accepted boolean,
    final_status varchar(40),
    available_utc timestamptz
);

CREATE FUNCTION llm.usp_complete_jobs(outcomes_json text)
RETURNS SETOF llm.usp_complete_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
AS $$
#variable_conflict use_column
DECLARE
    v_outcome record;
BEGIN
    BEGIN
        IF json_typeof(usp_complete_jobs.outcomes_json::json) IS DISTINCT FROM 'array' THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC012', MESSAGE = 'outcomes_json is malformed: it is not a JSON array';
        END IF;
        PERFORM 1
        FROM json_to_recordset(usp_complete_jobs.outcomes_json::json) AS o (
            job_id uuid, run_id uuid, retry_after_seconds integer, count_attempt boolean
        );
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'outcomes_json is malformed: ' || SQLERRM;
    END;

    PERFORM 1
    FROM llm.job AS j
    WHERE j.job_id IN (
            SELECT o.job_id FROM json_to_recordset(usp_complete_jobs.outcomes_json::json) AS o (job_id uuid)
        )
    ORDER BY j.job_seq + 0
    FOR NO KEY UPDATE;

    PERFORM 1
    FROM llm.entity_lock AS l
    WHERE l.slot IN (
            SELECT llm.entity_slot(j.entity_type, j.entity_id)
            FROM json_to_recordset(usp_complete_jobs.outcomes_json::json) AS o (job_id uuid, facts_json text)
            JOIN llm.job AS j ON j.job_id = o.job_id
            WHERE o.facts_json IS NOT NULL
        )
    ORDER BY l.slot + 0
    FOR NO KEY UPDATE;

    FOR v_outcome IN
        SELECT o.*
        FROM json_to_recordset(usp_complete_jobs.outcomes_json::json) AS o (
            job_id uuid,
            run_id uuid,
            status text,
            error text,
            error_kind text,
            retry_after_seconds integer,
            count_attempt boolean,
            run_json text,
            artifacts_json text,
            facts_json text
        )
        LEFT JOIN llm.job AS j
            ON j.job_id = o.job_id
        ORDER BY j.job_seq + 0, o.run_id
    LOOP
        RETURN QUERY
        SELECT v_outcome.run_id, c.accepted, c.final_status, c.available_utc
        FROM llm.usp_complete_job(
            job_id => v_outcome.job_id,
            run_id => v_outcome.run_id,
            status => v_outcome.status,
            error => v_outcome.error,
            error_kind => v_outcome.error_kind,
            retry_after_seconds => v_outcome.retry_after_seconds,
            count_attempt => v_outcome.count_attempt,
            run_json => v_outcome.run_json,
            artifacts_json => v_outcome.artifacts_json,
            facts_json => v_outcome.facts_json
        ) AS c;
    END LOOP;
END;
$$;

CALL llm.grant_procedure('usp_complete_jobs', 'llm_worker');
