-- llm.count_batch: counts a batch's jobs by state, and keeps its pace. Not for callers.
-- Promises: what is counted and what it replaces are seen in one moment (one statement): a purge that takes place
--   meanwhile is wholly before or wholly after it. A sample of the pace is kept at most every 10 seconds, or every
--   hundredth of the batch's age, whichever is longer: some hundreds, however long it takes.
-- Called by: usp_sweep_batches.
-- Locks: the batch's row is held by the caller.
CALL llm.drop_procedure('count_batch');

CREATE FUNCTION llm.count_batch(batch_id uuid, is_last boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_begun_utc timestamptz := clock_timestamp();
    v_last_utc timestamptz;
    v_batch llm.batch;
BEGIN
    WITH counted AS MATERIALIZED (
        SELECT j.status, coalesce(j.error_kind, '') AS error_kind, count(*) AS jobs
        FROM llm.job AS j
        WHERE j.batch_id = count_batch.batch_id AND j.parent_job_id IS NULL
        GROUP BY j.status, coalesce(j.error_kind, '')
    ),
    gone AS (
        DELETE FROM llm.batch_count AS c WHERE c.batch_id = count_batch.batch_id AND NOT c.is_purged
    )
    INSERT INTO llm.batch_count (batch_id, status, error_kind, is_purged, jobs)
    SELECT count_batch.batch_id, t.status, t.error_kind, FALSE, t.jobs
    FROM counted AS t;

    UPDATE llm.batch AS b
    SET
        counted_utc = clock_timestamp(),
        count_ms = round(date_part('epoch', clock_timestamp() - v_begun_utc) * 1000)
    WHERE b.batch_id = count_batch.batch_id
    RETURNING b.* INTO v_batch;

    SELECT p.at_utc
    INTO v_last_utc
    FROM llm.batch_progress AS p
    WHERE p.batch_id = count_batch.batch_id
    ORDER BY p.batch_id DESC, p.progress_seq DESC
    LIMIT 1;
    IF v_last_utc IS NULL OR count_batch.is_last
        OR v_batch.counted_utc - v_last_utc
        >= greatest(interval '10 seconds', (v_batch.counted_utc - v_batch.created_utc) / 100)
    THEN
        INSERT INTO llm.batch_progress (batch_id, at_utc, ended_jobs, spent_tokens, spent_model_ms)
        SELECT
            v_batch.batch_id, v_batch.counted_utc,
            coalesce(
                sum(c.jobs) FILTER (WHERE c.status IN ('SUCCEEDED', 'FAILED', 'DEADLETTER', 'CANCELLED')), 0
            ),
            v_batch.spent_tokens, v_batch.spent_model_ms
        FROM llm.batch_count AS c
        WHERE c.batch_id = count_batch.batch_id;
    END IF;
END;
$$;

REVOKE ALL ON FUNCTION llm.count_batch FROM public;

-- llm.continue_batch: queues what is to follow a batch that has ended. Not for callers.
-- Promises: what is queued, the mark that it is, and the event stand or fall together. What can never be queued is told
--   in the event and not tried again; after any other error the next sweep tries again.
-- Called by: usp_sweep_batches.
-- Locks: the batch's row is held by the caller; then those of usp_enqueue_jobs.
CALL llm.drop_procedure('continue_batch');

CREATE FUNCTION llm.continue_batch(batch_id uuid, actor text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_batch llm.batch;
    v_next json;
    v_next_id uuid;
    v_detail text;
BEGIN
    SELECT b.* INTO v_batch FROM llm.batch AS b WHERE b.batch_id = continue_batch.batch_id;
    v_next := v_batch.on_finish_json::json;
    BEGIN
        IF v_next ->> 'name' IS NOT NULL THEN
            SELECT o.batch_id
            INTO v_next_id
            FROM llm.usp_open_batch(
                name => v_next ->> 'name',
                actor => v_batch.created_by,
                reason => format('follows batch %s', v_batch.batch_id),
                budget_tokens => (v_next ->> 'budget_tokens')::bigint,
                budget_model_seconds => (v_next ->> 'budget_model_seconds')::bigint,
                on_finish_json => (v_next -> 'on_finish')::text
            ) AS o;
        END IF;
        PERFORM e.n
        FROM llm.usp_enqueue_jobs(
            jobs_json => (v_next -> 'jobs')::text,
            actor => v_batch.created_by,
            reason => format('follows batch %s', v_batch.batch_id),
            batch_id => v_next_id
        ) AS e;
        UPDATE llm.batch AS b
        SET previous_batch_id = coalesce(b.previous_batch_id, v_batch.batch_id),
            filled_utc = coalesce(b.filled_utc, clock_timestamp())
        WHERE b.batch_id = v_next_id;
        v_detail := json_build_object('batch_id', v_next_id, 'jobs', json_array_length(v_next -> 'jobs'))::text;
    EXCEPTION
        WHEN OTHERS THEN
            IF SQLSTATE NOT LIKE 'HC%' AND SQLSTATE NOT LIKE '22%' THEN
                RETURN FALSE;
            END IF;
            v_detail := json_build_object('error', SQLERRM)::text;
    END;

    UPDATE llm.batch AS b SET continued_utc = clock_timestamp() WHERE b.batch_id = v_batch.batch_id;
    INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, detail_json)
    VALUES (v_batch.batch_id, clock_timestamp(), 'batch_continued', continue_batch.actor, v_detail);
    RETURN TRUE;
END;
$$;

REVOKE ALL ON FUNCTION llm.continue_batch FROM public;

-- llm.usp_sweep_batches: ends each batch that is filled and has no unfinished job, queues what is to follow it, pauses
--   those whose budget is spent, and keeps the counts that pages show.
-- Promises: an end is counted once, by one event batch_finished, with what follows it queued once: the row says so in
--   the same transaction. A job that is requeued or purged later changes the counts, not the end. Answers what
--   happened: batch_finished, batch_paused, batch_continued; marking: a pause or resume has not reached all jobs, and
--   somebody has to go on with usp_mark_batch_jobs. One sweep at a time: a second one answers no rows.
-- Cost: one look at an index while no batch is open. An open batch costs one look for an unfinished job, however many
--   it has; its jobs are counted only now and then, so that counting takes a twentieth of the time at most. What was
--   spent comes with the roll-up of hours, which sees every run's end once, and so does a budget's end.
-- Called by: every worker (at least every 2 s), schedules.
-- Locks: the sweep's own lock, not waited for; batches in batch_seq order, SKIP LOCKED: who holds one is just queueing
--   into it, or changing it, and the next sweep comes soon. No jobs.
CALL llm.drop_procedure('usp_sweep_batches');

CREATE TYPE llm.usp_sweep_batches_result AS (
    batch_id uuid,
    event varchar(40)
);

CREATE FUNCTION llm.usp_sweep_batches(
    max_batches integer DEFAULT 100,
    actor text DEFAULT NULL
)
RETURNS SETOF llm.usp_sweep_batches_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once a connection, not at each call
SET enable_seqscan = off  -- a plan made while the tables were small is kept: let it be the index's from the start
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := coalesce(nullif(btrim(usp_sweep_batches.actor), ''), 'sweep');
    v_now timestamptz := clock_timestamp();
    v_due uuid[];
    v_batch llm.batch;
    v_batch_id uuid;
    v_is_open boolean;
    v_tokens bigint;
    v_model_ms bigint;
    v_why text;
BEGIN
    IF coalesce(usp_sweep_batches.max_batches NOT BETWEEN 1 AND 500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_batches is not between 1 and 500';
    END IF;
    IF char_length(v_actor) > 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC014', MESSAGE = 'actor is longer than 200 characters';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM llm.batch AS b WHERE b.is_watched = TRUE)
        AND NOT EXISTS (SELECT 1 FROM llm.batch_spend AS s)
    THEN
        RETURN;
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('llm.usp_sweep_batches', 0)) THEN
        RETURN;
    END IF;

    -- Those that may end come first, then those that were counted longest ago.
    v_due := ARRAY(
        SELECT due.batch_id
        FROM (
            SELECT
                b.batch_seq, b.batch_id, b.counted_utc,
                (b.filled_utc IS NOT NULL OR b.finished_utc IS NOT NULL)
                AND NOT EXISTS (
                    SELECT 1 FROM llm.job AS j WHERE j.batch_id = b.batch_id AND j.finished_utc IS NULL
                ) AS is_over,
                b.counted_utc IS NULL
                OR b.counted_utc < v_now - make_interval(secs => greatest(1.0, b.count_ms * 0.02)) AS is_to_count,
                EXISTS (SELECT 1 FROM llm.batch_spend AS s WHERE s.batch_id = b.batch_id) AS has_spent
            FROM llm.batch AS b
            WHERE b.is_watched = TRUE
                OR b.batch_id IN (SELECT s.batch_id FROM llm.batch_spend AS s)
        ) AS due
        WHERE due.is_over OR due.is_to_count OR due.has_spent
        ORDER BY due.is_over DESC, due.counted_utc NULLS FIRST, due.batch_seq
        LIMIT usp_sweep_batches.max_batches
    );

    FOR v_batch IN
        SELECT b.* FROM llm.batch AS b WHERE b.batch_id = ANY (v_due) ORDER BY b.batch_seq FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        -- Under the lock nobody makes a job of it unfinished: what this statement does not find is not there.
        v_is_open := EXISTS (
            SELECT 1 FROM llm.job AS j WHERE j.batch_id = v_batch.batch_id AND j.finished_utc IS NULL
        );
        WITH taken AS (
            DELETE FROM llm.batch_spend AS s WHERE s.batch_id = v_batch.batch_id RETURNING s.tokens, s.model_ms
        )
        SELECT coalesce(sum(t.tokens), 0), coalesce(sum(t.model_ms), 0) INTO v_tokens, v_model_ms FROM taken AS t;
        v_batch.spent_tokens := v_batch.spent_tokens + v_tokens;
        v_batch.spent_model_ms := v_batch.spent_model_ms + v_model_ms;
        IF v_tokens > 0 OR v_model_ms > 0 THEN
            UPDATE llm.batch AS b
            SET spent_tokens = v_batch.spent_tokens, spent_model_ms = v_batch.spent_model_ms
            WHERE b.batch_id = v_batch.batch_id;
        END IF;

        v_now := clock_timestamp();
        IF NOT v_is_open AND v_batch.filled_utc IS NOT NULL AND v_batch.finished_utc IS NULL THEN
            PERFORM llm.count_batch(v_batch.batch_id, TRUE);
            v_batch.finished_utc := v_now;
            UPDATE llm.batch AS b
            SET finished_utc = v_now, marked_job_seq = NULL, is_watched = b.on_finish_json IS NOT NULL
            WHERE b.batch_id = v_batch.batch_id;
            INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, detail_json)
            SELECT
                v_batch.batch_id, v_now, 'batch_finished', v_actor,
                coalesce(json_object_agg(c.status, c.jobs ORDER BY c.status), '{}'::json)::text
            FROM (
                SELECT t.status, sum(t.jobs) AS jobs
                FROM llm.batch_count AS t
                WHERE t.batch_id = v_batch.batch_id
                GROUP BY t.status
            ) AS c;
            RETURN NEXT ROW(v_batch.batch_id, 'batch_finished')::llm.usp_sweep_batches_result;
        ELSIF NOT v_is_open AND v_batch.finished_utc IS NOT NULL AND v_batch.is_watched THEN
            PERFORM llm.count_batch(v_batch.batch_id, TRUE);
            UPDATE llm.batch AS b
            SET is_watched = b.on_finish_json IS NOT NULL AND b.continued_utc IS NULL
            WHERE b.batch_id = v_batch.batch_id;
        ELSIF v_batch.is_watched AND (
            v_batch.counted_utc IS NULL
            OR v_batch.counted_utc < v_now - make_interval(secs => greatest(1.0, v_batch.count_ms * 0.02))
        )
        THEN
            PERFORM llm.count_batch(v_batch.batch_id, FALSE);
        END IF;

        v_why := CASE
            WHEN v_batch.spent_tokens >= v_batch.budget_tokens
                THEN format('the budget of %s tokens is spent', v_batch.budget_tokens)
            WHEN v_batch.spent_model_ms >= v_batch.budget_model_seconds * 1000
                THEN format('the budget of %s model seconds is spent', v_batch.budget_model_seconds)
        END;
        IF v_why IS NOT NULL AND v_batch.finished_utc IS NULL AND v_batch.paused_utc IS NULL THEN
            UPDATE llm.batch AS b
            SET paused_utc = v_now, paused_by = v_actor, pause_reason = v_why, marked_job_seq = 0
            WHERE b.batch_id = v_batch.batch_id;
            INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason)
            VALUES (v_batch.batch_id, v_now, 'batch_paused', v_actor, v_why);
            RETURN NEXT ROW(v_batch.batch_id, 'batch_paused')::llm.usp_sweep_batches_result;
        END IF;

        IF v_batch.finished_utc IS NOT NULL AND v_batch.on_finish_json IS NOT NULL AND v_batch.continued_utc IS NULL
            AND llm.continue_batch(v_batch.batch_id, v_actor)
        THEN
            UPDATE llm.batch AS b SET is_watched = v_is_open WHERE b.batch_id = v_batch.batch_id;
            RETURN NEXT ROW(v_batch.batch_id, 'batch_continued')::llm.usp_sweep_batches_result;
        END IF;
    END LOOP;

    FOR v_batch_id IN
        SELECT b.batch_id
        FROM llm.batch AS b
        WHERE b.is_watched = TRUE AND b.marked_job_seq IS NOT NULL
        ORDER BY b.batch_seq
        LIMIT usp_sweep_batches.max_batches
    LOOP
        RETURN NEXT ROW(v_batch_id, 'marking')::llm.usp_sweep_batches_result;
    END LOOP;
END;
$$;

CALL llm.grant_procedure('usp_sweep_batches', 'llm_worker', 'llm_operator');
