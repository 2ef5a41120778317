-- llm.usp_open_batch: answers the batch of this name that has not ended, or makes it.
-- Promises: of two calls with one name at once one makes the batch and both answer it. With a batch_id of the caller's
--   own it may be said again. A batch that is there already keeps its budget and its on_finish. The new batch does not
--   end before it is filled (usp_set_batch; usp_publish_jobs fills it by itself).
--   on_finish_json: {"jobs": [...], "name"?, "on_finish"?, "budget_tokens"?, "budget_model_seconds"?}: the jobs, as
--   usp_enqueue_jobs takes them, are queued once when this batch has ended; with a name as a batch of that name.
-- Called by: queue.py (commands, admin, schedules), anybody's SQL; usp_sweep_batches.
-- Locks: the row it adds. Who comes with the same name waits for it.
CALL llm.drop_procedure('usp_open_batch');

CREATE TYPE llm.usp_open_batch_result AS (
    batch_id uuid,
    is_new boolean
);

CREATE FUNCTION llm.usp_open_batch(
    name text,
    actor text DEFAULT NULL,
    reason text DEFAULT NULL,
    batch_id uuid DEFAULT NULL,
    budget_tokens bigint DEFAULT NULL,
    budget_model_seconds bigint DEFAULT NULL,
    on_finish_json text DEFAULT NULL,
    derivation_key text DEFAULT NULL
)
RETURNS SETOF llm.usp_open_batch_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_name text := btrim(usp_open_batch.name);
    v_actor text := coalesce(nullif(btrim(usp_open_batch.actor), ''), session_user);
    v_derivation text := nullif(btrim(usp_open_batch.derivation_key), '');
    v_own_id uuid := coalesce(usp_open_batch.batch_id, gen_random_uuid());
    v_batch_id uuid;
    v_is_new boolean;
BEGIN
    IF char_length(v_actor) > 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC014', MESSAGE = 'actor is longer than 200 characters';
    END IF;
    IF coalesce(char_length(v_name), 0) NOT BETWEEN 1 AND 200 OR char_length(v_derivation) > 200 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC048', MESSAGE = 'name is missing or blank, or name or derivation_key longer than 200 characters';
    END IF;
    IF usp_open_batch.budget_tokens < 1 OR usp_open_batch.budget_model_seconds < 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC048', MESSAGE = 'a budget is less than 1';
    END IF;
    IF (
        usp_open_batch.on_finish_json IS NOT NULL
        AND NOT CASE
            WHEN NOT llm.is_json_object(usp_open_batch.on_finish_json) THEN FALSE
            WHEN json_typeof(usp_open_batch.on_finish_json::json -> 'jobs') IS DISTINCT FROM 'array' THEN FALSE
            ELSE json_array_length(usp_open_batch.on_finish_json::json -> 'jobs') > 0
        END
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC048', MESSAGE = 'on_finish_json is not an object with an array of jobs';
    END IF;

    -- Another turn only where the batch of this name ended between the two looks.
    WHILE v_batch_id IS NULL LOOP
        INSERT INTO llm.batch AS b (
            batch_id, name, created_utc, created_by, derivation_key, budget_tokens, budget_model_seconds, on_finish_json
        )
        VALUES (
            v_own_id, v_name, clock_timestamp(), v_actor, v_derivation, usp_open_batch.budget_tokens,
            usp_open_batch.budget_model_seconds, usp_open_batch.on_finish_json
        )
        ON CONFLICT DO NOTHING
        RETURNING b.batch_id INTO v_batch_id;
        IF v_batch_id IS NOT NULL THEN
            INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason)
            VALUES (v_batch_id, clock_timestamp(), 'batch_created', v_actor, usp_open_batch.reason);
        ELSE
            SELECT b.batch_id
            INTO v_batch_id
            FROM llm.batch AS b
            WHERE b.batch_id = v_own_id OR (b.name = v_name AND b.finished_utc IS NULL)
            ORDER BY CASE WHEN b.batch_id = v_own_id THEN 0 ELSE 1 END
            LIMIT 1;
        END IF;
    END LOOP;
    v_is_new := v_batch_id = v_own_id;

    RETURN NEXT ROW(v_batch_id, v_is_new)::llm.usp_open_batch_result;
END;
$$;

CALL llm.grant_procedure('usp_open_batch', 'llm_operator');
