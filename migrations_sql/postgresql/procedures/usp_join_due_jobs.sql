-- llm.usp_join_due_jobs: makes SPLIT jobs whose parts have all ended ready for the run that joins them, and brings what
--   operators changed of a SPLIT job to its parts.
-- Promises: a job is joined once a split or requeue, by one event: the look for an unfinished part, the event and the
--   new state stand or fall together, and nobody else makes a part unfinished. One whose cancellation was asked for
--   becomes CANCELLED instead. A pass over the parts is taken in steps of at most max_rows parts a call, and where it
--   stands is kept with the job: waiting parts are cancelled, running ones asked to end; unfinished ones take priority
--   and model from the job, waiting ones its time if that was changed; after a requeue the parts that ended without
--   success are queued again, and no others. Parts of a paused batch come back paused. One sweep at a time: a second
--   one answers no rows.
-- Cost: one look at an index while no job is SPLIT; else one look for an unfinished part a SPLIT job.
-- Called by: every worker (at least every 2 s).
-- Locks: the sweep's own lock, not waited for; batches of the jobs whose parts are queued again, in batch_seq order;
--   SPLIT jobs in job_seq order, SKIP LOCKED, and the parts of each after it.
CALL llm.drop_procedure('usp_join_due_jobs');
CALL llm.drop_procedure('mark_parts');

-- llm.mark_parts: the next step of bringing a SPLIT job's changes to its parts. Not for callers.
-- Promises: returns how many parts it looked at; the job's marked_part_no is null when that was the last step.
-- Called by: usp_join_due_jobs.
-- Locks: the job is held by the caller; its parts in job_seq order, which is that of part_no.
CREATE FUNCTION llm.mark_parts(job_id uuid, max_rows integer, actor text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_job llm.job;
    v_parts bigint[];
    v_last integer;
    v_now timestamptz;
    v_paused_utc timestamptz;
BEGIN
    SELECT j.* INTO v_job FROM llm.job AS j WHERE j.job_id = mark_parts.job_id;
    SELECT b.paused_utc INTO v_paused_utc FROM llm.batch AS b WHERE b.batch_id = v_job.batch_id;
    SELECT coalesce(array_agg(step.job_seq), '{}'), max(step.part_no)
    INTO v_parts, v_last
    FROM (
        SELECT p.job_seq, p.part_no
        FROM llm.job AS p
        WHERE p.parent_job_id = mark_parts.job_id AND p.part_no > v_job.marked_part_no
        ORDER BY p.parent_job_id, p.part_no
        LIMIT mark_parts.max_rows
    ) AS step;
    PERFORM 1 FROM llm.job AS p WHERE p.job_seq = ANY (v_parts) ORDER BY p.job_seq + 0 FOR NO KEY UPDATE;
    v_now := clock_timestamp();

    WITH before AS MATERIALIZED (
        SELECT
            p.job_id, p.part_no, p.status, p.current_run_id, p.priority, p.model_hint, p.available_utc, step.event,
            CASE step.event
                WHEN 'cancelled' THEN 'CANCELLED'
                WHEN 'cancel_requested' THEN 'RUNNING'
                WHEN 'requeued' THEN CASE WHEN v_job.parts_available_utc > v_now THEN 'SCHEDULED' ELSE 'NEW' END
                WHEN 'rescheduled' THEN CASE WHEN v_job.parts_available_utc > v_now THEN 'SCHEDULED' ELSE 'NEW' END
                ELSE p.status
            END AS to_status
        FROM llm.job AS p
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN v_job.cancel_requested_utc IS NOT NULL THEN CASE
                    WHEN p.status IN ('NEW', 'SCHEDULED') THEN 'cancelled'
                    WHEN p.status = 'RUNNING' AND p.cancel_requested_utc IS NULL THEN 'cancel_requested'
                END
                WHEN p.status IN ('FAILED', 'DEADLETTER', 'CANCELLED') THEN CASE
                    WHEN p.finished_utc < v_job.retry_parts_utc THEN 'requeued'
                END
                WHEN p.status IN ('NEW', 'SCHEDULED') AND p.available_utc <> v_job.parts_available_utc
                    THEN 'rescheduled'
                WHEN p.status <> 'SUCCEEDED' AND p.priority <> v_job.priority THEN 'reprioritized'
                WHEN p.status <> 'SUCCEEDED' AND p.model_hint IS DISTINCT FROM v_job.model_hint THEN 'model_changed'
            END AS event
        ) AS step
        WHERE p.job_seq = ANY (v_parts) AND step.event IS NOT NULL
    ),
    changed AS (
        UPDATE llm.job AS p
        SET
            status = b.to_status,
            finished_utc = CASE b.event WHEN 'cancelled' THEN v_now WHEN 'requeued' THEN NULL ELSE p.finished_utc END,
            cancel_requested_utc = CASE
                WHEN b.event IN ('cancelled', 'cancel_requested') THEN v_now
                WHEN b.event <> 'requeued' THEN p.cancel_requested_utc
            END,
            priority = v_job.priority,
            model_hint = v_job.model_hint,
            attempt_count = CASE WHEN b.event = 'requeued' THEN 0 ELSE p.attempt_count END,
            last_error = CASE WHEN b.event = 'requeued' THEN NULL ELSE p.last_error END,
            error_kind = CASE WHEN b.event = 'requeued' THEN NULL ELSE p.error_kind END,
            available_utc = CASE
                WHEN b.event IN ('requeued', 'rescheduled') THEN coalesce(v_job.parts_available_utc, v_now)
                ELSE p.available_utc
            END,
            paused_utc = CASE WHEN b.event = 'requeued' THEN v_paused_utc ELSE p.paused_utc END
        FROM before AS b
        WHERE p.job_id = b.job_id AND p.status IS NOT DISTINCT FROM b.status
        RETURNING b.part_no, b.job_id, b.current_run_id, b.event, b.status AS from_status, b.to_status
    )
    INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason)
    SELECT
        c.job_id, c.current_run_id, v_now, c.event, c.from_status, c.to_status, mark_parts.actor,
        'as job ' || mark_parts.job_id
    FROM changed AS c
    ORDER BY c.part_no;

    UPDATE llm.job AS j
    SET
        marked_part_no = CASE WHEN cardinality(v_parts) = mark_parts.max_rows THEN v_last END,
        retry_parts_utc = CASE WHEN cardinality(v_parts) = mark_parts.max_rows THEN j.retry_parts_utc END,
        parts_available_utc = CASE WHEN cardinality(v_parts) = mark_parts.max_rows THEN j.parts_available_utc END
    WHERE j.job_id = mark_parts.job_id;
    RETURN cardinality(v_parts);
