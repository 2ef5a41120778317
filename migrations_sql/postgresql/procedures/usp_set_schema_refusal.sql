-- llm.usp_set_schema_refusal: records that the model server refuses a definition's output schema, or accepts it.
-- Promises: with why, the definition is marked refused since the first such call; without, it is not. changed false:
--   there is no such definition, or nothing changed.
-- Called by: a worker whose run was refused; check_interrogations.
-- Locks: the definition's row.
CALL llm.drop_procedure('usp_set_schema_refusal');

CREATE TYPE llm.usp_set_schema_refusal_result AS (
    changed boolean
);

CREATE FUNCTION llm.usp_set_schema_refusal(
    definition_sha256 text,
    why text DEFAULT NULL
)
RETURNS SETOF llm.usp_set_schema_refusal_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_why text := nullif(btrim(left(usp_set_schema_refusal.why, 2000)), '');
BEGIN
    IF usp_set_schema_refusal.definition_sha256 IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC019', MESSAGE = 'definition_sha256 is missing';
    END IF;

    UPDATE llm.interrogation AS i
    SET
        refused_utc = CASE WHEN v_why IS NULL THEN NULL ELSE clock_timestamp() END,
        refused_why = v_why
    WHERE i.definition_sha256 = usp_set_schema_refusal.definition_sha256
        AND (i.refused_utc IS NULL) IS DISTINCT FROM (v_why IS NULL);
    RETURN NEXT ROW(FOUND)::llm.usp_set_schema_refusal_result;
END;
$$;

CALL llm.grant_procedure('usp_set_schema_refusal', 'llm_worker', 'llm_operator');
