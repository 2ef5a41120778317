-- llm.usp_claim_next_job: claims up to max_jobs ready jobs under a lease, each as a new run; promotes due jobs first.
-- Promises: a job goes to one caller; the best by priority, then the longest available, then the first queued. With a
--   model: only jobs that ask for it or for none. Jobs of paused models, and of models at a limit, are never taken.
--   With serving_model or models_json a claim takes jobs of one model and one priority: the highest at which any of
--   the models has ready jobs. With stay that is serving_model while it has such jobs; else the model with the fewest
--   running runs, then the one that has waited longest: since its first job was available or since it was last served,
--   whichever is later. Without stay, serving_model comes last. With stay null the order is strict among
--   the allowed models; where some are not, a claim is of one priority.
--   default_model is what a job without a model means here; models_json what the caller's server can serve:
--   [{"model", "idle_seconds"?}], the latter being the time since the caller stopped serving it; a model "*" stands for
--   all others. The result's num_ctx and num_predict are the model's own, where operators set them.
--   part_count without parent_job_id: the job was split, its parts have ended, and this run joins their answers.
--   The cost of a claim does not grow with the waiting jobs, except those of except_interrogations_json (keys that the
--   caller cannot run), which it skips one by one. Choosing another model reads the first job of each that has jobs of
--   that priority; so does each claim in strict order while the first jobs there are of models not allowed.
-- Called by: the worker's queue thread, between runs.
-- Locks: ready jobs in the claim's order, SKIP LOCKED: it skips what another claim, an operator or a promotion holds
--   and never waits. Jobs are selected by a separate statement, so that the next one's snapshot sees every run that a
--   job had before it was locked and attempts are numbered without gaps or duplicates. Before that, the shared lock on
--   all models, for which usp_set_model waits; then the rows of models that have a limit, in order of their names:
--   while there is such a model, claims are serialised, so that no two use the same capacity.
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
    previous_options_json text,
    num_ctx integer,
    num_predict integer,
    parent_job_id uuid,
    part_no integer,
    part_count integer
);

-- The number of runs that a model may still start now; null: no limit. Read under the lock of its row.
CREATE OR REPLACE FUNCTION llm.room_for_model(model text, max_running integer, max_starts_per_minute integer)
RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT least(
        CASE WHEN room_for_model.max_running IS NOT NULL THEN room_for_model.max_running - (
            SELECT count(*)
            FROM llm.job AS j
            LEFT JOIN llm.run AS r ON r.run_id = j.current_run_id AND j.model_hint IS NULL
            WHERE j.status = 'RUNNING' AND coalesce(j.model_hint, r.model_name) = room_for_model.model
        ) END,
        CASE WHEN room_for_model.max_starts_per_minute IS NOT NULL THEN room_for_model.max_starts_per_minute - (
            SELECT count(*)
            FROM llm.model_start AS s
            WHERE s.model = room_for_model.model AND s.started_utc > clock_timestamp() - interval '1 minute'
        ) END
    )
$$;

-- The best ready job that asks for the model or, if that means the same here, for none, within these priorities.
-- With `= ANY` and model_hint in the ORDER BY only ix_job_claimable_model has the order; with `=`, a plan made while
-- the queue was empty may take ix_job_claimable, keep it, and read all ready jobs of other models.
DROP FUNCTION IF EXISTS llm.model_head(text, boolean, integer, text[]);
CREATE OR REPLACE FUNCTION llm.model_head(
    model text, takes_unasked boolean, lowest integer, highest integer, except_keys text[]
)
RETURNS TABLE (priority integer, available_utc timestamptz, job_seq bigint)
LANGUAGE sql STABLE
AS $$
    SELECT h.priority, h.available_utc, h.job_seq
    FROM (
        (
            SELECT j.priority, j.available_utc, j.job_seq
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.model_hint = ANY (ARRAY[model_head.model])
                AND j.priority BETWEEN model_head.lowest AND model_head.highest
                AND j.interrogation_key <> ALL (model_head.except_keys)
            ORDER BY j.model_hint, j.priority DESC, j.available_utc, j.job_seq
            LIMIT 1
        )
        UNION ALL
        (
            SELECT j.priority, j.available_utc, j.job_seq
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.model_hint IS NULL AND model_head.takes_unasked
                AND j.priority BETWEEN model_head.lowest AND model_head.highest
                AND j.interrogation_key <> ALL (model_head.except_keys)
            ORDER BY j.model_hint, j.priority DESC, j.available_utc, j.job_seq
            LIMIT 1
        )
    ) AS h
    ORDER BY h.priority DESC, h.available_utc, h.job_seq
    LIMIT 1
