-- llm.usp_heartbeat: renews the leases of the named runs, and records the worker's status.
-- Promises: a row for every named run (held, cancel_requested: renewed; lost: ended, or another's) and for every run of
--   this worker that is not named (stray: not renewed, to be released). A lease whose time has passed is renewed as
--   long as nobody has ended the run. A worker id that is live with another started_utc is refused (HC020).
--   With endpoints_json (an array of objects), the worker's rows of llm.endpoint are exactly these afterwards.
-- Called by: the worker's heartbeat thread, every third of the lease, and once before it exits.
-- Locks: the worker's jobs in job_seq order, then their runs, then the worker's row, then its endpoints, always last.
CALL llm.drop_procedure('usp_heartbeat');

CREATE TYPE llm.usp_heartbeat_result AS (
    run_id uuid,
    state varchar(40),
    lease_expires_utc timestamptz
);

CREATE FUNCTION llm.usp_heartbeat(
    worker_id text,
    run_ids_json text,
    lease_seconds integer DEFAULT 120,
    host text DEFAULT NULL,
    pid integer DEFAULT NULL,
    version text DEFAULT NULL,
    started_utc timestamptz DEFAULT NULL,
    concurrency integer DEFAULT NULL,
    stopping boolean DEFAULT FALSE,
    not_claiming_why text DEFAULT NULL,
    endpoints_json text DEFAULT NULL
)
RETURNS SETOF llm.usp_heartbeat_result
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
    v_worker_id text := btrim(usp_heartbeat.worker_id);
    v_named uuid[];
    v_lease interval;
    v_now timestamptz;
    v_are_bad boolean := FALSE;
BEGIN
    IF coalesce(char_length(v_worker_id), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC001', MESSAGE = 'worker_id is missing, blank or longer than 200 characters';
    END IF;
    IF coalesce(usp_heartbeat.lease_seconds NOT BETWEEN 1 AND 86400, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC002', MESSAGE = 'lease_seconds is not between 1 and 86400';
    END IF;
    IF usp_heartbeat.started_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00' THEN
        RAISE EXCEPTION USING ERRCODE = 'HC028', MESSAGE = 'started_utc is not in the years 2000 to 9000';
    END IF;
    BEGIN
        -- An element is a run's id, or an object that has one.
        v_named := ARRAY(
            SELECT
                CASE json_typeof(e.element)
                    WHEN 'object' THEN (e.element ->> 'run_id')::uuid
                    ELSE (e.element #>> '{}')::uuid
                END
            FROM json_array_elements(usp_heartbeat.run_ids_json::json) AS e (element)
        );
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'HC018', MESSAGE = 'run_ids_json is malformed: ' || SQLERRM;
    END;
    IF usp_heartbeat.run_ids_json IS NULL OR array_position(v_named, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC018', MESSAGE = 'run_ids_json is missing, or an element has no run_id';
    END IF;
    IF usp_heartbeat.endpoints_json IS NOT NULL THEN
        BEGIN
            SELECT
                count(*) <> count(DISTINCT btrim(e.name))
                OR coalesce(
                    bool_or(
                        e.name IS NULL
                        OR char_length(btrim(e.name)) NOT BETWEEN 1 AND 200
                        OR coalesce(char_length(e.protocol), 0) NOT BETWEEN 1 AND 40
                        OR e.address IS NULL
                        OR coalesce(e.slots < 1, TRUE)
                        OR coalesce(e.state NOT IN ('UP', 'DOWN', 'PAUSED'), TRUE)
                        OR char_length(btrim(e.serving_model)) NOT BETWEEN 1 AND 200
                        OR e.serving_since_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00'
                        OR json_typeof(e.resident) NOT IN ('array', 'null')
                        OR json_typeof(e.models) NOT IN ('array', 'null')
                    ),
                    FALSE
                )
            INTO v_are_bad
            FROM json_to_recordset(usp_heartbeat.endpoints_json::json) AS e (
                name text, protocol text, address text, slots integer, state text, serving_model text,
                serving_since_utc timestamptz, resident json, models json, last_error text
            );
        EXCEPTION
            WHEN data_exception THEN
                RAISE EXCEPTION USING ERRCODE = 'HC044', MESSAGE = 'endpoints_json is malformed: ' || SQLERRM;
        END;
        IF v_are_bad THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC044',
                MESSAGE = 'endpoints_json is malformed: an element lacks a column, or two have one name';
        END IF;
    END IF;
    v_lease := make_interval(secs => usp_heartbeat.lease_seconds);

    PERFORM 1
    FROM llm.job AS j
    WHERE j.status = 'RUNNING' AND j.locked_by = v_worker_id
    ORDER BY j.job_seq
    FOR NO KEY UPDATE;
    v_now := clock_timestamp();  -- read under the locks, so that waiting for them costs no lease time

    UPDATE llm.job AS j
    SET
        lease_expires_utc = v_now + v_lease,
        -- Later than now: the clock was set back since. This tells the reaper that the lease follows the new time.
        locked_utc = least(j.locked_utc, v_now)
    WHERE j.status = 'RUNNING' AND j.locked_by = v_worker_id AND j.current_run_id = ANY (v_named);

    UPDATE llm.run AS r
    SET lease_until_utc = v_now + v_lease
    FROM llm.job AS j
    WHERE j.status = 'RUNNING'
        AND j.locked_by = v_worker_id
        AND j.current_run_id = ANY (v_named)
        AND r.run_id = j.current_run_id
        AND r.status = 'RUNNING';

    INSERT INTO llm.worker AS w (
        worker_id, host, pid, version, started_utc, last_seen_utc, concurrency, active_runs, stopping,
        not_claiming_why
    )
    SELECT
        v_worker_id, left(usp_heartbeat.host, 200), usp_heartbeat.pid, left(usp_heartbeat.version, 100),
        usp_heartbeat.started_utc, v_now, usp_heartbeat.concurrency, count(*),
        coalesce(usp_heartbeat.stopping, FALSE), left(usp_heartbeat.not_claiming_why, 1000)
    FROM llm.job AS j
    WHERE j.status = 'RUNNING' AND j.locked_by = v_worker_id
    ON CONFLICT (worker_id) DO UPDATE
    SET
        host = coalesce(excluded.host, w.host),
        pid = coalesce(excluded.pid, w.pid),
        version = coalesce(excluded.version, w.version),
        started_utc = coalesce(excluded.started_utc, w.started_utc),
        last_seen_utc = excluded.last_seen_utc,
        concurrency = coalesce(excluded.concurrency, w.concurrency),
        active_runs = excluded.active_runs,
        stopping = excluded.stopping,
        not_claiming_why = excluded.not_claiming_why
    WHERE excluded.started_utc IS NULL
        OR w.started_utc IS NULL
        OR w.started_utc = excluded.started_utc
        OR w.stopping
        OR w.last_seen_utc < v_now - v_lease;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC020',
            MESSAGE = format('worker id in use: %s lives with another started_utc', v_worker_id);
    END IF;

    IF usp_heartbeat.endpoints_json IS NOT NULL THEN
        WITH said AS MATERIALIZED (
            SELECT e.*
            FROM json_to_recordset(usp_heartbeat.endpoints_json::json) AS e (
                name text, protocol text, address text, slots integer, state text, serving_model text,
                serving_since_utc timestamptz, resident json, models json, last_error text
            )
        ),

        gone AS (
            DELETE FROM llm.endpoint AS o
            WHERE o.worker_id = v_worker_id
                AND NOT EXISTS (SELECT 1 FROM said AS s WHERE btrim(s.name) = o.name)
        )

        INSERT INTO llm.endpoint AS o (
            worker_id, name, protocol, address, slots, state, serving_model, serving_since_utc,
            resident_models_json, models_json, last_error, last_seen_utc
        )
        SELECT
            v_worker_id, btrim(s.name), s.protocol, left(s.address, 400), s.slots, s.state, btrim(s.serving_model),
            s.serving_since_utc, nullif(s.resident::text, 'null'), nullif(s.models::text, 'null'),
            left(s.last_error, 1000), v_now
        FROM said AS s
        ON CONFLICT (worker_id, name) DO UPDATE
        SET
            protocol = excluded.protocol,
            address = excluded.address,
            slots = excluded.slots,
            state = excluded.state,
            serving_model = excluded.serving_model,
            serving_since_utc = excluded.serving_since_utc,
            -- Long values are stored out of line, and not rewritten if unchanged.
            resident_models_json = CASE
                WHEN o.resident_models_json = excluded.resident_models_json THEN o.resident_models_json
                ELSE excluded.resident_models_json
            END,
            models_json = CASE
                WHEN o.models_json = excluded.models_json THEN o.models_json
                ELSE excluded.models_json
            END,
            last_error = excluded.last_error,
            last_seen_utc = excluded.last_seen_utc;
    END IF;

    RETURN QUERY
    SELECT told.run_id, told.state::varchar(40), told.lease_expires_utc
    FROM (
        SELECT
            named.run_id,
            CASE
                WHEN j.job_id IS NULL THEN 'lost'
                WHEN j.cancel_requested_utc IS NOT NULL THEN 'cancel_requested'
                ELSE 'held'
            END AS state,
            j.lease_expires_utc,
            named.place
        FROM (
            SELECT n.run_id, min(n.place) AS place
            FROM unnest(v_named) WITH ORDINALITY AS n (run_id, place)
            GROUP BY n.run_id
        ) AS named
        LEFT JOIN llm.job AS j
            ON j.status = 'RUNNING' AND j.locked_by = v_worker_id AND j.current_run_id = named.run_id
        UNION ALL
        SELECT j.current_run_id, 'stray', j.lease_expires_utc, cardinality(v_named) + j.job_seq
        FROM llm.job AS j
        WHERE j.status = 'RUNNING' AND j.locked_by = v_worker_id AND j.current_run_id <> ALL (v_named)
    ) AS told
    ORDER BY told.place;
END;
$$;

CALL llm.grant_procedure('usp_heartbeat', 'llm_worker');
