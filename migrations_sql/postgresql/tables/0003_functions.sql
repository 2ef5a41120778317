-- What the other scripts lean on: re-installing a procedure whatever its signature was, granting to roles that may be
-- missing, judging JSON text, reading arguments. Not for callers: EXECUTE is revoked from PUBLIC.

-- Drops every function llm.<procedure_name>, whatever its parameters, and the composite types llm.<procedure_name>_*,
-- so that a procedure's script can be run again after its signature or its result columns changed.
CREATE OR REPLACE PROCEDURE llm.drop_procedure(procedure_name text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_dropped text;
BEGIN
    FOR v_dropped IN
        SELECT p.oid::regprocedure::text
        FROM pg_proc AS p
        WHERE p.pronamespace = 'llm'::regnamespace
          AND p.proname = drop_procedure.procedure_name
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_dropped;
    END LOOP;
    FOR v_dropped IN
        SELECT t.oid::regtype::text
        FROM pg_type AS t
        JOIN pg_class AS c ON c.oid = t.typrelid AND c.relkind = 'c'
        WHERE t.typnamespace = 'llm'::regnamespace
          AND starts_with(t.typname::text, drop_procedure.procedure_name || '_')
    LOOP
        EXECUTE 'DROP TYPE ' || v_dropped;
    END LOOP;
END;
$$;

-- Takes EXECUTE on llm.<procedure_name> from PUBLIC and gives it to the roles named, as far as they exist.
CREATE OR REPLACE PROCEDURE llm.grant_procedure(procedure_name text, VARIADIC roles text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role text;
BEGIN
    EXECUTE format('REVOKE ALL ON FUNCTION llm.%I FROM PUBLIC', procedure_name);
    FOR v_role IN SELECT rolname FROM pg_roles WHERE rolname = ANY (roles) LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION llm.%I TO %I', procedure_name, v_role);
    END LOOP;
END;
$$;

-- Whether a text is a JSON object. (IS JSON and pg_input_is_valid are younger than PostgreSQL 15.)
CREATE OR REPLACE FUNCTION llm.is_json_object(json_text text)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce(json_typeof(json_text::json) = 'object', FALSE);
EXCEPTION
    WHEN data_exception THEN
        RETURN FALSE;
END;
$$;

-- A time as the events' detail_json writes it: ISO 8601, microseconds, Z.
CREATE OR REPLACE FUNCTION llm.utc_text(at_utc timestamptz)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.to_char(at_utc AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- The operators' list of jobs, [{"job_id", "expected_status"?}, ...], as two arrays in its order; a job named twice
-- counts once, as first said. Raises HC010 (not such a list) and HC023 (more than 500 jobs in one call).
CREATE OR REPLACE FUNCTION llm.read_job_list(jobs_json text, OUT job_ids uuid[], OUT expected_statuses text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT array_agg(listed.job_id ORDER BY listed.n), array_agg(listed.expected_status ORDER BY listed.n)
    INTO job_ids, expected_statuses
    FROM (
        SELECT DISTINCT ON (e.job_id) e.job_id, e.expected_status, e.n
        FROM ROWS FROM (
            json_to_recordset(read_job_list.jobs_json::json) AS (job_id uuid, expected_status text)
        ) WITH ORDINALITY AS e (job_id, expected_status, n)
        ORDER BY e.job_id, e.n
    ) AS listed;
    IF read_job_list.jobs_json IS NULL OR array_position(job_ids, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC010', MESSAGE = 'jobs_json is missing, or an element has no job_id';
    END IF;
    IF json_array_length(read_job_list.jobs_json::json) > 500 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC023', MESSAGE = 'jobs_json names more than 500 jobs';
    END IF;
EXCEPTION
    WHEN data_exception THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC010', MESSAGE = 'jobs_json is not an array of objects with a job_id: ' || SQLERRM;
END;
$$;

-- The operators' actor without blanks at its ends. Raises HC014.
CREATE OR REPLACE FUNCTION llm.read_actor(actor text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(char_length(btrim(actor)), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC014', MESSAGE = 'actor is missing, blank or longer than 200 characters';
    END IF;
    RETURN btrim(actor);
END;
$$;

REVOKE ALL ON PROCEDURE llm.drop_procedure(text) FROM public;
REVOKE ALL ON PROCEDURE llm.grant_procedure(text, text[]) FROM public;
REVOKE ALL ON FUNCTION llm.is_json_object(text) FROM public;
REVOKE ALL ON FUNCTION llm.utc_text(timestamptz) FROM public;
REVOKE ALL ON FUNCTION llm.read_job_list(text) FROM public;
REVOKE ALL ON FUNCTION llm.read_actor(text) FROM public;
