-- llm.usp_promote_interrogation: makes a registered version of an interrogation the live one, which jobs get.
-- Promises: promoted true if it is live afterwards (why 'already live': it was before). Refused, with why, if the
--   version is not registered, or if the key has a gate and no experiment on its set in which exactly this definition,
--   asked as jobs are (no model and no options of its own), passed all of the gate's conditions. If one of them
--   compares with the live version, it has to have been compared with the one that is promoted now. experiment_id is
--   the newest experiment that passed. Promotions of one key follow each other.
-- Called by: maintainers (admin, promote).
-- Locks: the key's row of llm.interrogation_live.
CALL llm.drop_procedure('usp_promote_interrogation');

CREATE TYPE llm.usp_promote_interrogation_result AS (
    promoted boolean,
    definition_sha256 text,
    experiment_id uuid,
    why text
);

CREATE FUNCTION llm.usp_promote_interrogation(
    interrogation_key text,
    version text,
    actor text,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_promote_interrogation_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_promote_interrogation.actor);
    v_key text := btrim(usp_promote_interrogation.interrogation_key);
    v_version text := btrim(usp_promote_interrogation.version);
    v_sha256 text;
    v_live llm.interrogation_live;
    v_gates jsonb;
    v_experiment_id uuid;
    v_now timestamptz;
    v_seq bigint;
BEGIN
    IF coalesce(char_length(v_key), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC004', MESSAGE = 'interrogation_key is missing, blank or longer than 200 characters';
    END IF;
    IF coalesce(char_length(v_version), 0) NOT BETWEEN 1 AND 40 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC063', MESSAGE = 'version is missing, blank or longer than 40 characters';
    END IF;

    SELECT i.definition_sha256
    INTO v_sha256
    FROM llm.interrogation AS i
    WHERE i.interrogation_key = v_key AND i.version = v_version;
    IF v_sha256 IS NULL THEN
        RETURN NEXT ROW(
            FALSE, NULL, NULL, format('%s %s is not registered', v_key, v_version)
        )::llm.usp_promote_interrogation_result;
        RETURN;
    END IF;

    INSERT INTO llm.interrogation_live (interrogation_key) VALUES (v_key) ON CONFLICT DO NOTHING;
    SELECT l.* INTO v_live FROM llm.interrogation_live AS l WHERE l.interrogation_key = v_key FOR NO KEY UPDATE;
    IF v_live.definition_sha256 = v_sha256 THEN
        RETURN NEXT ROW(TRUE, v_sha256, NULL, 'already live')::llm.usp_promote_interrogation_result;
        RETURN;
    END IF;

    IF v_live.gate_set IS NOT NULL THEN
        v_gates := v_live.gates_json::jsonb;
        SELECT e.experiment_id
        INTO v_experiment_id
        FROM llm.experiment AS e
        WHERE e.set_name = v_live.gate_set
            AND e.scored_utc IS NOT NULL
            AND EXISTS (
                SELECT 1
                FROM jsonb_array_elements(e.result_json::jsonb -> 'variants') AS v (variant)
                WHERE v.variant ->> 'definition_sha256' = v_sha256
                    AND v.variant ->> 'is_live' = 'false'
                    AND v.variant ->> 'model' IS NULL
                    AND v.variant -> 'options' = '{}'::jsonb
                    AND NOT EXISTS (
                        SELECT 1
                        FROM jsonb_array_elements_text(v_gates -> 'gates') AS g (gate)
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM jsonb_array_elements(e.result_json::jsonb -> 'gates') AS r (judged)
                            WHERE r.judged ->> 'variant' = v.variant ->> 'name'
                                AND r.judged ->> 'gate' = g.gate
                                AND r.judged ->> 'passed' = 'true'
                        )
                    )
            )
            AND (
                v_live.definition_sha256 IS NULL
                OR v_gates ->> 'compares_live' IS DISTINCT FROM 'true'
                OR EXISTS (
                    SELECT 1
                    FROM jsonb_array_elements(e.result_json::jsonb -> 'variants') AS v (variant)
                    WHERE v.variant ->> 'definition_sha256' = v_live.definition_sha256
                        AND v.variant ->> 'is_live' = 'true'
                )
            )
        ORDER BY e.experiment_seq DESC
        LIMIT 1;
        IF v_experiment_id IS NULL THEN
            RETURN NEXT ROW(
                FALSE, v_sha256, NULL,
                format('no experiment on the golden set %s has passed the gate of %s with %s',
                    v_live.gate_set, v_key, v_version)
            )::llm.usp_promote_interrogation_result;
            RETURN;
        END IF;
    END IF;

    v_now := clock_timestamp();
    INSERT INTO llm.interrogation_event (
        interrogation_key, at_utc, event, actor, reason, definition_sha256, version, replaces_seq, experiment_id
    )
    VALUES (
        v_key, v_now, 'promoted', v_actor, nullif(btrim(usp_promote_interrogation.reason), ''), v_sha256, v_version,
        v_live.promotion_seq, v_experiment_id
    )
    RETURNING event_seq INTO v_seq;
    UPDATE llm.interrogation_live AS l
    SET
        definition_sha256 = v_sha256,
        version = v_version,
        promotion_seq = v_seq,
        promoted_utc = v_now,
        promoted_by = v_actor
    WHERE l.interrogation_key = v_key;
    RETURN NEXT ROW(TRUE, v_sha256, v_experiment_id, NULL)::llm.usp_promote_interrogation_result;
END;
$$;

CALL llm.grant_procedure('usp_promote_interrogation', 'llm_operator');
