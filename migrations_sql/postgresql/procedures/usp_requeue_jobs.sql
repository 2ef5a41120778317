-- llm.usp_requeue_jobs: sends ended jobs back into the queue with all their attempts before them.
-- Promises: a row per named job: changed, or why not. FAILED, DEADLETTER and CANCELLED become NEW, or SCHEDULED
--   when available_utc is in the future; a job whose dedupe key another job holds is refused, also when the other is
--   only just being queued. A SUCCEEDED job never changes.
--   A job with parts becomes SPLIT, and only those of its parts that failed are worked again; a part alone is refused.
-- Called by: queue.py for operators (admin, commands, schedules).
-- Locks: the batches that the jobs are of, since who makes a job unfinished holds its batch; then the jobs in job_seq
--   order; then one by one, in the order in which an enqueue inserts them, their
--   dedupe keys; then events. Whoever waits for a key holds only smaller keys, and nobody who holds a key waits for a
--   job.
CALL llm.drop_procedure('usp_requeue_jobs');

CREATE TYPE llm.usp_requeue_jobs_result AS (
    job_id uuid,
    changed boolean,
    from_status varchar(40),
    to_status varchar(40),
    why text
);

CREATE FUNCTION llm.usp_requeue_jobs(
    jobs_json text,
    actor text,
    available_utc timestamptz DEFAULT NULL,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_requeue_jobs_result
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
    v_actor text := llm.read_actor(usp_requeue_jobs.actor);
    v_job record;
    v_why text;
    v_to_status text;
    v_answers llm.usp_requeue_jobs_result[] := '{}';
    v_batch_ids uuid[];
    v_now timestamptz;
    v_job_ids uuid[];
    v_expected text[];
BEGIN
    IF usp_requeue_jobs.available_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00' THEN
        RAISE EXCEPTION USING ERRCODE = 'HC028', MESSAGE = 'available_utc is not in the years 2000 to 9000';
    END IF;
    SELECT list.job_ids, list.expected_statuses
    INTO v_job_ids, v_expected
    FROM llm.read_job_list(usp_requeue_jobs.jobs_json) AS list;

    v_batch_ids := ARRAY(
        SELECT DISTINCT j.batch_id FROM llm.job AS j WHERE j.job_id = ANY (v_job_ids) AND j.batch_id IS NOT NULL
    );
    IF v_batch_ids <> '{}' THEN
        PERFORM 1 FROM llm.batch AS b WHERE b.batch_id = ANY (v_batch_ids) ORDER BY b.batch_seq FOR NO KEY UPDATE;
        -- Of one that has ended the counts are made true again when these jobs have.
        UPDATE llm.batch AS b SET is_watched = TRUE WHERE b.batch_id = ANY (v_batch_ids) AND b.is_watched = FALSE;
    END IF;

    -- + 0: sort these few rows instead of scanning the whole index of job_seq.
    PERFORM 1 FROM llm.job AS j WHERE j.job_id = ANY (v_job_ids) ORDER BY j.job_seq + 0 FOR NO KEY UPDATE;
    v_now := clock_timestamp();  -- read under the locks, so that a job's events are in the order of their times

    FOR v_job IN
        SELECT
            list.place, list.job_id, list.expected, j.job_id IS NOT NULL AS found, j.status, j.interrogation_key,
            j.dedupe_key, j.parent_job_id
        FROM unnest(v_job_ids, v_expected) WITH ORDINALITY AS list (job_id, expected, place)
        LEFT JOIN llm.job AS j ON j.job_id = list.job_id
        ORDER BY j.interrogation_key, j.dedupe_key, list.place
    LOOP
        v_to_status := v_job.status;
        v_why := CASE
            WHEN NOT v_job.found THEN 'no such job'
            WHEN v_job.expected <> v_job.status THEN format('the job is %s, not %s', v_job.status, v_job.expected)
            WHEN v_job.status = 'SUCCEEDED' THEN 'a SUCCEEDED job never changes'
            WHEN v_job.status NOT IN ('FAILED', 'DEADLETTER', 'CANCELLED') THEN 'already ' || v_job.status
            WHEN v_job.parent_job_id IS NOT NULL THEN format('it is a part: requeue job %s', v_job.parent_job_id)
        END;
        IF v_why IS NULL THEN
            BEGIN
                UPDATE llm.job AS j
                SET
                    status = CASE
                        WHEN j.part_count IS NOT NULL THEN 'SPLIT'
                        WHEN usp_requeue_jobs.available_utc > v_now THEN 'SCHEDULED'
                        ELSE 'NEW'
                    END,
                    attempt_count = 0,
                    available_utc = coalesce(usp_requeue_jobs.available_utc, v_now),
                    cancel_requested_utc = NULL,
                    last_error = NULL,
                    error_kind = NULL,
                    finished_utc = NULL,
                    marked_part_no = CASE WHEN j.part_count IS NOT NULL THEN 0 END,
                    retry_parts_utc = CASE WHEN j.part_count IS NOT NULL THEN v_now END,
                    parts_available_utc = CASE
                        WHEN j.part_count IS NOT NULL THEN usp_requeue_jobs.available_utc
                    END,
                    paused_utc = (SELECT b.paused_utc FROM llm.batch AS b WHERE b.batch_id = j.batch_id)
                WHERE j.job_id = v_job.job_id AND j.status IS NOT DISTINCT FROM v_job.status
                RETURNING j.status INTO v_to_status;

                INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason)
                VALUES (
                    v_job.job_id, v_now, 'requeued', v_job.status, v_to_status, v_actor, usp_requeue_jobs.reason
                );
            EXCEPTION
                WHEN unique_violation THEN
                    v_to_status := v_job.status;
                    v_why := coalesce(
                        (
                            SELECT format('job %s holds its dedupe key', holder.job_id)
                            FROM llm.job AS holder
                            WHERE holder.dedupe_key = v_job.dedupe_key
                                AND holder.interrogation_key IS NOT DISTINCT FROM v_job.interrogation_key
                                AND holder.dedupe_key IS NOT NULL
                                AND holder.status IN ('NEW', 'SCHEDULED', 'RUNNING', 'SPLIT', 'SUCCEEDED')
                        ),
                        'another job held its dedupe key a moment ago'
                    );
            END;
        END IF;
        v_answers[v_job.place] := ROW(v_job.job_id, v_why IS NULL, v_job.status, v_to_status, v_why);
    END LOOP;

    RETURN QUERY
    SELECT a.job_id, a.changed, a.from_status, a.to_status, a.why
    FROM unnest(v_answers) WITH ORDINALITY AS a (job_id, changed, from_status, to_status, why, place)
    ORDER BY a.place;
END;
$$;

CALL llm.grant_procedure('usp_requeue_jobs', 'llm_operator');
