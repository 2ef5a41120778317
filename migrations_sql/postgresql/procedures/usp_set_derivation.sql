-- llm.usp_set_derivation: declares a derivation, pauses or resumes it, or says how far it has been applied.
-- Promises: declaration_json replaces the whole declaration: an object with the columns' names (declared_in,
--   source_name, interrogation_key, version, model, priority, max_attempts, schedule, rate_per_minute, depth_limit,
--   budget_tokens, budget_model_seconds, retire_policy, target_json); a member left out is the column's
--   default. Another target than before is delivered to from the first subject on. What is null here stays as it
--   is. changed false with the reason why: no such derivation, or it was so already.
--   planned, applied: set to now. paced_until_utc never goes back. Raises HC028, HC059.
-- Called by: queue.py (derive apply, admin, schedules), anybody's SQL.
-- Locks: the derivation's row.
CALL llm.drop_procedure('usp_set_derivation');

CREATE TYPE llm.usp_set_derivation_result AS (
    changed boolean,
    why text
);

CREATE FUNCTION llm.usp_set_derivation(
    derivation_key text,
    actor text,
    declaration_json text DEFAULT NULL,
    paused boolean DEFAULT NULL,
    planned boolean DEFAULT FALSE,
    applied boolean DEFAULT FALSE,
    next_utc timestamptz DEFAULT NULL,
    paced_until_utc timestamptz DEFAULT NULL,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_set_derivation_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_set_derivation.actor);
    v_key text := btrim(usp_set_derivation.derivation_key);
    v_now timestamptz;
    v_old llm.derivation;
    v_new llm.derivation;
    v_told record;
    v_is_new boolean := FALSE;
