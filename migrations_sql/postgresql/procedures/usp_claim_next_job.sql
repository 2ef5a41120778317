-- llm.usp_claim_next_job: takes up to max_jobs ready jobs under a lease, each as a new run; promotes due jobs first.
-- Promises: a job goes to one caller; the best by priority, then the longest available, then the first queued. With a
--   model: only jobs that ask for it or for none. The cost of a claim does not grow with the jobs that wait, but for
--   those of except_interrogations_json (keys that the caller cannot work off): it passes over them one by one.
-- Called by: the worker's queue thread, between runs.
-- Locks: ready jobs in the claim's order, SKIP LOCKED: what another claim, an operator or a promotion holds is passed
--   over, nothing is waited for. Choosing is a statement of its own: the next one's snapshot then sees every run that a
--   job had before it was locked, so that attempts are numbered without a gap or a clash.
CALL llm.drop_procedure('usp_claim_next_job');

CREATE TYPE llm.usp_claim_next_job_result AS (
    job_id uuid,
    run_id uuid,
    attempt integer,
    attempt_count integer,
    max_attempts integer,
    priority integer,
    interrogation_key varchar(200),
    input_json text,
    evidence_ref_json text,
    model_hint varchar(200),
    repeats_run_id uuid,
    lease_expires_utc timestamptz,
    previous_run_id uuid,
    previous_error_kind varchar(40),
    previous_error text,
    previous_options_json text
);

CREATE FUNCTION llm.usp_claim_next_job(
    worker_id text,
    lease_seconds integer DEFAULT 120,
    max_jobs integer DEFAULT 1,
    model text DEFAULT NULL,
    except_interrogations_json text DEFAULT NULL
)
RETURNS SETOF llm.usp_claim_next_job_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- else a claim of one plans anew each time, for its LIMIT of one
SET enable_seqscan = off  -- keep to the ready index's order, whatever the statistics say of a table that empties
SET enable_bitmapscan = off  -- and fills: a sort would lock every ready row and leave the other workers nothing
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_worker_id text := btrim(usp_claim_next_job.worker_id);
    v_model text := nullif(btrim(usp_claim_next_job.model), '');
    v_now timestamptz := clock_timestamp();
    v_except text[] := '{}';
    v_picked uuid[];
