-- llm.usp_split_job: ends a run whose evidence does not fit one prompt. Its job waits as SPLIT for its parts, which are
--   queued here, all of them or none; a part is replaced by smaller ones: it is NEW with the first, and the others are
--   further parts of its parent.
-- Promises: accepted only for the run that holds the job's lease. Repeating the call returns the same and queues
--   nothing twice; any other call changes nothing and returns the job's state. The run ends as SPLIT, uncounted, with
--   error and error_kind if they are why. Parts take interrogation, entity, priority, model, attempts, time and batch
--   from their job, and input_json from the call; each has an evidence_ref_json of its own. Numbers continue those of
--   the parts that there are. A smaller part begins with no attempts counted; what it reads now is halved_ref_json, and
--   its evidence_ref_json stays. A cancellation asked for meanwhile reaches the parts as any later one does
--   (usp_join_due_jobs); a part that was asked to stop is CANCELLED instead of replaced.
-- Called by: the worker, when the run's manifest is in the lake.
-- Locks: the batch's row, so that no pause misses the parts; then a part's parent, so that no sweep counts its parts
--   meanwhile; then the job's, which serialises all calls that end the run, then run, artifact, job_event.
CALL llm.drop_procedure('usp_split_job');

CREATE TYPE llm.usp_split_job_result AS (
    accepted boolean,
    final_status varchar(40)
);

CREATE FUNCTION llm.usp_split_job(
    run_id uuid,
    worker_id text,
    input_json text,
    parts_json text,
    run_json text DEFAULT NULL,
    artifacts_json text DEFAULT NULL,
    error text DEFAULT NULL,
    error_kind text DEFAULT NULL
)
RETURNS SETOF llm.usp_split_job_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
AS $$
#variable_conflict use_column
DECLARE
    v_worker_id text := btrim(usp_split_job.worker_id);
    v_now timestamptz;
    v_job llm.job;
    v_batch llm.batch;
    v_parent llm.job;
    v_run llm.run;
    v_final_status text;
    v_before integer;
    v_attempt integer;
    v_part_nos integer[];
    v_is_whole boolean;
    v_parts integer;