BEGIN
    IF coalesce(char_length(v_key), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC059', MESSAGE = 'derivation_key is missing, blank or longer than 200';
    END IF;
    IF usp_set_derivation.next_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00' THEN
        RAISE EXCEPTION USING ERRCODE = 'HC028', MESSAGE = 'next_utc is not in the years 2000 to 9000';
    END IF;
    IF usp_set_derivation.paced_until_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00' THEN
        RAISE EXCEPTION USING ERRCODE = 'HC028', MESSAGE = 'paced_until_utc is not in the years 2000 to 9000';
    END IF;
    IF usp_set_derivation.declaration_json IS NOT NULL THEN
        IF NOT llm.is_json_object(usp_set_derivation.declaration_json) THEN
            RAISE EXCEPTION USING ERRCODE = 'HC059', MESSAGE = 'declaration_json is not a JSON object';
        END IF;
        BEGIN
            SELECT d.*
            INTO v_told
            FROM json_to_record(usp_set_derivation.declaration_json::json) AS d (
                declared_in text, source_name text, interrogation_key text, version text, model text,
                priority integer, max_attempts integer, schedule text, rate_per_minute integer,
                depth_limit integer, budget_tokens bigint, budget_model_seconds bigint, retire_policy text,
                target_json text
            );
        EXCEPTION
            WHEN data_exception THEN
                RAISE EXCEPTION USING ERRCODE = 'HC059', MESSAGE = 'declaration_json is malformed: ' || SQLERRM;
        END;
        IF coalesce(v_told.declared_in, 'admin') NOT IN ('file', 'admin')
            OR coalesce(v_told.retire_policy, 'retire') NOT IN ('keep', 'retire')
            OR coalesce(char_length(btrim(v_told.source_name)), 0) NOT BETWEEN 1 AND 200
            OR coalesce(char_length(btrim(v_told.interrogation_key)), 0) NOT BETWEEN 1 AND 200
            OR char_length(v_told.version) NOT BETWEEN 1 AND 40
            OR char_length(btrim(v_told.model)) NOT BETWEEN 1 AND 200
            OR char_length(v_told.schedule) NOT BETWEEN 1 AND 100
            OR v_told.priority < 0
            OR least(
                v_told.max_attempts, v_told.rate_per_minute, v_told.depth_limit, v_told.budget_tokens,
                v_told.budget_model_seconds
            ) < 1
            OR (v_told.target_json IS NOT NULL AND NOT llm.is_json_object(v_told.target_json))
            OR char_length(v_told.target_json) > 100000
        THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC059', MESSAGE = 'declaration_json lacks a source or interrogation, or is out of bounds';
        END IF;
        INSERT INTO llm.derivation AS d (
            derivation_key, declared_in, source_name, interrogation_key, retire_policy, created_by, changed_by
        )
        VALUES (
            v_key, coalesce(v_told.declared_in, 'admin'), btrim(v_told.source_name), btrim(v_told.interrogation_key),
            coalesce(v_told.retire_policy, 'retire'), v_actor, v_actor
        )
        ON CONFLICT DO NOTHING;
        v_is_new := FOUND;
    END IF;

    SELECT d.* INTO v_old FROM llm.derivation AS d WHERE d.derivation_key = v_key FOR NO KEY UPDATE;
    v_now := clock_timestamp();
    IF v_old.derivation_key IS NULL THEN
        RETURN NEXT ROW(FALSE, 'no such derivation')::llm.usp_set_derivation_result;
        RETURN;
    END IF;

    v_new := v_old;
    IF usp_set_derivation.declaration_json IS NOT NULL THEN
        v_new.declared_in := coalesce(v_told.declared_in, 'admin');
        v_new.source_name := btrim(v_told.source_name);
        v_new.interrogation_key := btrim(v_told.interrogation_key);
        v_new.version := v_told.version;
        v_new.model := btrim(v_told.model);
        v_new.priority := coalesce(v_told.priority, 100);
        v_new.max_attempts := coalesce(v_told.max_attempts, 3);
        v_new.schedule := v_told.schedule;
        v_new.rate_per_minute := v_told.rate_per_minute;
        v_new.depth_limit := v_told.depth_limit;
        v_new.budget_tokens := v_told.budget_tokens;
        v_new.budget_model_seconds := v_told.budget_model_seconds;
        v_new.retire_policy := coalesce(v_told.retire_policy, 'retire');
        v_new.target_json := v_told.target_json;
        IF v_new.target_json IS DISTINCT FROM v_old.target_json THEN
            -- A new derivation has no subjects yet.
            v_new.fill_after_seq := CASE WHEN v_new.target_json IS NOT NULL AND NOT v_is_new THEN 0 END;
        END IF;
        IF v_new IS DISTINCT FROM v_old THEN
            v_new.changed_utc := v_now;
            v_new.changed_by := v_actor;
        END IF;
        IF v_new.schedule IS DISTINCT FROM v_old.schedule THEN
            v_new.next_utc := NULL;
        END IF;
    END IF;
    IF usp_set_derivation.paused AND v_old.paused_utc IS NULL THEN
        v_new.paused_utc := v_now;
        v_new.paused_by := v_actor;
        v_new.pause_reason := usp_set_derivation.reason;
    ELSIF NOT usp_set_derivation.paused THEN
        v_new.paused_utc := NULL;
        v_new.paused_by := NULL;
        v_new.pause_reason := NULL;
    END IF;
    IF usp_set_derivation.planned THEN
        v_new.planned_utc := v_now;
    END IF;
    IF usp_set_derivation.applied THEN
        v_new.applied_utc := v_now;
    END IF;
    v_new.next_utc := coalesce(usp_set_derivation.next_utc, v_new.next_utc);
    v_new.paced_until_utc := greatest(v_old.paced_until_utc, usp_set_derivation.paced_until_utc);

    IF v_new IS NOT DISTINCT FROM v_old THEN
        -- One that this call made as it is told counts as changed.
        RETURN NEXT ROW(
            v_old.created_utc >= transaction_timestamp() AND usp_set_derivation.declaration_json IS NOT NULL, 'so already'
        )::llm.usp_set_derivation_result;
        RETURN;
    END IF;
    UPDATE llm.derivation AS d
    SET
        declared_in = v_new.declared_in,
        source_name = v_new.source_name,
        interrogation_key = v_new.interrogation_key,
        version = v_new.version,
        model = v_new.model,
        priority = v_new.priority,
        max_attempts = v_new.max_attempts,
        schedule = v_new.schedule,
        rate_per_minute = v_new.rate_per_minute,
        depth_limit = v_new.depth_limit,
        budget_tokens = v_new.budget_tokens,
        budget_model_seconds = v_new.budget_model_seconds,
        retire_policy = v_new.retire_policy,
        target_json = v_new.target_json,
        fill_after_seq = v_new.fill_after_seq,
        changed_utc = v_new.changed_utc,
        changed_by = v_new.changed_by,
        paused_utc = v_new.paused_utc,
        paused_by = v_new.paused_by,
        pause_reason = v_new.pause_reason,
        planned_utc = v_new.planned_utc,
        applied_utc = v_new.applied_utc,
        next_utc = v_new.next_utc,
        paced_until_utc = v_new.paced_until_utc
    WHERE d.derivation_seq = v_new.derivation_seq;
    RETURN NEXT ROW(TRUE, NULL)::llm.usp_set_derivation_result;
END;
$$;

CALL llm.grant_procedure('usp_set_derivation', 'llm_operator');
