-- llm.usp_enqueue_jobs: queues every element of a JSON array, or none; returns one row per element.
-- Promises: the reason is stored in the first event of each new job.
--   For a dedupe key that a live or succeeded job holds, the row is that of the holder (is_duplicate), even if another
--   call or element of the array took the key a moment ago. For a job_id that exists, the row is that of its job, so
--   that the call may be repeated. Within equal priority and time, jobs keep the order of their n.
--   With a batch_id, new jobs belong to that batch and are paused with it; a duplicate stays in the batch of the job
--   that holds the key, and is counted. A batch that has ended or is cancelled takes no new job (HC049). A repeated
--   call counts nothing twice, unless all its jobs were duplicates. with_answer 0 returns no rows.
-- Called by: queue.py (commands, admin, schedules), anybody's SQL; usp_enqueue_job, usp_publish_jobs,
--   usp_sweep_batches.
-- Locks: the batch's row, so that no sweep ends it meanwhile; then only the rows it inserts, in the order of their
--   keys, so that two calls with common keys never deadlock; a key that somebody is just inserting is waited for.
--   The holder is read without a lock.
CALL llm.drop_procedure('usp_enqueue_jobs');

CREATE TYPE llm.usp_enqueue_jobs_element AS (
    n integer,
    job_id uuid,
    interrogation_key text,
    input_json text,
    priority integer,
    evidence_ref_json text,
    model_hint text,
    max_attempts integer,
    available_utc timestamptz,
    dedupe_key text,
    entity_type text,
    entity_id text,
    repeats_run_id uuid
);

CREATE TYPE llm.usp_enqueue_jobs_result AS (
    n integer,
    job_id uuid,
    is_duplicate boolean,
    status varchar(40)
);

CREATE FUNCTION llm.usp_enqueue_jobs(
    jobs_json text,
    actor text DEFAULT NULL,
    reason text DEFAULT NULL,
    batch_id uuid DEFAULT NULL,
    with_answer boolean DEFAULT TRUE
)
RETURNS SETOF llm.usp_enqueue_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET timezone = 'UTC'  -- a time without an offset is UTC
SET enable_seqscan = off  -- a plan made while the table is small is kept, so use the index from the start
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
    v_actor text := coalesce(nullif(btrim(usp_enqueue_jobs.actor), ''), session_user);
    v_waiting llm.usp_enqueue_jobs_element[];
    v_answers llm.usp_enqueue_jobs_result[];
    v_answered llm.usp_enqueue_jobs_result[] := '{}';
    v_bad_n integer;
    v_bad_code text;
    v_bad_why text;
    v_batch llm.batch;
    v_rows bigint;
    v_inserted bigint := 0;
    v_own bigint;
    v_duplicates bigint;
