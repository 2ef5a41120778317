-- llm.usp_roll_back_interrogation: makes the version live again that was promoted before the live one.
-- Promises: no gate is asked, since the version was live before. The next call goes one promotion further back.
--   Refused, with why, if none was promoted before.
-- Called by: maintainers (admin, promote).
-- Locks: the key's row of llm.interrogation_live.
CALL llm.drop_procedure('usp_roll_back_interrogation');

CREATE TYPE llm.usp_roll_back_interrogation_result AS (
    promoted boolean,
    definition_sha256 text,
    version text,
    why text
);

CREATE FUNCTION llm.usp_roll_back_interrogation(
    interrogation_key text,
    actor text,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_roll_back_interrogation_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_roll_back_interrogation.actor);
    v_key text := btrim(usp_roll_back_interrogation.interrogation_key);
    v_live llm.interrogation_live;
    v_before llm.interrogation_event;
    v_now timestamptz;
BEGIN
    IF coalesce(char_length(v_key), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC004', MESSAGE = 'interrogation_key is missing, blank or longer than 200 characters';
    END IF;

    SELECT l.* INTO v_live FROM llm.interrogation_live AS l WHERE l.interrogation_key = v_key FOR NO KEY UPDATE;
    SELECT b.*
    INTO v_before
    FROM llm.interrogation_event AS e
    JOIN llm.interrogation_event AS b ON b.event_seq = e.replaces_seq
    WHERE e.event_seq = v_live.promotion_seq;
    IF v_before.event_seq IS NULL THEN
        RETURN NEXT ROW(
            FALSE, v_live.definition_sha256, v_live.version,
            format('no version of %s was promoted before the live one', v_key)
        )::llm.usp_roll_back_interrogation_result;
        RETURN;
    END IF;

    v_now := clock_timestamp();
    INSERT INTO llm.interrogation_event (
        interrogation_key, at_utc, event, actor, reason, definition_sha256, version, replaces_seq
    )
    VALUES (
        v_key, v_now, 'rolled_back', v_actor, nullif(btrim(usp_roll_back_interrogation.reason), ''),
        v_before.definition_sha256, v_before.version, v_live.promotion_seq
    );
    UPDATE llm.interrogation_live AS l
    SET
        definition_sha256 = v_before.definition_sha256,
        version = v_before.version,
        promotion_seq = v_before.event_seq,
        promoted_utc = v_now,
        promoted_by = v_actor
    WHERE l.interrogation_key = v_key;
    RETURN NEXT ROW(TRUE, v_before.definition_sha256, v_before.version, NULL)::llm.usp_roll_back_interrogation_result;
END;
$$;

CALL llm.grant_procedure('usp_roll_back_interrogation', 'llm_operator');
