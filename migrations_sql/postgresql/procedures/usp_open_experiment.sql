-- llm.usp_open_experiment: records an experiment on a golden set, with its own copy of the set's cases.
-- Promises: the copy is the set as it was at one moment. An experiment_id that is there already is answered and not
--   changed:
--   repeatable. A set without cases makes none: cases is 0. The jobs of batch_id are the experiment's from now on.
-- Called by: queue.py (evaluate, admin).
-- Locks: the set's cases while they are copied; the rows it adds.
CALL llm.drop_procedure('usp_open_experiment');

CREATE TYPE llm.usp_open_experiment_result AS (
    cases integer,
    is_new boolean
);

CREATE FUNCTION llm.usp_open_experiment(
    experiment_id uuid,
    set_name text,
    batch_id uuid,
    variants_json text,
    gates_json text,
    actor text,
    repeats integer DEFAULT 1,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_open_experiment_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_open_experiment.actor);
    v_cases integer;
    v_is_new boolean;
BEGIN
    IF usp_open_experiment.experiment_id IS NULL OR usp_open_experiment.batch_id IS NULL
        OR coalesce(usp_open_experiment.repeats, 0) NOT BETWEEN 1 AND 100
        OR NOT coalesce(llm.is_json_object(usp_open_experiment.variants_json), FALSE)
        OR NOT coalesce(llm.is_json_object(usp_open_experiment.gates_json), FALSE)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC057',
            MESSAGE = 'an id is missing, repeats is not 1 to 100, or a JSON parameter is no object';
    END IF;

    SELECT e.cases INTO v_cases FROM llm.experiment AS e WHERE e.experiment_id = usp_open_experiment.experiment_id;
    v_is_new := v_cases IS NULL;
    IF v_is_new THEN
        -- Held to the end, so that what is counted is what is copied.
        PERFORM 1
        FROM llm.golden_case AS g
        WHERE g.set_name = usp_open_experiment.set_name
        ORDER BY g.set_name, g.case_key
        FOR SHARE;

        INSERT INTO llm.experiment_case (
            experiment_id, case_no, case_key, interrogation_key, input_json, evidence_json, expected_json, matching_json
        )
        SELECT
            usp_open_experiment.experiment_id,
            row_number() OVER (ORDER BY g.case_seq) - 1,
            g.case_key,
            g.interrogation_key,
            g.input_json,
            g.evidence_json,
            g.expected_json,
            g.matching_json
        FROM llm.golden_case AS g
        WHERE g.set_name = usp_open_experiment.set_name
        ORDER BY g.case_seq;
        GET DIAGNOSTICS v_cases = ROW_COUNT;

        IF v_cases > 0 THEN
            INSERT INTO llm.experiment (
                experiment_id, set_name, batch_id, created_utc, created_by, reason, variants_json, gates_json, repeats,
                cases
            )
            VALUES (
                usp_open_experiment.experiment_id, usp_open_experiment.set_name, usp_open_experiment.batch_id,
                clock_timestamp(), v_actor, nullif(btrim(usp_open_experiment.reason), ''),
                usp_open_experiment.variants_json, usp_open_experiment.gates_json, usp_open_experiment.repeats, v_cases
            );
        END IF;
    END IF;

    RETURN NEXT ROW(v_cases, v_is_new AND v_cases > 0)::llm.usp_open_experiment_result;
END;
$$;

CALL llm.grant_procedure('usp_open_experiment', 'llm_operator');
