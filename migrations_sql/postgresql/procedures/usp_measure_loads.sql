-- llm.usp_measure_loads: stores how long each model takes to load, from the newest max_runs runs: llm.model.load_ms is
--   the median of a model's last nine loads of more than a second (shorter ones did not load anything).
-- Promises: a model without such a load among these runs keeps its value. Returns the number of changed values.
-- Called by: schedules.
-- Locks: none while nothing changed; else the claims' lock on all models, exclusively, as usp_set_model.
CALL llm.drop_procedure('usp_measure_loads');

CREATE TYPE llm.usp_measure_loads_result AS (
    measured integer
);

CREATE FUNCTION llm.usp_measure_loads(
    max_runs integer DEFAULT 5000
)
RETURNS SETOF llm.usp_measure_loads_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_models text[];
    v_load_ms bigint[];
    v_measured integer := 0;
BEGIN
    IF coalesce(usp_measure_loads.max_runs NOT BETWEEN 1 AND 100000, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC047', MESSAGE = 'max_runs is not between 1 and 100000';
    END IF;

    SELECT array_agg(measured.model), array_agg(measured.load_ms)
    INTO v_models, v_load_ms
    FROM (
        SELECT
            nine.model,
            nine.load_duration_ns / 1000000 AS load_ms,
            row_number() OVER (PARTITION BY nine.model ORDER BY nine.load_duration_ns, nine.run_seq) AS place,
            count(*) OVER (PARTITION BY nine.model) AS loads
        FROM (
            SELECT
                v.run_seq, v.model_name AS model, v.load_duration_ns,
                row_number() OVER (PARTITION BY v.model_name ORDER BY v.run_seq DESC) AS place
            FROM llm.v_run_metrics AS v
            WHERE v.run_seq > (SELECT coalesce(max(r.run_seq), 0) - usp_measure_loads.max_runs FROM llm.run AS r)
                AND v.model_name IS NOT NULL
                AND v.load_duration_ns > 1000000000
        ) AS nine
        WHERE nine.place <= 9
    ) AS measured
    LEFT JOIN llm.model AS m ON m.model = measured.model
    WHERE measured.place = (measured.loads + 1) / 2 AND m.load_ms IS DISTINCT FROM measured.load_ms;

    IF v_models IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('llm.model', 0));
        INSERT INTO llm.model AS m (model, load_ms)
        SELECT u.model, u.load_ms
        FROM unnest(v_models, v_load_ms) AS u (model, load_ms)
        ON CONFLICT (model) DO UPDATE SET load_ms = excluded.load_ms;
        GET DIAGNOSTICS v_measured = ROW_COUNT;
    END IF;

    RETURN NEXT ROW(v_measured)::llm.usp_measure_loads_result;
END;
$$;

CALL llm.grant_procedure('usp_measure_loads', 'llm_operator');