$$;

REVOKE ALL ON FUNCTION llm.room_for_model(text, integer, integer) FROM public;
REVOKE ALL ON FUNCTION llm.model_head(text, boolean, integer, integer, text[]) FROM public;

CREATE FUNCTION llm.usp_claim_next_job(
    worker_id text,
    lease_seconds integer DEFAULT 120,
    max_jobs integer DEFAULT 1,
    model text DEFAULT NULL,
    except_interrogations_json text DEFAULT NULL,
    serving_model text DEFAULT NULL,
    default_model text DEFAULT NULL,
    models_json text DEFAULT NULL,
    stay boolean DEFAULT TRUE
)
RETURNS SETOF llm.usp_claim_next_job_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- else a claim of one plans anew each time, for its LIMIT of one
SET enable_seqscan = off  -- keep the order of the ready index, whatever the statistics of a table that empties
SET enable_bitmapscan = off  -- and fills: a sort would lock every ready row and leave the other workers nothing
SET enable_sort = off
SET enable_incremental_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_worker_id text := btrim(usp_claim_next_job.worker_id);
    v_model text := nullif(btrim(usp_claim_next_job.model), '');
    v_serving text := nullif(btrim(usp_claim_next_job.serving_model), '');
    v_default text := nullif(btrim(usp_claim_next_job.default_model), '');
    v_now timestamptz := clock_timestamp();
    v_except text[] := '{}';
    v_picked uuid[];
    v_models text[];  -- null: any
    v_served text[];
    v_idle_seconds double precision[];  -- of each served model; null: unknown
    v_is_strict boolean;
    v_is_by_model boolean;
    v_is_limited boolean := FALSE;
    v_is_due boolean;
    v_has_settings boolean;
    v_sizes jsonb;  -- by model
    v_blocked text[] := '{}';
    v_chosen text;  -- '' stands for jobs without a model if there is no default
    v_priority integer;  -- of the jobs to claim; null: any
    v_place bigint := 2147483648;  -- where the walk through priorities and models is
    v_place_model text := '';
    v_looks integer;
    v_head text;
    v_room integer;
    v_tried text[] := '{}';  -- at this priority
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

    IF v_model IS NOT NULL THEN
        v_default := v_model;
    ELSIF usp_claim_next_job.models_json IS NOT NULL THEN
        BEGIN
            SELECT
                coalesce(array_agg(btrim(e.element ->> 'model')), '{}'),
                array_agg((e.element ->> 'idle_seconds')::double precision)
            INTO v_served, v_idle_seconds
            FROM jsonb_array_elements(usp_claim_next_job.models_json::jsonb) AS e (element);
        EXCEPTION WHEN data_exception THEN
            v_served := ARRAY[NULL];
        END;
        IF array_position(v_served, NULL) IS NOT NULL OR '' = ANY (v_served) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC043', MESSAGE = 'models_json is not an array of objects with a model';
        END IF;
        IF NOT '*' = ANY (v_served) THEN
            v_models := v_served;
        END IF;
    END IF;

    PERFORM pg_advisory_xact_lock_shared(hashtextextended('llm.model', 0));
    -- With this ORDER BY, only the first row of ix_job_due is read.
    SELECT
        (
            SELECT TRUE
            FROM llm.job AS j
            WHERE j.status = 'SCHEDULED' AND j.available_utc <= v_now
            ORDER BY j.available_utc, j.job_seq
            LIMIT 1
        ),
        EXISTS (
            SELECT 1
            FROM llm.model AS m
            WHERE num_nonnulls(m.paused_utc, m.max_running, m.max_starts_per_minute, m.num_ctx, m.num_predict) > 0
        )
    INTO v_is_due, v_has_settings;
    IF v_is_due THEN
        PERFORM promoted FROM llm.usp_promote_due_jobs(500);
    END IF;
    IF v_has_settings THEN
        SELECT
            coalesce(bool_or(m.max_running IS NOT NULL OR m.max_starts_per_minute IS NOT NULL), FALSE),
            jsonb_object_agg(m.model, jsonb_build_object('num_ctx', m.num_ctx, 'num_predict', m.num_predict))
                FILTER (WHERE num_nonnulls(m.num_ctx, m.num_predict) > 0),
            coalesce(array_agg(m.model) FILTER (WHERE m.paused_utc IS NOT NULL), '{}')
        INTO v_is_limited, v_sizes, v_blocked
        FROM llm.model AS m;
    END IF;
    IF v_is_limited THEN
        PERFORM 1
        FROM llm.model AS m
        WHERE m.max_running IS NOT NULL OR m.max_starts_per_minute IS NOT NULL
        ORDER BY m.model
        FOR NO KEY UPDATE;
        v_now := clock_timestamp();
        DELETE FROM llm.model_start AS s WHERE s.started_utc <= v_now - interval '1 minute';
        v_blocked := ARRAY(
            SELECT m.model
            FROM llm.model AS m
            WHERE m.paused_utc IS NOT NULL OR llm.room_for_model(m.model, m.max_running, m.max_starts_per_minute) <= 0
        );
    END IF;
    v_is_strict := usp_claim_next_job.stay IS NULL OR (v_serving IS NULL AND v_served IS NULL);
    v_is_by_model := v_model IS NOT NULL OR NOT v_is_strict OR v_models IS NOT NULL OR v_is_limited
        OR v_blocked <> '{}';

    IF usp_claim_next_job.stay AND usp_claim_next_job.max_jobs = 1 AND v_model IS NULL AND v_serving <> ALL (v_blocked)
        AND v_serving = ANY (coalesce(v_models, ARRAY[v_serving]))
    THEN
        -- Usually the best of all ready jobs is the served model's: then there is nothing to choose.
        SELECT ARRAY[j.job_id]
        INTO v_picked
        FROM llm.job AS j
        WHERE j.status IS NOT DISTINCT FROM 'NEW' AND j.paused_utc IS NULL
            AND coalesce(j.model_hint, v_default) = v_serving
            AND j.job_id = (
                SELECT best.job_id
                FROM llm.job AS best
                WHERE best.status = 'NEW' AND best.paused_utc IS NULL AND best.interrogation_key <> ALL (v_except)
                ORDER BY best.priority DESC, best.available_utc, best.job_seq
                LIMIT 1
            )
        FOR NO KEY UPDATE SKIP LOCKED;
    ELSIF NOT v_is_by_model THEN
        v_picked := ARRAY(
            SELECT j.job_id
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.interrogation_key <> ALL (v_except)
            ORDER BY j.priority DESC, j.available_utc, j.job_seq
            LIMIT usp_claim_next_job.max_jobs
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
    WHILE v_is_by_model AND v_picked IS NULL LOOP
        v_chosen := NULL;
        IF v_model IS NOT NULL THEN
            -- One model alone: whatever the priority, its best jobs are the best. Once, since nothing else is to try.
            EXIT WHEN v_model = ANY (v_blocked || v_tried);
            v_chosen := v_model;
        ELSIF v_priority IS NULL THEN
            -- Walk the models of each priority down to the first allowed one, by one read each: usually the first.
            v_looks := 0;
            LOOP
                SELECT j.priority, coalesce(j.model_hint, '')
                INTO v_place, v_place_model
                FROM llm.job AS j
                WHERE j.status = 'NEW' AND j.paused_utc IS NULL
                    AND (j.priority, coalesce(j.model_hint, '')) < (v_place, v_place_model)
                    AND j.interrogation_key <> ALL (v_except)
                ORDER BY j.priority DESC, coalesce(j.model_hint, '') DESC
                LIMIT 1;
                EXIT WHEN v_place IS NULL;
                v_head := coalesce(nullif(v_place_model, ''), v_default, '');
                IF v_head <> ALL (v_blocked) AND (v_models IS NULL OR v_head = ANY (v_models)) THEN
                    v_priority := v_place;
                    EXIT;
                END IF;
                v_looks := v_looks + 1;
                IF v_looks >= 8 AND v_models IS NOT NULL THEN
                    -- Many models that this server lacks: one read for each that it has is cheaper.
                    SELECT max(head.priority)
                    INTO v_priority
                    FROM unnest(v_models) AS m (model)
                    CROSS JOIN LATERAL llm.model_head(
                        m.model, m.model = coalesce(v_default, ''), 0, v_place::integer, v_except
                    ) AS head
                    WHERE m.model <> ALL (v_blocked);
                    EXIT;
                END IF;
            END LOOP;
            EXIT WHEN v_priority IS NULL;
            v_place := v_priority;
            v_place_model := '';
            v_tried := '{}';

            IF v_is_strict AND NOT v_is_limited THEN
                -- The best of this priority, except those of models that are not allowed.
                WITH best AS MATERIALIZED (
                    SELECT j.job_id, coalesce(j.model_hint, v_default, '') AS model
                    FROM llm.job AS j
                    WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.priority BETWEEN v_priority AND v_priority
                        AND j.interrogation_key <> ALL (v_except)
                    ORDER BY j.priority DESC, j.available_utc, j.job_seq
                    LIMIT usp_claim_next_job.max_jobs
                    FOR NO KEY UPDATE SKIP LOCKED
                )
                SELECT array_agg(b.job_id)
                INTO v_picked
                FROM best AS b
                WHERE b.model <> ALL (v_blocked) AND (v_models IS NULL OR b.model = ANY (v_models));
                EXIT WHEN v_picked IS NOT NULL;
            ELSIF usp_claim_next_job.stay AND v_serving <> ALL (v_blocked)
                AND v_serving = ANY (coalesce(v_models, ARRAY[v_serving]))
            THEN
                -- Jobs of the served model at the best priority are claimed without choosing.
                v_chosen := v_serving;
            END IF;
        END IF;

        IF v_chosen IS NULL THEN
            WITH RECURSIVE asked (model) AS (
                (
                    SELECT coalesce(j.model_hint, '')
                    FROM llm.job AS j
                    WHERE j.status = 'NEW' AND j.paused_utc IS NULL
                        AND j.priority BETWEEN v_priority AND v_priority AND v_models IS NULL
                    ORDER BY j.priority DESC, coalesce(j.model_hint, '') DESC
                    LIMIT 1
                )
                UNION ALL
                SELECT (
                    SELECT coalesce(j.model_hint, '')
                    FROM llm.job AS j
                    WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.priority >= v_priority
                        AND (j.priority, coalesce(j.model_hint, '')) < (v_priority, a.model)
                    ORDER BY j.priority DESC, coalesce(j.model_hint, '') DESC
                    LIMIT 1
                )
                FROM asked AS a
                WHERE a.model IS NOT NULL
            ),
            candidate (model) AS (
                SELECT coalesce(nullif(a.model, ''), v_default, '') FROM asked AS a WHERE a.model IS NOT NULL
                UNION
                SELECT m.model FROM unnest(v_models) AS m (model)
            ),
            heads AS MATERIALIZED (
                SELECT c.model, head.available_utc, head.job_seq
                FROM candidate AS c
                CROSS JOIN LATERAL llm.model_head(
                    nullif(c.model, ''), c.model = coalesce(v_default, ''), v_priority, v_priority, v_except
                ) AS head
                WHERE c.model <> ALL (v_blocked || v_tried)
            ),
            busy AS (
                SELECT coalesce(j.model_hint, r.model_name) AS model, count(*) AS runs
                FROM llm.job AS j
                LEFT JOIN llm.run AS r ON r.run_id = j.current_run_id AND j.model_hint IS NULL
                WHERE j.status = 'RUNNING' AND NOT v_is_strict
                GROUP BY coalesce(j.model_hint, r.model_name)
            )
            SELECT h.model
            INTO v_chosen
            FROM heads AS h
            LEFT JOIN busy AS b ON b.model = h.model
            LEFT JOIN (
                SELECT s.model, v_now - make_interval(secs => least(min(s.idle_seconds), 1e9)) AS at_utc
                FROM unnest(v_served, v_idle_seconds) AS s (model, idle_seconds)
                GROUP BY s.model
            ) AS served ON served.model = h.model AND NOT v_is_strict
            ORDER BY
                CASE
                    WHEN v_is_strict OR h.model IS DISTINCT FROM v_serving THEN 1
                    WHEN usp_claim_next_job.stay THEN 0
                    ELSE 2
                END,
                coalesce(b.runs, 0),
                greatest(h.available_utc, served.at_utc),
                h.job_seq
            LIMIT 1;
            IF v_chosen IS NULL THEN
                -- All of this priority are locked by others: try the next one.
                v_priority := NULL;
                CONTINUE;
            END IF;
        END IF;

        v_room := CASE WHEN v_is_strict AND v_model IS NULL THEN 1 END;  -- the next job may be another model's
        IF v_is_limited THEN
            v_room := least(v_room, (
                SELECT llm.room_for_model(m.model, m.max_running, m.max_starts_per_minute)
                FROM llm.model AS m
                WHERE m.model = v_chosen
            ));
        END IF;
        -- Merges two ordered ranges of ix_job_claimable_model; surplus rows are left as they are.
        WITH asked AS MATERIALIZED (
            SELECT j.job_id, j.priority, j.available_utc, j.job_seq
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.model_hint = ANY (ARRAY[v_chosen])
                AND j.priority BETWEEN coalesce(v_priority, 0) AND coalesce(v_priority, 2147483647)
                AND j.interrogation_key <> ALL (v_except)
            ORDER BY j.model_hint, j.priority DESC, j.available_utc, j.job_seq
            LIMIT least(usp_claim_next_job.max_jobs, v_room)
            FOR NO KEY UPDATE SKIP LOCKED
        ),
        unasked AS MATERIALIZED (
            SELECT j.job_id, j.priority, j.available_utc, j.job_seq
            FROM llm.job AS j
            WHERE j.status = 'NEW' AND j.paused_utc IS NULL AND j.model_hint IS NULL
                AND j.priority BETWEEN coalesce(v_priority, 0) AND coalesce(v_priority, 2147483647)
                AND j.interrogation_key <> ALL (v_except)
                AND v_chosen = coalesce(v_default, '')
            ORDER BY j.model_hint, j.priority DESC, j.available_utc, j.job_seq
            LIMIT least(usp_claim_next_job.max_jobs, v_room)
            FOR NO KEY UPDATE SKIP LOCKED
        )
        SELECT array_agg(best.job_id)
        INTO v_picked
        FROM (
            SELECT both_picks.job_id
            FROM (SELECT * FROM asked UNION ALL SELECT * FROM unasked) AS both_picks
            ORDER BY both_picks.priority DESC, both_picks.available_utc, both_picks.job_seq
            LIMIT least(usp_claim_next_job.max_jobs, v_room)
        ) AS best;
        EXIT WHEN v_picked IS NOT NULL;
        -- All of them are locked by others: try the next model.
        v_tried := v_tried || v_chosen;
    END LOOP;
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
        WHERE j.job_id = ANY (v_picked) AND j.status IS NOT DISTINCT FROM 'NEW' AND j.paused_utc IS NULL
        RETURNING
            j.job_seq, j.job_id, j.current_run_id, j.attempt_count, j.max_attempts, j.priority, j.available_utc,
            j.interrogation_key, j.input_json, coalesce(j.halved_ref_json, j.evidence_ref_json) AS evidence_ref_json,
            j.model_hint, j.repeats_run_id, j.lease_expires_utc, j.parent_job_id, j.part_no, j.part_count
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
        INSERT INTO llm.run (run_id, job_id, attempt, started_utc, lease_until_utc, status, worker_id, model_name)
        SELECT
            n.current_run_id, n.job_id, n.attempt, v_now, n.lease_expires_utc, 'RUNNING', v_worker_id,
            coalesce(n.model_hint, v_default)
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
        n.previous_run_id, n.previous_error_kind, n.previous_error, n.previous_options_json::text,
        (v_sizes -> coalesce(n.model_hint, v_default) ->> 'num_ctx')::integer,
        (v_sizes -> coalesce(n.model_hint, v_default) ->> 'num_predict')::integer,
        n.parent_job_id, n.part_no, n.part_count
    FROM numbered AS n
    ORDER BY n.priority DESC, n.available_utc, n.job_seq;

    IF v_is_limited THEN
        INSERT INTO llm.model_start (model, started_utc)
        SELECT m.model, v_now
        FROM llm.job AS j
        JOIN llm.model AS m ON m.model = coalesce(j.model_hint, v_default)
        WHERE j.job_id = ANY (v_picked) AND m.max_starts_per_minute IS NOT NULL;
    END IF;
END;
$$;

CALL llm.grant_procedure('usp_claim_next_job', 'llm_worker');
