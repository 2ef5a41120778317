-- llm.usp_reap_expired_leases: ends up to max_rows runs whose lease has expired, and changes the state of their jobs.
-- Promises: a job's first expiry makes it NEW at once, a later one SCHEDULED after the backoff, which is
--   min(3600, 30 * 2^(attempt_count - 1)) seconds, give or take 20 %; attempts used up: DEADLETTER; cancellation asked
--   for: CANCELLED. One reaper at a time: a second one returns no rows. Times from before the clock was set back are
--   adjusted: such a lease restarts now with its original length, so that it never ends earlier than it was granted
--   for, and a dead worker's job does not wait until the old time is reached again.
-- Called by: every worker (at least every 2 s), schedules.
-- Locks: the reaper's own lock, not waited for; expired jobs in job_seq order, SKIP LOCKED (whoever holds one is just
--   completing or renewing it), then their runs, then their events. Rows of workers: none that a heartbeat holds.
CALL llm.drop_procedure('usp_reap_expired_leases');

CREATE TYPE llm.usp_reap_expired_leases_result AS (
    job_id uuid,
    run_id uuid,
    final_status varchar(40),
    available_utc timestamptz
);

CREATE FUNCTION llm.usp_reap_expired_leases(
    max_rows integer DEFAULT 500,
    actor text DEFAULT NULL
)
RETURNS SETOF llm.usp_reap_expired_leases_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := coalesce(nullif(btrim(usp_reap_expired_leases.actor), ''), 'reaper');
    v_now timestamptz := clock_timestamp();
    v_picked uuid[];
