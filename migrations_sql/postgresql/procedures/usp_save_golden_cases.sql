-- llm.usp_save_golden_cases: saves up to 20,000 golden cases, all or none.
-- Promises: a case whose set and key are new is created; one that is there already is left alone when it is the same,
--   replaced when replaces is true, and otherwise refused: then nothing is saved at all. Repeatable.
--   cases_json: [{"n", "set_name", "case_key", "interrogation_key", "input_json", "evidence_json", "expected_json",
--   "matching_json"?, "from_run_id"?, "from_review_id"?}]; the *_json members are strings that contain JSON objects.
-- Answers: for each n its outcome: created, replaced, unchanged, exists (refused), skipped (because another exists).
-- Called by: queue.py (commands, admin).
-- Locks: the rows it changes, and the unique index of sets and keys.
CALL llm.drop_procedure('usp_save_golden_cases');

CREATE TYPE llm.usp_save_golden_cases_result AS (
    n integer,
    outcome varchar(40)
);

CREATE FUNCTION llm.usp_save_golden_cases(
    cases_json text,
    actor text,
    replaces boolean DEFAULT FALSE
)
RETURNS SETOF llm.usp_save_golden_cases_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_save_golden_cases.actor);
    v_replaces boolean := coalesce(usp_save_golden_cases.replaces, FALSE);
    v_now timestamptz := clock_timestamp();
    v_fits boolean;
    v_numbers integer[];
    v_outcomes text[];
BEGIN
    BEGIN
        SELECT
            coalesce(bool_and(
                c.n IS NOT NULL
                AND coalesce(char_length(c.set_name) BETWEEN 1 AND 200 AND c.set_name = btrim(c.set_name), FALSE)
                AND coalesce(char_length(c.case_key) BETWEEN 1 AND 200 AND c.case_key = btrim(c.case_key), FALSE)
                AND coalesce(
                    char_length(c.interrogation_key) BETWEEN 1 AND 200
                    AND c.interrogation_key = btrim(c.interrogation_key),
                    FALSE
                )
                AND coalesce(llm.is_json_object(c.input_json), FALSE)
                AND coalesce(llm.is_json_object(c.evidence_json), FALSE)
                AND coalesce(llm.is_json_object(c.expected_json), FALSE)
                AND (c.matching_json IS NULL OR llm.is_json_object(c.matching_json))
            ), FALSE)
            AND count(*) <= 20000
            AND count(DISTINCT c.n) = count(*)
            AND count(DISTINCT (c.set_name, c.case_key)) = count(*)
        INTO v_fits
        FROM json_to_recordset(usp_save_golden_cases.cases_json::json) AS c (
            n integer, set_name text, case_key text, interrogation_key text, input_json text, evidence_json text,
            expected_json text, matching_json text, from_run_id uuid, from_review_id uuid
        );
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'HC056', MESSAGE = 'cases_json is malformed: ' || SQLERRM;
    END;
    IF v_fits IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC056',
            MESSAGE = 'cases_json is malformed: not 1 to 20000 different cases, or one is out of bounds';
    END IF;

    -- In the order of sets and keys, so that two who save the same cases cannot wait for each other.
    PERFORM 1
    FROM llm.golden_case AS g
    WHERE (g.set_name::text, g.case_key::text) IN (
        SELECT c.set_name, c.case_key
        FROM json_to_recordset(usp_save_golden_cases.cases_json::json) AS c (set_name text, case_key text)
    )
    ORDER BY g.set_name, g.case_key
    FOR NO KEY UPDATE;

    SELECT
        array_agg(c.n ORDER BY c.n),
        array_agg(
            CASE
                WHEN g.case_id IS NULL THEN 'created'
                WHEN
                    g.interrogation_key = c.interrogation_key
                    AND g.input_json = c.input_json
                    AND g.evidence_json = c.evidence_json
                    AND g.expected_json = c.expected_json
                    AND g.matching_json IS NOT DISTINCT FROM c.matching_json
                    AND g.from_run_id IS NOT DISTINCT FROM c.from_run_id
                    AND g.from_review_id IS NOT DISTINCT FROM c.from_review_id
                    THEN 'unchanged'
                WHEN v_replaces THEN 'replaced'
                ELSE 'exists'
            END
            ORDER BY c.n
        )
    INTO v_numbers, v_outcomes
    FROM json_to_recordset(usp_save_golden_cases.cases_json::json) AS c (
        n integer, set_name text, case_key text, interrogation_key text, input_json text, evidence_json text,
        expected_json text, matching_json text, from_run_id uuid, from_review_id uuid
    )
    LEFT JOIN llm.golden_case AS g
        ON g.set_name = c.set_name AND g.case_key = c.case_key;

    IF 'exists' = ANY (v_outcomes) THEN
        RETURN QUERY
        SELECT o.n, CASE WHEN o.outcome = 'exists' THEN 'exists' ELSE 'skipped' END::varchar(40)
        FROM unnest(v_numbers, v_outcomes) AS o (n, outcome);
        RETURN;
    END IF;

    UPDATE llm.golden_case AS g
    SET
        interrogation_key = c.interrogation_key,
        input_json = c.input_json,
        evidence_json = c.evidence_json,
        expected_json = c.expected_json,
        matching_json = c.matching_json,
        from_run_id = c.from_run_id,
        from_review_id = c.from_review_id,
        changed_utc = v_now,
        changed_by = v_actor
    FROM json_to_recordset(usp_save_golden_cases.cases_json::json) AS c (
        n integer, set_name text, case_key text, interrogation_key text, input_json text, evidence_json text,
        expected_json text, matching_json text, from_run_id uuid, from_review_id uuid
    )
    INNER JOIN unnest(v_numbers, v_outcomes) AS o (n, outcome)
        ON o.n = c.n AND o.outcome = 'replaced'
    WHERE g.set_name = c.set_name AND g.case_key = c.case_key;

    INSERT INTO llm.golden_case (
        set_name, case_key, interrogation_key, input_json, evidence_json, expected_json, matching_json, from_run_id,
        from_review_id, created_utc, created_by, changed_utc, changed_by
    )
    SELECT
        c.set_name, c.case_key, c.interrogation_key, c.input_json, c.evidence_json, c.expected_json, c.matching_json,
        c.from_run_id, c.from_review_id, v_now, v_actor, v_now, v_actor
    FROM json_to_recordset(usp_save_golden_cases.cases_json::json) AS c (
        n integer, set_name text, case_key text, interrogation_key text, input_json text, evidence_json text,
        expected_json text, matching_json text, from_run_id uuid, from_review_id uuid
    )
    INNER JOIN unnest(v_numbers, v_outcomes) AS o (n, outcome)
        ON o.n = c.n AND o.outcome = 'created'
    ORDER BY c.n;

    RETURN QUERY
    SELECT o.n, o.outcome::varchar(40)
    FROM unnest(v_numbers, v_outcomes) AS o (n, outcome);
END;
$$;

CALL llm.grant_procedure('usp_save_golden_cases', 'llm_operator');
