-- llm.usp_roll_up_hours: counts up to max_events events into llm.stat_hour and llm.stat_hour_time, from where the last
--   call stopped.
-- Promises: each event is counted once, in the hour of its at_utc, whoever calls and however often: counts and mark
--   change in one transaction. is_caught_up: everything committed before through_utc is counted; else call again. One
--   at a time: a second caller gets no rows. Downtime is caught up in steps of max_events.
-- Nothing is missed, although event_seq is not the order of commits. The highest visible event_seq is read first. A
--   transaction with a lower one that is not yet visible took it earlier (the identity has no cache), and before that
--   took the table's ROW EXCLUSIVE lock, which it releases only when it ends and its rows are visible. So the call
--   waits briefly for the present holders of that lock; then everything up to the mark is visible or never will be.
--   Nobody waits for the counting. If a transaction stays open, nothing is counted and the result says so; a later call
--   counts everything. An event whose transaction read its clock before the end of an hour and got its number after
--   the mark is counted by a later call, in its own hour: no hour is ever closed.
-- with_answer: 0 returns no rows, for procedures that call this one and return their own.
-- A time before the year 2000 or after 9000, which no procedure accepts but a table can contain, is counted in the
--   first or last hour of these years, and no duration is measured from or to it.
-- The model time is the one that the model server reported (total_duration in metrics_json, nanoseconds); a run
--   without it, or with 0, has none.
-- What the runs of a batch's jobs spent is added to llm.batch_spend, once as well.
-- Called by: every worker, several times a minute; schedules; usp_purge_jobs.
-- Locks: the counting's own lock, not waited for; then only its own tables' rows.
CALL llm.drop_procedure('usp_roll_up_hours');

CREATE TYPE llm.usp_roll_up_hours_result AS (
    events integer,
    through_utc timestamptz,
    is_caught_up boolean
);

CREATE FUNCTION llm.usp_roll_up_hours(
    max_events integer DEFAULT 50000,
    with_answer boolean DEFAULT TRUE
)
RETURNS SETOF llm.usp_roll_up_hours_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_bitmapscan = on  -- as ever: usp_purge_jobs, which calls this, does without both
SET enable_hashjoin = on
SET enable_nestloop = off  -- and hash what was read, which is as much as there are events; no table stands in a join
SET enable_mergejoin = off
SET enable_sort = off  -- few groups of many rows: hashed, not sorted
SET enable_memoize = off  -- no two claims are the same
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    c_patience CONSTANT interval := '200 ms';
    c_epoch CONSTANT timestamptz := '2000-01-01 00:00:00+00';
    c_last CONSTANT timestamptz := '9000-12-31 23:00:00+00';
    c_ends CONSTANT text [] := ARRAY[
        'completed', 'retried', 'dead_lettered', 'released', 'lease_expired', 'cancelled', 'split'
    ];
    -- Of the type whose buckets are found without a call for each comparison.
    c_bounds CONSTANT double precision [] := ARRAY[
        10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000,
        1000000, 2000000, 5000000, 10000000, 20000000, 50000000, 100000000, 1000000000
    ];
    v_begun_utc timestamptz := clock_timestamp();
    v_from bigint;
    v_through_utc timestamptz;
    v_high bigint;
    v_to bigint;
    v_open text[];
    v_events integer;
    v_jobs uuid[];
    v_runs uuid[];
    v_is_caught_up boolean;