BEGIN
    IF coalesce(usp_reap_expired_leases.max_rows NOT BETWEEN 1 AND 500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_rows is not between 1 and 500';
    END IF;
    IF char_length(v_actor) > 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC014', MESSAGE = 'actor is longer than 200 characters';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('llm.usp_reap_expired_leases', 0)) THEN
        RETURN;
    END IF;

    -- Claimed later than now, and not renewed since the clock was set back, as a heartbeat would set locked_utc.
    v_picked := ARRAY(
        SELECT j.job_id
        FROM llm.job AS j
        WHERE j.status = 'RUNNING' AND j.locked_utc > v_now
        ORDER BY j.job_seq
        LIMIT usp_reap_expired_leases.max_rows
        FOR NO KEY UPDATE SKIP LOCKED
    );
    IF v_picked <> '{}' THEN
        v_now := clock_timestamp();  -- what was claimed while this looked was not claimed later than now
        WITH begun_anew AS (
            UPDATE llm.job AS j
            SET lease_expires_utc = v_now + (j.lease_expires_utc - j.locked_utc), locked_utc = v_now
            WHERE j.job_id = ANY (v_picked) AND j.status IS NOT DISTINCT FROM 'RUNNING' AND j.locked_utc > v_now
            RETURNING j.current_run_id, j.lease_expires_utc
        )
        UPDATE llm.run AS r
        SET lease_until_utc = b.lease_expires_utc
        FROM begun_anew AS b
        WHERE r.run_id = b.current_run_id AND r.status = 'RUNNING';
    END IF;

    -- Likewise for a worker seen later than now: if it is dead, its id becomes free one lease from now.
    UPDATE llm.worker AS w
    SET last_seen_utc = clock_timestamp()
    WHERE w.worker_id = ANY (
        ARRAY(
            SELECT ahead.worker_id
            FROM llm.worker AS ahead
            WHERE ahead.last_seen_utc > clock_timestamp()
            ORDER BY ahead.worker_id
            FOR NO KEY UPDATE SKIP LOCKED
        )
    );

    v_picked := ARRAY(
        SELECT j.job_id
        FROM llm.job AS j
        WHERE j.status = 'RUNNING' AND j.lease_expires_utc < v_now
        ORDER BY j.job_seq
        LIMIT usp_reap_expired_leases.max_rows
        FOR NO KEY UPDATE SKIP LOCKED
    );
    IF v_picked = '{}' THEN
        RETURN;
    END IF;
    v_now := clock_timestamp();

    RETURN QUERY
    WITH expired AS MATERIALIZED (
        SELECT
            j.job_seq, j.job_id, j.current_run_id AS run_id, j.locked_by, j.lease_expires_utc,
            CASE
                WHEN j.cancel_requested_utc IS NOT NULL THEN 'CANCELLED'
                WHEN j.attempt_count >= j.max_attempts THEN 'DEADLETTER'
                WHEN earlier.found THEN 'SCHEDULED'
                ELSE 'NEW'
            END AS final_status,
            -- 30 * 2^7 exceeds the maximum already; jitter keeps jobs that failed together from retrying together
            v_now + make_interval(
                secs => least(3600, 30 * 2 ^ least(greatest(j.attempt_count - 1, 0), 7)) * (0.8 + 0.4 * random())
            ) AS backed_off_utc,
            format('the lease of worker %s expired at %s', j.locked_by, llm.utc_text(j.lease_expires_utc)) AS error
        FROM llm.job AS j
        CROSS JOIN LATERAL (
            SELECT EXISTS (
                SELECT 1 FROM llm.run AS r WHERE r.job_id = j.job_id AND r.error_kind = 'lease_expired'
            ) AS found
        ) AS earlier
        WHERE j.job_id = ANY (v_picked) AND j.status IS NOT DISTINCT FROM 'RUNNING' AND j.lease_expires_utc < v_now
    ),
    moved AS (
        UPDATE llm.job AS j
        SET
            status = x.final_status,
            available_utc = CASE WHEN x.final_status = 'SCHEDULED' THEN x.backed_off_utc ELSE j.available_utc END,
            locked_by = NULL,
            locked_utc = NULL,
            lease_expires_utc = NULL,
            current_run_id = NULL,
            last_error = x.error,
            error_kind = 'lease_expired',
            finished_utc = CASE WHEN x.final_status IN ('DEADLETTER', 'CANCELLED') THEN v_now END
        FROM expired AS x
        WHERE j.job_id = x.job_id AND j.status IS NOT DISTINCT FROM 'RUNNING' AND j.current_run_id = x.run_id
        RETURNING
            x.job_seq, x.job_id, x.run_id, x.final_status, x.locked_by, x.lease_expires_utc, x.error,
            CASE WHEN x.final_status IN ('NEW', 'SCHEDULED') THEN j.available_utc END AS available_utc
    ),
    ended AS (
        UPDATE llm.run AS r
        SET status = 'FAILED', counted = TRUE, completed_utc = v_now, error_kind = 'lease_expired', error = m.error
        FROM moved AS m
        WHERE r.run_id = m.run_id AND r.status = 'RUNNING'
    ),
    told AS (
        -- One event for the cause and, if that does not imply the new state, one for the state.
        INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json)
        SELECT
            m.job_id, m.run_id, v_now, step.event, 'RUNNING', step.to_status, v_actor,
            json_build_object(
                'worker_id', m.locked_by,
                'lease_expires_utc', llm.utc_text(m.lease_expires_utc),
                'available_utc', llm.utc_text(m.available_utc)
            )::text
        FROM moved AS m
        CROSS JOIN LATERAL (
            VALUES
            (1, 'lease_expired', CASE WHEN m.available_utc IS NULL THEN 'RUNNING' ELSE m.final_status END),
            (2, CASE m.final_status WHEN 'DEADLETTER' THEN 'dead_lettered' ELSE 'cancelled' END, m.final_status)
        ) AS step (place, event, to_status)
        WHERE step.place = 1 OR m.available_utc IS NULL
        ORDER BY m.job_seq, step.place
    )
    SELECT m.job_id, m.run_id, m.final_status::varchar(40), m.available_utc
    FROM moved AS m
    ORDER BY m.job_seq;
END;
$$;

CALL llm.grant_procedure('usp_reap_expired_leases', 'llm_worker', 'llm_operator');
