-- llm.usp_set_gate: says what a version of an interrogation has to pass before it can be promoted: the gates of
--   gates_json, {"gates": ["f1>=0.9", ...], "compares_live": false}, on the golden set set_name. Both null: nothing.
--   compares_live says that a gate compares with the live version.
-- Promises: every promotion after this call goes by it; what is live stays live. changed false: it was so already.
-- Called by: maintainers (admin, promote).
-- Locks: the key's row of llm.interrogation_live.
CALL llm.drop_procedure('usp_set_gate');

CREATE TYPE llm.usp_set_gate_result AS (
    changed boolean
);

CREATE FUNCTION llm.usp_set_gate(
    interrogation_key text,
    actor text,
    set_name text DEFAULT NULL,
    gates_json text DEFAULT NULL,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_set_gate_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_set_gate.actor);
    v_key text := btrim(usp_set_gate.interrogation_key);
    v_set text := nullif(btrim(usp_set_gate.set_name), '');
    v_gates text := usp_set_gate.gates_json;
    v_old record;
BEGIN
    IF coalesce(char_length(v_key), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC004', MESSAGE = 'interrogation_key is missing, blank or longer than 200 characters';
    END IF;
    IF (v_set IS NULL) <> (v_gates IS NULL)
        OR char_length(v_set) > 200
        OR (v_gates IS NOT NULL AND NOT llm.is_json_object(v_gates))
        OR (v_gates IS NOT NULL AND coalesce(jsonb_typeof(v_gates::jsonb -> 'gates'), '') <> 'array')
        OR (v_gates IS NOT NULL AND v_gates::jsonb -> 'gates' = '[]'::jsonb)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC064',
            MESSAGE = 'a gate needs set_name (up to 200 characters) and gates_json, {"gates": [...]} with at least one';
    END IF;

    INSERT INTO llm.interrogation_live (interrogation_key) VALUES (v_key) ON CONFLICT DO NOTHING;
    SELECT l.gate_set, l.gates_json
    INTO v_old
    FROM llm.interrogation_live AS l
    WHERE l.interrogation_key = v_key
    FOR NO KEY UPDATE;
    IF v_old.gate_set IS NOT DISTINCT FROM v_set AND v_old.gates_json::text IS NOT DISTINCT FROM v_gates THEN
        RETURN NEXT ROW(FALSE)::llm.usp_set_gate_result;
        RETURN;
    END IF;

    UPDATE llm.interrogation_live AS l
    SET
        gate_set = v_set,
        gates_json = v_gates
    WHERE l.interrogation_key = v_key;
    INSERT INTO llm.interrogation_event (interrogation_key, at_utc, event, actor, reason, detail_json)
    VALUES (
        v_key, clock_timestamp(), 'gate_changed', v_actor, nullif(btrim(usp_set_gate.reason), ''),
        json_build_object('set', v_set, 'gates', v_gates::json -> 'gates')::text
    );
    RETURN NEXT ROW(TRUE)::llm.usp_set_gate_result;
END;
$$;

CALL llm.grant_procedure('usp_set_gate', 'llm_operator');
