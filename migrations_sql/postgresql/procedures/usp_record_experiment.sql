-- llm.usp_record_experiment: keeps the result of an experiment, and whether all its gates passed.
-- Promises: the first result stays; another one is refused (recorded false). No such experiment: recorded false.
-- Called by: queue.py (evaluate, admin), once all its jobs have ended.
-- Locks: the experiment's row.
CALL llm.drop_procedure('usp_record_experiment');

CREATE TYPE llm.usp_record_experiment_result AS (
    recorded boolean
);

CREATE FUNCTION llm.usp_record_experiment(
    experiment_id uuid,
    result_json text,
    is_passed boolean
)
RETURNS SETOF llm.usp_record_experiment_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF usp_record_experiment.is_passed IS NULL
        OR NOT coalesce(llm.is_json_object(usp_record_experiment.result_json), FALSE)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'HC058', MESSAGE = 'is_passed is missing, or result_json is no JSON object';
    END IF;

    UPDATE llm.experiment AS e
    SET
        result_json = usp_record_experiment.result_json,
        is_passed = usp_record_experiment.is_passed,
        scored_utc = clock_timestamp()
    WHERE e.experiment_id = usp_record_experiment.experiment_id AND e.scored_utc IS NULL;

    RETURN NEXT ROW(FOUND)::llm.usp_record_experiment_result;
END;
$$;

CALL llm.grant_procedure('usp_record_experiment', 'llm_operator');
