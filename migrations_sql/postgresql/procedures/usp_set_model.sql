-- llm.usp_set_model: pauses or resumes a model, and sets or removes its limits. Null leaves a value as it is;
--   unset_json (an array of the names max_running, max_starts_per_minute, num_ctx, num_predict) removes one.
-- Promises: every claim that begins after this call uses the new values. changed false: they were set already.
-- Called by: operators (admin, commands).
-- Locks: the claims' lock on all models, exclusively: waits for current claims, which take milliseconds.
CALL llm.drop_procedure('usp_set_model');

CREATE TYPE llm.usp_set_model_result AS (
    changed boolean
);

CREATE FUNCTION llm.usp_set_model(
    model text,
    actor text,
    paused boolean DEFAULT NULL,
    max_running integer DEFAULT NULL,
    max_starts_per_minute integer DEFAULT NULL,
    num_ctx integer DEFAULT NULL,
    num_predict integer DEFAULT NULL,
    unset_json text DEFAULT NULL,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_set_model_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_set_model.actor);
    v_model text := btrim(usp_set_model.model);
    v_reason text := nullif(btrim(usp_set_model.reason), '');
    v_unset text[] := '{}';
    v_old llm.model;
    v_new llm.model;
    v_now timestamptz;
    v_changed boolean := FALSE;
BEGIN
    IF coalesce(char_length(v_model), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC040', MESSAGE = 'model is missing, blank or longer than 200 characters';
    END IF;
    IF usp_set_model.max_running < 1 OR usp_set_model.max_starts_per_minute < 1
        OR usp_set_model.num_ctx < 1 OR usp_set_model.num_predict < 1
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC041', MESSAGE = 'a limit is less than 1: to stop a model pause it, to remove a limit unset it';
    END IF;
    IF usp_set_model.unset_json IS NOT NULL THEN
        BEGIN
            v_unset := ARRAY(
                SELECT CASE WHEN jsonb_typeof(e.element) = 'string' THEN e.element #>> '{}' END
                FROM jsonb_array_elements(usp_set_model.unset_json::jsonb) AS e (element)
            );
        EXCEPTION WHEN data_exception THEN
            v_unset := NULL;
        END;
        IF v_unset IS NULL OR array_position(v_unset, NULL) IS NOT NULL
            OR NOT v_unset <@ ARRAY['max_running', 'max_starts_per_minute', 'num_ctx', 'num_predict']
        THEN
            RAISE EXCEPTION USING ERRCODE = 'HC042', MESSAGE = 'unset_json is not an array of names of limits';
        END IF;
    END IF;

    PERFORM pg_advisory_xact_lock(hashtextextended('llm.model', 0));
    INSERT INTO llm.model (model) VALUES (v_model) ON CONFLICT DO NOTHING;
    SELECT m.* INTO v_old FROM llm.model AS m WHERE m.model = v_model FOR NO KEY UPDATE;
    v_now := clock_timestamp();

    UPDATE llm.model AS m
    SET
        paused_utc = CASE
            WHEN usp_set_model.paused THEN coalesce(m.paused_utc, v_now)
            WHEN usp_set_model.paused IS NULL THEN m.paused_utc
        END,
        paused_by = CASE
            WHEN usp_set_model.paused AND m.paused_utc IS NULL THEN v_actor
            WHEN usp_set_model.paused IS DISTINCT FROM FALSE THEN m.paused_by
        END,
        pause_reason = CASE
            WHEN usp_set_model.paused AND m.paused_utc IS NULL THEN v_reason
            WHEN usp_set_model.paused IS DISTINCT FROM FALSE THEN m.pause_reason
        END,
        max_running = CASE
            WHEN NOT 'max_running' = ANY (v_unset) THEN coalesce(usp_set_model.max_running, m.max_running)
        END,
        max_starts_per_minute = CASE
            WHEN NOT 'max_starts_per_minute' = ANY (v_unset)
                THEN coalesce(usp_set_model.max_starts_per_minute, m.max_starts_per_minute)
        END,
        num_ctx = CASE WHEN NOT 'num_ctx' = ANY (v_unset) THEN coalesce(usp_set_model.num_ctx, m.num_ctx) END,
        num_predict = CASE
            WHEN NOT 'num_predict' = ANY (v_unset) THEN coalesce(usp_set_model.num_predict, m.num_predict)
        END
    WHERE m.model = v_model
    RETURNING m.* INTO v_new;

    IF (v_old.paused_utc IS NULL) <> (v_new.paused_utc IS NULL) THEN
        v_changed := TRUE;
        INSERT INTO llm.model_event (model, at_utc, event, actor, reason)
        VALUES (
            v_model, v_now, CASE WHEN v_new.paused_utc IS NULL THEN 'model_resumed' ELSE 'model_paused' END,
            v_actor, v_reason
        );
    END IF;
    IF (v_old.max_running, v_old.max_starts_per_minute, v_old.num_ctx, v_old.num_predict)
        IS DISTINCT FROM (v_new.max_running, v_new.max_starts_per_minute, v_new.num_ctx, v_new.num_predict)
    THEN
        v_changed := TRUE;
        INSERT INTO llm.model_event (model, at_utc, event, actor, reason, detail_json)
        VALUES (
            v_model, v_now, 'model_limits_changed', v_actor, v_reason,
            json_build_object(
                'max_running', v_new.max_running,
                'max_starts_per_minute', v_new.max_starts_per_minute,
                'num_ctx', v_new.num_ctx,
                'num_predict', v_new.num_predict
            )::text
        );
    END IF;
    RETURN NEXT ROW(v_changed)::llm.usp_set_model_result;
END;
$$;

CALL llm.grant_procedure('usp_set_model', 'llm_operator');