BEGIN
    IF coalesce(usp_roll_up_hours.max_events NOT BETWEEN 1 AND 1000000, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC027', MESSAGE = 'max_events is not between 1 and 1000000';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('llm.usp_roll_up_hours', 0)) THEN
        RETURN;
    END IF;

    SELECT m.event_seq, m.through_utc
    INTO v_from, v_through_utc
    FROM llm.stat_mark AS m
    WHERE m.stat_name = 'stat_hour';
    IF NOT FOUND THEN
        v_from := 0;
        INSERT INTO llm.stat_mark (stat_name, event_seq) VALUES ('stat_hour', v_from);
    END IF;

    SELECT max(e.event_seq) INTO v_high FROM llm.job_event AS e;
    v_open := ARRAY(
        SELECT l.virtualtransaction
        FROM pg_locks AS l
        INNER JOIN pg_database AS d ON l.database = d.oid AND d.datname = current_database()
        WHERE
            l.locktype = 'relation'
            AND l.relation = 'llm.job_event'::regclass
            AND l.mode = 'RowExclusiveLock'
            AND l.granted
            AND l.pid IS DISTINCT FROM pg_backend_pid()
    );
    WHILE EXISTS (SELECT 1 FROM pg_locks AS l WHERE l.locktype = 'relation'
        AND l.relation = 'llm.job_event'::regclass AND l.virtualtransaction = ANY (v_open))
    LOOP
        IF clock_timestamp() > v_begun_utc + c_patience THEN
            IF coalesce(usp_roll_up_hours.with_answer, TRUE) THEN
                RETURN NEXT ROW(0, v_through_utc, FALSE)::llm.usp_roll_up_hours_result;
            END IF;
            RETURN;
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;

    SELECT
        coalesce(max(step.event_seq), v_from),
        count(*),
        array_agg(step.job_id),
        array_agg(step.run_id) FILTER (WHERE step.event = ANY (c_ends))
    INTO v_to, v_events, v_jobs, v_runs
    FROM (
        SELECT e.event_seq, e.job_id, e.run_id, e.event
        FROM llm.job_event AS e
        WHERE e.event_seq > v_from AND e.event_seq <= v_high
        ORDER BY e.event_seq
        LIMIT usp_roll_up_hours.max_events
    ) AS step;
    v_is_caught_up := v_events < usp_roll_up_hours.max_events OR v_to >= v_high;

    -- Jobs and runs are read by all their keys in one index scan; a search per event would take twice as long.
    WITH job AS NOT MATERIALIZED (
        SELECT j.job_id, j.interrogation_key, j.model_hint, j.available_utc, j.batch_id
        FROM llm.job AS j
        WHERE j.job_id = ANY (v_jobs)
    ),
    run AS NOT MATERIALIZED (
        SELECT
            r.run_id, r.model_name, r.error_kind, r.prompt_tokens, r.output_tokens,
            -- The number of lower bounds, in milliseconds.
            CASE
                WHEN r.started_utc BETWEEN c_epoch AND c_last AND r.completed_utc BETWEEN c_epoch AND c_last
                    THEN width_bucket(round(date_part('epoch', r.completed_utc - r.started_utc) * 1000) - 1, c_bounds)
            END AS run_bucket,
            CASE
                WHEN length(m.duration) BETWEEN 1 AND 18 AND ltrim(m.duration, '0123456789') = ''
                    THEN (nullif(m.duration::bigint, 0) + 500000) / 1000000
            END AS model_ms
        FROM llm.run AS r
        -- Escapes may be unreadable for this engine's operators; the model server's numbers have none.
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN position('\' IN r.metrics_json) = 0 THEN r.metrics_json::json ->> 'total_duration'
            END AS duration
            OFFSET 0  -- once a run, not once for each place that names it
        ) AS m
        WHERE r.run_id = ANY (v_runs)
    ),
    -- Grouped together with the buckets: splitting a few thousand groups is cheaper than a hundred thousand rows.
    told AS MATERIALIZED (
        SELECT
            date_bin('1 hour', least(greatest(e.at_utc, c_epoch), c_last), c_epoch) AS hour_utc,
            j.interrogation_key,
            coalesce(r.model_name, j.model_hint, '') AS model,
            coalesce(r.error_kind, '') AS error_kind,
            CASE WHEN e.event <> 'completed' THEN e.event WHEN e.to_status = 'SUCCEEDED' THEN 'succeeded' ELSE 'failed' END
                AS event,
            CASE
                WHEN ready.at_utc BETWEEN c_epoch AND c_last AND e.at_utc BETWEEN c_epoch AND c_last
                    THEN width_bucket(round(date_part('epoch', e.at_utc - ready.at_utc) * 1000) - 1, c_bounds)
            END AS wait_bucket,
            CASE WHEN e.to_status <> 'RUNNING' THEN r.run_bucket END AS run_bucket,
            CASE WHEN e.to_status <> 'RUNNING' THEN width_bucket(r.model_ms::double precision - 1, c_bounds) END
                AS model_bucket,
            j.batch_id,
            count(*) AS amount,
            sum(r.prompt_tokens) FILTER (WHERE e.to_status <> 'RUNNING') AS prompt_tokens,
            sum(r.output_tokens) FILTER (WHERE e.to_status <> 'RUNNING') AS output_tokens,
            sum(r.model_ms) FILTER (WHERE e.to_status <> 'RUNNING' AND r.output_tokens IS NOT NULL) AS model_ms
        FROM llm.job_event AS e
        INNER JOIN job AS j ON e.job_id = j.job_id
        -- Only for ends of runs, some of which have two events: the cause and the new state.
        LEFT JOIN run AS r ON r.run_id = CASE WHEN e.event = ANY (c_ends) THEN e.run_id END
        LEFT JOIN LATERAL (
            -- A promoted job was ready when it was due, which may be long before it was promoted.
            SELECT CASE p.event WHEN 'promoted' THEN least(p.at_utc, j.available_utc) ELSE p.at_utc END AS at_utc
            FROM llm.job_event AS p
            WHERE
                p.job_id = CASE e.event WHEN 'claimed' THEN e.job_id END  -- a key that is null is not looked up
                AND p.event_seq < e.event_seq
                AND p.to_status = 'NEW'
                AND p.from_status IS DISTINCT FROM 'NEW'
            ORDER BY p.event_seq DESC
            LIMIT 1
        ) AS ready ON TRUE
        WHERE e.event_seq > v_from AND e.event_seq <= v_to
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
    ),
    spent AS (
        INSERT INTO llm.batch_spend (batch_id, tokens, model_ms)
        SELECT
            t.batch_id, coalesce(sum(t.prompt_tokens), 0) + coalesce(sum(t.output_tokens), 0),
            coalesce(sum(t.model_ms), 0)
        FROM told AS t
        WHERE t.batch_id IS NOT NULL
        GROUP BY t.batch_id
        HAVING sum(t.prompt_tokens) > 0 OR sum(t.output_tokens) > 0 OR sum(t.model_ms) > 0
    ),
    counted AS (
        INSERT INTO llm.stat_hour AS s (
            hour_utc, interrogation_key, model, error_kind,
            enqueued, promoted, claimed, succeeded, failed, dead_lettered, retried, released, lease_expired, cancelled,
            requeued, prompt_tokens, output_tokens, model_ms
        )
        SELECT
            t.hour_utc, t.interrogation_key, t.model, t.error_kind,
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'enqueued'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'promoted'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'claimed'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'succeeded'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'failed'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'dead_lettered'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'retried'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'released'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'lease_expired'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'cancelled'), 0),
            coalesce(sum(t.amount) FILTER (WHERE t.event = 'requeued'), 0),
            coalesce(sum(t.prompt_tokens), 0),
            coalesce(sum(t.output_tokens), 0),
            coalesce(sum(t.model_ms), 0)
        FROM told AS t
        WHERE t.event IN (
            'enqueued', 'promoted', 'claimed', 'succeeded', 'failed', 'dead_lettered', 'retried', 'released',
            'lease_expired', 'cancelled', 'requeued', 'split'
        )
        GROUP BY t.hour_utc, t.interrogation_key, t.model, t.error_kind
        ON CONFLICT (hour_utc, interrogation_key, model, error_kind) DO UPDATE
        SET
            enqueued = s.enqueued + excluded.enqueued,
            promoted = s.promoted + excluded.promoted,
            claimed = s.claimed + excluded.claimed,
            succeeded = s.succeeded + excluded.succeeded,
            failed = s.failed + excluded.failed,
            dead_lettered = s.dead_lettered + excluded.dead_lettered,
            retried = s.retried + excluded.retried,
            released = s.released + excluded.released,
            lease_expired = s.lease_expired + excluded.lease_expired,
            cancelled = s.cancelled + excluded.cancelled,
            requeued = s.requeued + excluded.requeued,
            prompt_tokens = s.prompt_tokens + excluded.prompt_tokens,
            output_tokens = s.output_tokens + excluded.output_tokens,
            model_ms = s.model_ms + excluded.model_ms
    ),
    timed AS (
        INSERT INTO llm.stat_hour_time AS s (hour_utc, measure, interrogation_key, model, up_to_ms, amount)
        SELECT
            t.hour_utc, m.measure, t.interrogation_key, t.model, c_bounds[1 + m.bucket]::bigint, sum(t.amount)
        FROM told AS t
        CROSS JOIN LATERAL (
            -- Times above the last bound are in the last bucket.
            SELECT n.measure, least(n.bucket, array_length(c_bounds, 1) - 1) AS bucket
            FROM (VALUES ('wait', t.wait_bucket), ('run', t.run_bucket), ('model', t.model_bucket)) AS n (measure, bucket)
            WHERE n.bucket IS NOT NULL
        ) AS m
        GROUP BY t.hour_utc, m.measure, t.interrogation_key, t.model, m.bucket
        ON CONFLICT (hour_utc, measure, interrogation_key, model, up_to_ms) DO UPDATE
        SET amount = s.amount + excluded.amount
    )
    UPDATE llm.stat_mark AS m
    SET
        event_seq = v_to,
        through_utc = CASE
            WHEN v_is_caught_up THEN v_begun_utc
            ELSE (SELECT e.at_utc FROM llm.job_event AS e WHERE e.event_seq = v_to)
        END
    WHERE m.stat_name = 'stat_hour'
    RETURNING m.through_utc INTO v_through_utc;

    IF coalesce(usp_roll_up_hours.with_answer, TRUE) THEN
        RETURN NEXT ROW(v_events, v_through_utc, v_is_caught_up)::llm.usp_roll_up_hours_result;
    END IF;
END;
$$;

CALL llm.grant_procedure('usp_roll_up_hours', 'llm_worker', 'llm_operator');
