-- llm.usp_register_interrogation: stores a definition by its hash.
-- Promises: registered true if the definition is stored afterwards (why 'already registered': it was before); a
--   changed definition with an existing version is refused: registered false, and why.
-- Called by: workers and the web at their start, for every interrogation in their registry.
-- Locks: the row it inserts; somebody who is just registering the same is waited for.
CALL llm.drop_procedure('usp_register_interrogation');

CREATE TYPE llm.usp_register_interrogation_result AS (
    registered boolean,
    why text
);

CREATE FUNCTION llm.usp_register_interrogation(
    definition_sha256 text,
    interrogation_key text,
    version text,
    prompt_template text,
    output_schema_json text,
    rubric text
)
RETURNS SETOF llm.usp_register_interrogation_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_key text := btrim(usp_register_interrogation.interrogation_key);
    v_version text := btrim(usp_register_interrogation.version);
    v_held record;
BEGIN
    IF coalesce(char_length(v_key), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC004', MESSAGE = 'interrogation_key is missing, blank or longer than 200 characters';
    END IF;
    IF coalesce(
            char_length(usp_register_interrogation.definition_sha256) <> 64
            OR usp_register_interrogation.definition_sha256 !~ '^[0-9a-f]+$',
            TRUE
        )
        OR coalesce(char_length(v_version), 0) NOT BETWEEN 1 AND 40
        OR usp_register_interrogation.prompt_template IS NULL
        OR NOT llm.is_json_object(usp_register_interrogation.output_schema_json)
        OR usp_register_interrogation.rubric IS NULL
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC019',
            MESSAGE = 'definition_sha256 (64 hex), version (1 to 40 characters), prompt_template, output_schema_json '
                '(a JSON object) or rubric is missing or malformed';
    END IF;

    INSERT INTO llm.interrogation (
        definition_sha256, interrogation_key, version, prompt_template, output_schema_json, rubric, registered_utc
    )
    VALUES (
        usp_register_interrogation.definition_sha256, v_key, v_version, usp_register_interrogation.prompt_template,
        usp_register_interrogation.output_schema_json, usp_register_interrogation.rubric, clock_timestamp()
    )
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN NEXT ROW(TRUE, NULL)::llm.usp_register_interrogation_result;
        RETURN;
    END IF;

    -- Rows are never changed or removed here, so the conflicting row still exists.
    SELECT i.definition_sha256, i.interrogation_key, i.version
    INTO v_held
    FROM llm.interrogation AS i
    WHERE i.definition_sha256 = usp_register_interrogation.definition_sha256
        OR (i.interrogation_key = v_key AND i.version = v_version)
    ORDER BY (i.interrogation_key = v_key AND i.version = v_version) DESC
    LIMIT 1;
    IF v_held.interrogation_key <> v_key OR v_held.version <> v_version THEN
        RETURN NEXT ROW(
            FALSE, format('this hash is registered as %s version %s', v_held.interrogation_key, v_held.version)
        )::llm.usp_register_interrogation_result;
    ELSIF v_held.definition_sha256 <> usp_register_interrogation.definition_sha256 THEN
        RETURN NEXT ROW(
            FALSE,
            format(
                '%s version %s is registered with another definition (%s): a changed definition needs a new version',
                v_key, v_version, v_held.definition_sha256
            )
        )::llm.usp_register_interrogation_result;
    ELSE
        RETURN NEXT ROW(TRUE, 'already registered')::llm.usp_register_interrogation_result;
    END IF;
END;
$$;

CALL llm.grant_procedure('usp_register_interrogation', 'llm_worker', 'llm_operator');
