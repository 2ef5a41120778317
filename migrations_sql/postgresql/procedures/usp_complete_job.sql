-- llm.usp_complete_job: ends a run with its result, stores its artifact rows and facts, and changes its job's state.
-- Promises: accepted only for the run that holds the job's lease (by run_id, regardless of the clock). Repeating a
--   completion returns the same result, even after the job changed again; any other call changes nothing and returns
--   the job's state. SUCCEEDED stands even if a cancellation was requested; any other end then becomes CANCELLED.
-- Called by: the worker, when the run's manifest is in the lake.
-- Locks: the job's row first, which serialises all calls that end the run, then run, artifact, job_event; last those of
--   store_facts.
CALL llm.drop_procedure('usp_complete_job');

CREATE TYPE llm.usp_complete_job_result AS (
    accepted boolean,
    final_status varchar(40),
    available_utc timestamptz
);

CREATE FUNCTION llm.usp_complete_job(
    job_id uuid,
    run_id uuid,
    status text,
    error text DEFAULT NULL,
    error_kind text DEFAULT NULL,
    retry_after_seconds integer DEFAULT NULL,
    count_attempt boolean DEFAULT TRUE,
    run_json text DEFAULT NULL,
    artifacts_json text DEFAULT NULL,
    facts_json text DEFAULT NULL
)
RETURNS SETOF llm.usp_complete_job_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
AS $$
#variable_conflict use_column
DECLARE
    v_status text := usp_complete_job.status;
    v_error_kind text := nullif(btrim(usp_complete_job.error_kind), '');
    v_now timestamptz;
    v_job record;
    v_run llm.run;
    v_fits boolean;
    v_first_id uuid;
    v_is_in_bounds boolean;
    v_counted boolean;
    v_attempt integer;
    v_run_seq bigint;
    v_attempt_count integer;
    v_final_status text;
    v_available_utc timestamptz;
    v_event text;