BEGIN
    IF usp_split_job.run_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC015', MESSAGE = 'run_id is missing';
    END IF;
    IF coalesce(char_length(v_worker_id), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC001', MESSAGE = 'worker_id is missing, blank or longer than 200 characters';
    END IF;
    IF usp_split_job.input_json IS NULL OR NOT llm.is_json_object(usp_split_job.input_json) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC005', MESSAGE = 'input_json is not a JSON object';
    END IF;
    IF char_length(usp_split_job.error_kind) > 40 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC026', MESSAGE = 'error_kind is longer than 40 characters';
    END IF;
    BEGIN
        SELECT
            array_agg(e.part_no ORDER BY e.part_no),
            coalesce(bool_and(llm.is_json_object(coalesce(e.evidence_ref_json, ''))), FALSE)
        INTO v_part_nos, v_is_whole
        FROM json_to_recordset(usp_split_job.parts_json::json) AS e (part_no integer, evidence_ref_json text);
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'HC053', MESSAGE = 'parts_json is malformed: ' || SQLERRM;
    END;
    IF NOT coalesce(v_is_whole, FALSE)
        OR cardinality(v_part_nos) > 5000
        OR v_part_nos <> ARRAY(SELECT generate_series(1, cardinality(v_part_nos)))
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC053',
            MESSAGE = 'parts_json is not an array of 1 to 5000 parts, numbered from 1, each with an evidence_ref_json';
    END IF;
    BEGIN
        v_run := json_populate_record(NULL::llm.run, coalesce(usp_split_job.run_json, '{}')::json);
    EXCEPTION
        WHEN data_exception OR check_violation THEN  -- the latter: a column's domain
            RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'run_json is malformed: ' || SQLERRM;
    END;

    -- A run's job and a job's batch never change, so they are read before anything is locked.
    SELECT j.job_id, j.batch_id, j.parent_job_id
    INTO v_job.job_id, v_batch.batch_id, v_parent.job_id
    FROM llm.job AS j
    WHERE j.job_id = (SELECT r.job_id FROM llm.run AS r WHERE r.run_id = usp_split_job.run_id);
    IF v_batch.batch_id IS NOT NULL THEN
        SELECT b.* INTO v_batch FROM llm.batch AS b WHERE b.batch_id = v_batch.batch_id FOR NO KEY UPDATE;
    END IF;
    IF v_parent.job_id IS NOT NULL THEN
        SELECT j.* INTO v_parent FROM llm.job AS j WHERE j.job_id = v_parent.job_id FOR NO KEY UPDATE;
    END IF;
    SELECT j.* INTO v_job FROM llm.job AS j WHERE j.job_id = v_job.job_id FOR NO KEY UPDATE;
    v_now := clock_timestamp();  -- read under the lock, so that a job's events are in the order of their times

    IF v_job.job_id IS NULL
        OR v_job.status <> 'RUNNING'
        OR v_job.current_run_id <> usp_split_job.run_id
        OR v_job.locked_by <> v_worker_id
        OR (v_job.parent_job_id IS NOT NULL AND v_parent.status IS DISTINCT FROM 'SPLIT')
    THEN
        RETURN NEXT ROW(
            EXISTS (
                SELECT 1
                FROM llm.job_event AS e
                WHERE e.job_id = v_job.job_id
                    AND e.run_id = usp_split_job.run_id
                    AND (e.event = 'split' OR e.detail_json::json ->> 'run_status' = 'SPLIT')
            ),
            v_job.status
        )::llm.usp_split_job_result;
        RETURN;
    END IF;

    -- The first of the smaller parts is the part itself, and keeps its number.
    v_before := coalesce(CASE WHEN v_job.parent_job_id IS NULL THEN v_job.part_count ELSE v_parent.part_count - 1 END, 0);
    v_final_status := CASE
        WHEN v_job.parent_job_id IS NULL THEN 'SPLIT'
        WHEN v_job.cancel_requested_utc IS NULL THEN 'NEW'
        ELSE 'CANCELLED'
    END;
    v_parts := v_before + cardinality(v_part_nos);

    UPDATE llm.job AS j
    SET part_count = v_parts
    WHERE j.job_id = v_job.parent_job_id AND v_final_status = 'NEW';
    UPDATE llm.job AS j
    SET
        status = v_final_status,
        attempt_count = CASE WHEN j.parent_job_id IS NULL THEN j.attempt_count - 1 ELSE 0 END,
        locked_by = NULL,
        locked_utc = NULL,
        lease_expires_utc = NULL,
        current_run_id = NULL,
        last_error = CASE WHEN j.parent_job_id IS NOT NULL THEN usp_split_job.error END,
        error_kind = CASE WHEN j.parent_job_id IS NOT NULL THEN usp_split_job.error_kind END,
        finished_utc = CASE WHEN v_final_status = 'CANCELLED' THEN v_now END,
        part_count = CASE WHEN v_final_status = 'CANCELLED' THEN j.part_count ELSE v_parts END,
        halved_ref_json = CASE
            WHEN v_final_status = 'NEW' THEN (
                SELECT e.evidence_ref_json
                FROM json_to_recordset(usp_split_job.parts_json::json) AS e (part_no integer, evidence_ref_json text)
                WHERE e.part_no = 1
            )
            ELSE j.halved_ref_json
        END,
        marked_part_no = CASE WHEN v_final_status = 'SPLIT' AND j.cancel_requested_utc IS NOT NULL THEN 0 END
    WHERE j.job_id = v_job.job_id
        AND j.status IS NOT DISTINCT FROM 'RUNNING'  -- find the row by id, whatever the statistics
        AND j.current_run_id = usp_split_job.run_id;

    UPDATE llm.run AS r
    SET
        counted = FALSE,
        completed_utc = v_now,
        status = 'SPLIT',
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
        trace_id = v_run.trace_id,
        error_kind = usp_split_job.error_kind,
        error = usp_split_job.error
    WHERE r.run_id = usp_split_job.run_id AND r.status = 'RUNNING'
    RETURNING r.attempt INTO v_attempt;

    BEGIN
        INSERT INTO llm.artifact (
            artifact_id, run_id, artifact_type, media_type, content_sha256, byte_count, lake_uri, created_utc
        )
        SELECT
            coalesce(a.artifact_id, gen_random_uuid()), usp_split_job.run_id, a.artifact_type, a.media_type,
            a.content_sha256, a.byte_count, a.lake_uri, v_now
        FROM json_populate_recordset(NULL::llm.artifact, coalesce(usp_split_job.artifacts_json, '[]')::json) AS a;
    EXCEPTION
        WHEN data_exception OR check_violation OR not_null_violation OR unique_violation THEN
            RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'artifacts_json is malformed: ' || SQLERRM;
    END;

    INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json)
    VALUES (
        v_job.job_id, usp_split_job.run_id, v_now, CASE v_final_status WHEN 'CANCELLED' THEN 'cancelled' ELSE 'split' END,
        'RUNNING', v_final_status, v_job.locked_by,
        json_strip_nulls(
            json_build_object(
                'attempt', v_attempt,
                'run_status', 'SPLIT',
                'error_kind', usp_split_job.error_kind,
                'parts', CASE WHEN v_final_status <> 'CANCELLED' THEN cardinality(v_part_nos) END
            )
        )::text
    );

    WITH numbered AS MATERIALIZED (
        -- job_seq, the claim's last criterion, in the order of the parts
        SELECT nextval('llm.job_job_seq_seq') AS job_seq, e.part_no, e.evidence_ref_json
        FROM (
            SELECT v_before + p.part_no AS part_no, p.evidence_ref_json
            FROM json_to_recordset(usp_split_job.parts_json::json) AS p (part_no integer, evidence_ref_json text)
            WHERE v_final_status = 'SPLIT' OR (v_final_status = 'NEW' AND p.part_no > 1)
            ORDER BY p.part_no
        ) AS e
    ),
    inserted AS (
        INSERT INTO llm.job AS p (
            job_seq, created_utc, created_by, status, priority, interrogation_key, entity_type, entity_id, input_json,
            evidence_ref_json, model_hint, max_attempts, available_utc, batch_id, paused_utc, parent_job_id, part_no,
            part_count
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            n.job_seq, v_now, v_job.created_by, 'NEW', v_job.priority, v_job.interrogation_key, v_job.entity_type,
            v_job.entity_id, usp_split_job.input_json, n.evidence_ref_json, v_job.model_hint, v_job.max_attempts,
            v_job.available_utc, v_job.batch_id, v_batch.paused_utc, coalesce(v_job.parent_job_id, v_job.job_id),
            n.part_no, v_parts
        FROM numbered AS n
        ORDER BY n.part_no
        RETURNING p.job_seq, p.job_id
    )
    INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason)
    SELECT
        i.job_id, v_now, 'enqueued', NULL, 'NEW', v_job.locked_by,
        'a part of job ' || coalesce(v_job.parent_job_id, v_job.job_id)
    FROM inserted AS i
    ORDER BY i.job_seq;

    RETURN NEXT ROW(TRUE, v_final_status)::llm.usp_split_job_result;
END;
$$;

CALL llm.grant_procedure('usp_split_job', 'llm_worker');