BEGIN
    IF char_length(v_actor) > 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC014', MESSAGE = 'actor is longer than 200 characters';
    END IF;
    BEGIN
        v_waiting := ARRAY(
            SELECT ROW(
                e.n,
                coalesce(e.job_id, gen_random_uuid()),
                btrim(e.interrogation_key),
                e.input_json,
                coalesce(e.priority, 100),
                e.evidence_ref_json,
                btrim(e.model_hint),
                coalesce(e.max_attempts, 3),
                e.available_utc,
                btrim(e.dedupe_key),
                btrim(e.entity_type),
                btrim(e.entity_id),
                e.repeats_run_id
            )::llm.usp_enqueue_jobs_element
            FROM json_to_recordset(usp_enqueue_jobs.jobs_json::json) AS e (
                n integer,
                job_id uuid,
                interrogation_key text,
                input_json text,
                priority integer,
                evidence_ref_json text,
                model_hint text,
                max_attempts integer,
                available_utc timestamptz,
                dedupe_key text,
                entity_type text,
                entity_id text,
                repeats_run_id uuid
            )
            ORDER BY e.n
        );
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC010', MESSAGE = 'jobs_json is not an array of job objects: ' || SQLERRM;
    END;
    IF usp_enqueue_jobs.jobs_json IS NULL
        OR (SELECT count(DISTINCT e.n) FROM unnest(v_waiting) AS e) <> cardinality(v_waiting)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC010', MESSAGE = 'jobs_json is missing, or an element has no n or that of another';
    END IF;

    SELECT judged.n, judged.code, judged.why
    INTO v_bad_n, v_bad_code, v_bad_why
    FROM (
        SELECT
            e.n,
            CASE
                WHEN coalesce(char_length(e.interrogation_key), 0) NOT BETWEEN 1 AND 200 THEN 'HC004'
                WHEN NOT llm.is_json_object(e.input_json) THEN 'HC005'
                WHEN e.priority < 0 THEN 'HC006'
                WHEN e.max_attempts < 1 THEN 'HC007'
                WHEN char_length(e.dedupe_key) NOT BETWEEN 1 AND 400 THEN 'HC008'
                WHEN e.evidence_ref_json IS NOT NULL AND NOT llm.is_json_object(e.evidence_ref_json) THEN 'HC009'
                WHEN char_length(e.model_hint) NOT BETWEEN 1 AND 200 THEN 'HC021'
                WHEN char_length(e.entity_type) > 200 OR char_length(e.entity_id) > 400 THEN 'HC025'
                WHEN e.available_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00'
                    THEN 'HC028'
            END AS code,
            CASE
                WHEN coalesce(char_length(e.interrogation_key), 0) NOT BETWEEN 1 AND 200
                    THEN 'interrogation_key is missing, blank or longer than 200 characters'
                WHEN NOT llm.is_json_object(e.input_json) THEN 'input_json is not a JSON object'
                WHEN e.priority < 0 THEN 'priority is negative'
                WHEN e.max_attempts < 1 THEN 'max_attempts is less than 1'
                WHEN char_length(e.dedupe_key) NOT BETWEEN 1 AND 400
                    THEN 'dedupe_key is blank or longer than 400 characters'
                WHEN e.evidence_ref_json IS NOT NULL AND NOT llm.is_json_object(e.evidence_ref_json)
                    THEN 'evidence_ref_json is not a JSON object'
                WHEN char_length(e.model_hint) NOT BETWEEN 1 AND 200
                    THEN 'model_hint is blank or longer than 200 characters'
                WHEN char_length(e.entity_type) > 200 OR char_length(e.entity_id) > 400
                    THEN 'entity_type is longer than 200 or entity_id than 400 characters'
                ELSE 'available_utc is not in the years 2000 to 9000'
            END AS why
        FROM unnest(v_waiting) AS e
    ) AS judged
    WHERE judged.code IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = v_bad_code, MESSAGE = format('%s (element n = %s)', v_bad_why, v_bad_n);
    END IF;

    IF usp_enqueue_jobs.batch_id IS NOT NULL THEN
        SELECT b.* INTO v_batch FROM llm.batch AS b WHERE b.batch_id = usp_enqueue_jobs.batch_id FOR NO KEY UPDATE;
        IF v_batch.batch_id IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'HC048', MESSAGE = 'there is no batch with this batch_id';
        END IF;
    END IF;

    -- Each pass inserts what can be inserted, then returns for each element its own job or the key's holder. If a
    -- holder ended in between, its element gets another pass.
    WHILE cardinality(v_waiting) > 0 LOOP
        WITH numbered AS MATERIALIZED (
            -- job_seq is drawn in the order of n (the claim's last criterion), the rows go in by key
            SELECT nextval('llm.job_job_seq_seq') AS job_seq, e.* FROM unnest(v_waiting) AS e
        ),
        inserted AS (
            INSERT INTO llm.job AS j (
                job_seq, job_id, created_utc, created_by, status, priority, interrogation_key, entity_type, entity_id,
                input_json, evidence_ref_json, model_hint, max_attempts, available_utc, dedupe_key, repeats_run_id,
                batch_id, paused_utc
            )
            OVERRIDING SYSTEM VALUE
            SELECT
                e.job_seq, e.job_id, v_now, v_actor,
                CASE WHEN e.available_utc > v_now THEN 'SCHEDULED' ELSE 'NEW' END,
                e.priority, e.interrogation_key, nullif(e.entity_type, ''), nullif(e.entity_id, ''),
                e.input_json, e.evidence_ref_json, e.model_hint, e.max_attempts, coalesce(e.available_utc, v_now),
                e.dedupe_key, e.repeats_run_id, v_batch.batch_id, v_batch.paused_utc
            FROM numbered AS e
            ORDER BY e.interrogation_key COLLATE "C", e.dedupe_key COLLATE "C", e.n
            ON CONFLICT DO NOTHING
            RETURNING j.job_seq, j.job_id, j.status
        )
        INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason)
        SELECT i.job_id, v_now, 'enqueued', NULL, i.status, v_actor, usp_enqueue_jobs.reason
        FROM inserted AS i
        ORDER BY i.job_seq;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_inserted := v_inserted + v_rows;

        SELECT
            array_agg(
                ROW(
                    e.n, coalesce(own.job_id, holder.job_id), own.job_id IS NULL, coalesce(own.status, holder.status)
                )::llm.usp_enqueue_jobs_result
            ) FILTER (WHERE own.job_id IS NOT NULL OR holder.job_id IS NOT NULL),
            coalesce(array_agg(e) FILTER (WHERE own.job_id IS NULL AND holder.job_id IS NULL), '{}')
        INTO v_answers, v_waiting
        FROM unnest(v_waiting) AS e
        LEFT JOIN llm.job AS own ON own.job_id = e.job_id
        LEFT JOIN LATERAL (
            -- Looked up only if there is no job of its own, and by ux_job_dedupe: IS NOT DISTINCT FROM prevents a plan
            -- made while the table is empty from scanning all jobs of the interrogation.
            SELECT h.job_id, h.status
            FROM llm.job AS h
            WHERE own.job_id IS NULL
                AND h.dedupe_key = e.dedupe_key
                AND h.interrogation_key IS NOT DISTINCT FROM e.interrogation_key
                AND h.dedupe_key IS NOT NULL
                AND h.status IN ('NEW', 'SCHEDULED', 'RUNNING', 'SPLIT', 'SUCCEEDED')
            LIMIT 1
        ) AS holder ON TRUE;
        v_answered := v_answered || v_answers;
    END LOOP;

    IF v_batch.batch_id IS NOT NULL THEN
        IF v_inserted > 0 AND (v_batch.finished_utc IS NOT NULL OR v_batch.cancelled_utc IS NOT NULL) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC049', MESSAGE = format('the batch %s has ended or is cancelled', v_batch.name);
        END IF;
        SELECT count(*) FILTER (WHERE NOT a.is_duplicate), count(*) FILTER (WHERE a.is_duplicate)
        INTO v_own, v_duplicates
        FROM unnest(v_answered) AS a;
        IF v_inserted > 0 OR (v_own = 0 AND v_duplicates > 0) THEN
            UPDATE llm.batch AS b
            SET
                queued_jobs = b.queued_jobs + v_inserted,
                duplicate_jobs = b.duplicate_jobs + CASE WHEN v_own > v_inserted THEN 0 ELSE v_duplicates END
            WHERE b.batch_id = v_batch.batch_id;
        END IF;
    END IF;

    IF coalesce(usp_enqueue_jobs.with_answer, TRUE) THEN
        RETURN QUERY SELECT a.* FROM unnest(v_answered) AS a ORDER BY a.n;
    END IF;
END;
$$;

CALL llm.grant_procedure('usp_enqueue_jobs', 'llm_operator');