BEGIN
    IF usp_complete_job.job_id IS NULL OR usp_complete_job.run_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC015', MESSAGE = 'job_id or run_id is missing';
    END IF;
    IF v_status IS NULL OR v_status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED') THEN
        RAISE EXCEPTION USING ERRCODE = 'HC011', MESSAGE = 'status is not SUCCEEDED, FAILED or CANCELLED';
    END IF;
    IF usp_complete_job.retry_after_seconds < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC013', MESSAGE = 'retry_after_seconds is negative';
    END IF;
    IF char_length(v_error_kind) > 40 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC026', MESSAGE = 'error_kind is longer than 40 characters';
    END IF;
    IF v_status <> 'SUCCEEDED' AND usp_complete_job.facts_json IS NOT NULL THEN
        PERFORM llm.check_facts(usp_complete_job.facts_json);
        IF json_array_length(usp_complete_job.facts_json::json) > 0 THEN
            RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'facts_json has facts of a run that is not SUCCEEDED';
        END IF;
    END IF;
    BEGIN
        v_run := json_populate_record(NULL::llm.run, coalesce(usp_complete_job.run_json, '{}')::json);
    EXCEPTION
        WHEN data_exception OR check_violation THEN  -- the latter: a column's domain
            RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'run_json is malformed: ' || SQLERRM;
    END;

    SELECT
        j.status, j.current_run_id, j.attempt_count, j.max_attempts, j.available_utc, j.cancel_requested_utc,
        j.locked_by, j.interrogation_key, j.entity_type, j.entity_id
    INTO v_job
    FROM llm.job AS j
    WHERE j.job_id = usp_complete_job.job_id
    FOR NO KEY UPDATE;
    v_now := clock_timestamp();  -- read under the lock, so that a job's events are in the order of their times

    IF NOT FOUND
        OR v_job.status <> 'RUNNING'
        OR v_job.current_run_id <> usp_complete_job.run_id
        OR (v_status = 'CANCELLED' AND v_job.cancel_requested_utc IS NULL)
    THEN
        -- Bad arguments are rejected whatever the job's state; if they are stored, storing them is the check.
        BEGIN
            SELECT
                coalesce(bool_and(
                    a.artifact_type <> '' AND a.media_type IS NOT NULL AND a.content_sha256 IS NOT NULL
                    AND a.byte_count >= 0 AND a.lake_uri <> ''
                ) AND count(a.artifact_type) = count(*) AND count(a.lake_uri) = count(*)
                AND count(a.byte_count) = count(*) AND count(DISTINCT a.artifact_type) = count(*), TRUE),
                bool_and(
                    a.created_utc BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00'
                )
            INTO v_fits, v_is_in_bounds
            FROM json_populate_recordset(
                NULL::llm.artifact, coalesce(usp_complete_job.artifacts_json, '[]')::json
            ) AS a;
        EXCEPTION
            WHEN data_exception OR check_violation THEN
                RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'artifacts_json is malformed: ' || SQLERRM;
        END;
        IF NOT v_fits THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC012', MESSAGE = 'artifacts_json is malformed: a member is missing, or a type is there twice';
        END IF;
        IF NOT v_is_in_bounds THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC028', MESSAGE = 'created_utc of an artifact is not in the years 2000 to 9000';
        END IF;
        IF usp_complete_job.facts_json IS NOT NULL THEN
            PERFORM llm.check_facts(usp_complete_job.facts_json);
        END IF;

        -- A repeated call? Only the event of a completion has run_status.
        RETURN QUERY
        SELECT TRUE, e.to_status::varchar(40), (e.detail_json::json ->> 'available_utc')::timestamptz
        FROM llm.job_event AS e
        WHERE e.job_id = usp_complete_job.job_id
            AND e.run_id = usp_complete_job.run_id
            AND e.event IN ('completed', 'retried', 'dead_lettered', 'cancelled')
            AND e.detail_json::json ->> 'run_status' = v_status
        ORDER BY e.event_seq DESC
        LIMIT 1;
        IF NOT FOUND THEN
            RETURN NEXT ROW(FALSE, v_job.status, NULL)::llm.usp_complete_job_result;
        END IF;
        RETURN;
    END IF;

    v_counted := CASE v_status
        WHEN 'SUCCEEDED' THEN TRUE
        WHEN 'CANCELLED' THEN FALSE
        ELSE coalesce(usp_complete_job.count_attempt, TRUE)
    END;
    v_attempt_count := v_job.attempt_count - CASE WHEN v_counted THEN 0 ELSE 1 END;
    IF v_status = 'CANCELLED' THEN
        v_error_kind := coalesce(v_error_kind, 'cancelled');
    END IF;
    IF v_status = 'SUCCEEDED' THEN
        v_final_status := 'SUCCEEDED';
        v_event := 'completed';
    ELSIF v_job.cancel_requested_utc IS NOT NULL THEN
        v_final_status := 'CANCELLED';
        v_event := 'cancelled';
    ELSIF usp_complete_job.retry_after_seconds IS NULL THEN
        v_final_status := 'FAILED';
        v_event := 'completed';
    ELSIF v_attempt_count >= v_job.max_attempts THEN
        v_final_status := 'DEADLETTER';
        v_event := 'dead_lettered';
    ELSIF usp_complete_job.retry_after_seconds = 0 THEN
        v_final_status := 'NEW';
        v_event := 'retried';
        v_available_utc := v_job.available_utc;  -- keeps its place in the queue
    ELSE
        v_final_status := 'SCHEDULED';
        v_event := 'retried';
        v_available_utc := v_now + make_interval(secs => usp_complete_job.retry_after_seconds);
    END IF;

    UPDATE llm.job AS j
    SET
        status = v_final_status,
        attempt_count = v_attempt_count,
        available_utc = coalesce(v_available_utc, j.available_utc),
        locked_by = NULL,
        locked_utc = NULL,
        lease_expires_utc = NULL,
        current_run_id = NULL,
        last_error = CASE WHEN v_status <> 'SUCCEEDED' THEN usp_complete_job.error END,
        error_kind = CASE WHEN v_status <> 'SUCCEEDED' THEN v_error_kind END,
        finished_utc = CASE WHEN v_available_utc IS NULL THEN v_now END
    WHERE j.job_id = usp_complete_job.job_id
        AND j.status IS NOT DISTINCT FROM 'RUNNING'  -- find the row by id, whatever the statistics
        AND j.current_run_id = usp_complete_job.run_id;

    UPDATE llm.run AS r
    SET
        counted = v_counted,
        completed_utc = v_now,
        status = v_status,
        ollama_base_url = v_run.ollama_base_url,
        model_name = v_run.model_name,
        model_tag = v_run.model_tag,
        model_digest = v_run.model_digest,
        options_json = v_run.options_json,
        metrics_json = v_run.metrics_json,
        prompt_tokens = v_run.prompt_tokens,
        output_tokens = v_run.output_tokens,
        total_ms = v_run.total_ms,
        interrogation_version = v_run.interrogation_version,
        definition_sha256 = v_run.definition_sha256,
        evidence_sha256 = v_run.evidence_sha256,
        output_json = v_run.output_json,
        trace_id = v_run.trace_id,
        error_kind = CASE WHEN v_status <> 'SUCCEEDED' THEN v_error_kind END,
        error = CASE WHEN v_status <> 'SUCCEEDED' THEN usp_complete_job.error END
    WHERE r.run_id = usp_complete_job.run_id AND r.status = 'RUNNING'
    RETURNING r.attempt, r.run_seq INTO v_attempt, v_run_seq;

    IF usp_complete_job.artifacts_json IS NOT NULL THEN
        v_first_id := gen_random_uuid();
        BEGIN
            WITH stored AS (
                INSERT INTO llm.artifact (
                    artifact_id, run_id, artifact_type, media_type, content_sha256, byte_count, lake_uri, created_utc
                )
                SELECT
                    -- One random id per completion with a counter in its last two bytes: adjacent in the index.
                    coalesce(a.artifact_id, (left(v_first_id::text, 32) || lpad(to_hex(a.ordinality), 4, '0'))::uuid),
                    usp_complete_job.run_id, a.artifact_type, a.media_type, a.content_sha256, a.byte_count, a.lake_uri,
                    coalesce(a.created_utc, v_now)
                FROM json_populate_recordset(NULL::llm.artifact, usp_complete_job.artifacts_json::json)
                    WITH ORDINALITY AS a
                RETURNING created_utc
            )
            SELECT
                bool_and(
                    stored.created_utc BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00'
                )
            INTO v_is_in_bounds
            FROM stored;
        EXCEPTION
            WHEN data_exception OR check_violation OR not_null_violation OR unique_violation THEN
                RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'artifacts_json is malformed: ' || SQLERRM;
        END;
        IF NOT v_is_in_bounds THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC028', MESSAGE = 'created_utc of an artifact is not in the years 2000 to 9000';
        END IF;
    END IF;

    INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json)
    VALUES (
        usp_complete_job.job_id, usp_complete_job.run_id, v_now, v_event, 'RUNNING', v_final_status, v_job.locked_by,
        json_strip_nulls(
            json_build_object(
                'attempt', v_attempt,
                'run_status', v_status,
                'error_kind', CASE WHEN v_status <> 'SUCCEEDED' THEN v_error_kind END,
                'available_utc', llm.utc_text(v_available_utc)
            )
        )::text
    );

    IF v_status = 'SUCCEEDED' AND usp_complete_job.facts_json IS NOT NULL THEN
        PERFORM llm.store_facts(
            usp_complete_job.job_id, usp_complete_job.run_id, v_run_seq, v_job.interrogation_key, v_job.entity_type,
            v_job.entity_id, v_run.evidence_sha256, usp_complete_job.facts_json, v_job.locked_by, TRUE
        );
    END IF;

    RETURN NEXT ROW(TRUE, v_final_status, v_available_utc)::llm.usp_complete_job_result;
END;
$$;

CALL llm.grant_procedure('usp_complete_job', 'llm_worker');