END;
$$;

REVOKE ALL ON FUNCTION llm.mark_parts FROM public;

CREATE TYPE llm.usp_join_due_jobs_result AS (
    job_id uuid,
    final_status varchar(40)
);

CREATE FUNCTION llm.usp_join_due_jobs(
    max_rows integer DEFAULT 500,
    actor text DEFAULT NULL
)
RETURNS SETOF llm.usp_join_due_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := coalesce(nullif(btrim(usp_join_due_jobs.actor), ''), 'sweep');
    v_now timestamptz;
    v_due bigint[];
    v_batches uuid[];
    v_job llm.job;
    v_left integer := usp_join_due_jobs.max_rows;
    v_is_marked boolean;
    v_final_status text;
BEGIN
    IF coalesce(usp_join_due_jobs.max_rows NOT BETWEEN 1 AND 500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_rows is not between 1 and 500';
    END IF;
    IF char_length(v_actor) > 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC014', MESSAGE = 'actor is longer than 200 characters';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM llm.job AS j WHERE j.status = 'SPLIT') THEN
        RETURN;
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('llm.usp_join_due_jobs', 0)) THEN
        RETURN;
    END IF;

    v_due := ARRAY(
        SELECT j.job_seq
        FROM llm.job AS j
        WHERE j.status = 'SPLIT'
            AND (
                j.marked_part_no IS NOT NULL
                OR NOT EXISTS (
                    SELECT 1 FROM llm.job AS p WHERE p.parent_job_id = j.job_id AND p.finished_utc IS NULL
                )
            )
        ORDER BY j.job_seq
        LIMIT usp_join_due_jobs.max_rows
    );
    -- Who queues jobs of a batch holds it: no pause misses them.
    v_batches := ARRAY(
        SELECT DISTINCT j.batch_id
        FROM llm.job AS j
        WHERE j.job_seq = ANY (v_due) AND j.batch_id IS NOT NULL AND j.retry_parts_utc IS NOT NULL
    );
    IF v_batches <> '{}' THEN
        PERFORM 1 FROM llm.batch AS b WHERE b.batch_id = ANY (v_batches) ORDER BY b.batch_seq FOR NO KEY UPDATE;
    END IF;

    FOR v_job IN
        SELECT j.*
        FROM unnest(v_due) AS due (job_seq)
        JOIN llm.job AS j ON j.job_seq = due.job_seq
        ORDER BY due.job_seq
        FOR NO KEY UPDATE OF j SKIP LOCKED
    LOOP
        -- Requeued since the batches were locked: its turn comes with the next sweep.
        CONTINUE WHEN v_job.status <> 'SPLIT'
            OR (
                v_job.retry_parts_utc IS NOT NULL
                AND v_job.batch_id IS NOT NULL
                AND v_job.batch_id <> ALL (v_batches)
            );
        v_is_marked := v_job.marked_part_no IS NULL;
        IF NOT v_is_marked AND v_left > 0 THEN
            v_left := v_left - llm.mark_parts(v_job.job_id, v_left, v_actor);
            v_is_marked := EXISTS (
                SELECT 1 FROM llm.job AS j WHERE j.job_id = v_job.job_id AND j.marked_part_no IS NULL
            );
        END IF;
        -- Under the lock nobody makes a part unfinished: what this does not find is not there.
        CONTINUE WHEN NOT v_is_marked OR EXISTS (
            SELECT 1 FROM llm.job AS p WHERE p.parent_job_id = v_job.job_id AND p.finished_utc IS NULL
        );

        v_now := clock_timestamp();
        v_final_status := CASE WHEN v_job.cancel_requested_utc IS NULL THEN 'NEW' ELSE 'CANCELLED' END;
        UPDATE llm.job AS j
        SET
            status = v_final_status,
            error_kind = CASE WHEN v_final_status = 'CANCELLED' THEN 'cancelled' END,
            finished_utc = CASE WHEN v_final_status = 'CANCELLED' THEN v_now END
        WHERE j.job_id = v_job.job_id AND j.status IS NOT DISTINCT FROM 'SPLIT';
        INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor)
        VALUES (
            v_job.job_id, v_now, CASE v_final_status WHEN 'NEW' THEN 'joined' ELSE 'cancelled' END, 'SPLIT',
            v_final_status, v_actor
        );
        RETURN NEXT ROW(v_job.job_id, v_final_status)::llm.usp_join_due_jobs_result;
    END LOOP;
END;
$$;

CALL llm.grant_procedure('usp_join_due_jobs', 'llm_worker', 'llm_operator');