BEGIN
    IF coalesce(char_length(v_worker_id), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC001', MESSAGE = 'worker_id is missing, blank or longer than 200 characters';
    END IF;
    IF coalesce(usp_claim_next_job.lease_seconds NOT BETWEEN 1 AND 86400, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC002', MESSAGE = 'lease_seconds is not between 1 and 86400';
    END IF;
    IF coalesce(usp_claim_next_job.max_jobs NOT BETWEEN 1 AND 1000, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_jobs is not between 1 and 1000';
    END IF;
    IF usp_claim_next_job.except_interrogations_json IS NOT NULL THEN
        BEGIN
            v_except := ARRAY(
                SELECT CASE WHEN jsonb_typeof(e.element) = 'string' THEN e.element #>> '{}' END
                FROM jsonb_array_elements(usp_claim_next_job.except_interrogations_json::jsonb) AS e (element)
            );
        EXCEPTION WHEN data_exception THEN
            v_except := NULL;
        END;
        IF v_except IS NULL OR array_position(v_except, NULL) IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC035', MESSAGE = 'except_interrogations_json is not an array of interrogation keys';
        END IF;
    END IF;

    -- The order by makes this one look at the head of ix_job_due.
    PERFORM 1
    FROM llm.job AS j
    WHERE j.status = 'SCHEDULED' AND j.available_utc <= v_now
    ORDER BY j.available_utc, j.job_seq
    LIMIT 1;
    IF FOUND THEN
        PERFORM promoted FROM llm.usp_promote_due_jobs(500);
    END IF;

    IF v_model IS NULL THEN
        v_picked := ARRAY(
            SELECT j.job_id
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.interrogation_key <> ALL (v_except)
            ORDER BY j.priority DESC, j.available_utc, j.job_seq
            LIMIT usp_claim_next_job.max_jobs
            FOR NO KEY UPDATE SKIP LOCKED
        );
    ELSE
        -- Two ordered ranges of ix_job_ready_model, merged; what is picked too much is left as it is.
        WITH asked AS MATERIALIZED (
            SELECT j.job_id, j.priority, j.available_utc, j.job_seq
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.model_hint = v_model
                AND j.interrogation_key <> ALL (v_except)
            ORDER BY j.priority DESC, j.available_utc, j.job_seq
            LIMIT usp_claim_next_job.max_jobs
            FOR NO KEY UPDATE SKIP LOCKED
        ),
        unasked AS MATERIALIZED (
            SELECT j.job_id, j.priority, j.available_utc, j.job_seq
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.model_hint IS NULL
                AND j.interrogation_key <> ALL (v_except)
            ORDER BY j.priority DESC, j.available_utc, j.job_seq
            LIMIT usp_claim_next_job.max_jobs
            FOR NO KEY UPDATE SKIP LOCKED
        )
        SELECT array_agg(best.job_id)
        INTO v_picked
        FROM (
            SELECT both_picks.job_id
            FROM (SELECT * FROM asked UNION ALL SELECT * FROM unasked) AS both_picks
            ORDER BY both_picks.priority DESC, both_picks.available_utc, both_picks.job_seq
            LIMIT usp_claim_next_job.max_jobs
        ) AS best;
    END IF;
    IF v_picked IS NULL OR v_picked = '{}' THEN
        RETURN;
    END IF;

    v_now := clock_timestamp();
    RETURN QUERY
    WITH claimed AS (
        UPDATE llm.job AS j
        SET
            status = 'RUNNING',
            attempt_count = j.attempt_count + 1,
            locked_by = v_worker_id,
            locked_utc = v_now,
            lease_expires_utc = v_now + make_interval(secs => usp_claim_next_job.lease_seconds),
            current_run_id = gen_random_uuid()
        -- Not `status = 'NEW'`: a plan made while the table was empty might look this up by status and be kept.
        WHERE j.job_id = ANY (v_picked) AND j.status IS NOT DISTINCT FROM 'NEW'
        RETURNING
            j.job_seq, j.job_id, j.current_run_id, j.attempt_count, j.max_attempts, j.priority, j.available_utc,
            j.interrogation_key, j.input_json, j.evidence_ref_json, j.model_hint, j.repeats_run_id, j.lease_expires_utc
    ),
    numbered AS MATERIALIZED (
        SELECT c.*, coalesce(previous.attempt, 0) + 1 AS attempt, previous.run_id AS previous_run_id,
            previous.error_kind AS previous_error_kind, previous.error AS previous_error,
            previous.options_json AS previous_options_json
        FROM claimed AS c
        LEFT JOIN LATERAL (
            SELECT r.attempt, r.run_id, r.error_kind, r.error, r.options_json
            FROM llm.run AS r
            WHERE r.job_id = c.job_id
            ORDER BY r.job_id DESC, r.attempt DESC
            LIMIT 1
        ) AS previous ON TRUE
    ),
    started AS (
        INSERT INTO llm.run (run_id, job_id, attempt, started_utc, lease_until_utc, status, worker_id)
        SELECT n.current_run_id, n.job_id, n.attempt, v_now, n.lease_expires_utc, 'RUNNING', v_worker_id
        FROM numbered AS n
    ),
    told AS (
        INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json)
        SELECT
            n.job_id, n.current_run_id, v_now, 'claimed', 'NEW', 'RUNNING', v_worker_id,
            format('{"attempt": %s}', n.attempt)
        FROM numbered AS n
    )
    SELECT
        n.job_id, n.current_run_id, n.attempt, n.attempt_count, n.max_attempts, n.priority,
        n.interrogation_key::varchar(200), n.input_json::text, n.evidence_ref_json::text,
        n.model_hint::varchar(200), n.repeats_run_id, n.lease_expires_utc,
        n.previous_run_id, n.previous_error_kind, n.previous_error, n.previous_options_json::text
    FROM numbered AS n
    ORDER BY n.priority DESC, n.available_utc, n.job_seq;
END;
$$;

CALL llm.grant_procedure('usp_claim_next_job', 'llm_worker');
