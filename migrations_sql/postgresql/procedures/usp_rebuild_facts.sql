-- llm.settle_facts: updates is_current and conflict_id of an entity's facts after some were added or removed.
-- Promises: of the runs with the same interrogation, entity and evidence the facts of the newest (run_seq) alone are
--   current; current facts of one entity and key whose value_key differ share a conflict_id, which they keep, and wait
--   for a review unless they were decided on. A fact of a run that names no entity (type and id) only conflicts within
--   its run. Not for callers.
-- Called by: store_facts; usp_review_facts; usp_purge_jobs, since deleted facts no longer supersede older ones.
-- Locks: the entity's slot is held by the caller; the facts.
CALL llm.drop_procedure('settle_facts');

CREATE FUNCTION llm.settle_facts(
    run_id uuid,
    interrogation_key text,
    entity_type text,
    entity_id text,
    evidence_sha256 text
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_type text := settle_facts.entity_type;
    v_id text := settle_facts.entity_id;
    v_newest bigint;
    v_sets bigint;
    -- Checked first, here and below: starting an update is costly, and there is nearly always nothing to change.
    v_disagreeing text[];
BEGIN
    IF v_type IS NULL OR v_id IS NULL THEN
        v_disagreeing := ARRAY(
            SELECT one.fact_key
            FROM llm.fact AS one
            WHERE one.run_id = settle_facts.run_id
                AND one.value_key IS NOT NULL
                AND one.review_status <> 'REJECTED'
            GROUP BY one.fact_key
            HAVING min(one.value_key) <> max(one.value_key)
        );
        IF v_disagreeing <> '{}' THEN
            UPDATE llm.fact AS f
            SET
                conflict_id = llm.conflict_id_of('run', settle_facts.run_id::text, f.fact_key),
                review_priority = llm.review_priority_of(f.job_id, f.review_status, f.review_priority)
            WHERE f.run_id = settle_facts.run_id
                AND f.fact_key = ANY (v_disagreeing)
                AND f.value_key IS NOT NULL
                AND f.conflict_id IS NULL;
        END IF;
        RETURN;
    END IF;

    IF settle_facts.evidence_sha256 IS NOT NULL THEN
        SELECT max(s.run_seq), count(*)
        INTO v_newest, v_sets
        FROM llm.fact_set AS s
        WHERE s.entity_id = v_id
            AND s.entity_type = v_type
            AND s.interrogation_key = settle_facts.interrogation_key
            AND s.evidence_sha256 = settle_facts.evidence_sha256;

        -- A run that is the only one of its kind supersedes no other.
        IF v_sets > 1 OR settle_facts.run_id IS NULL THEN
            UPDATE llm.fact AS f
            SET is_current = (s.run_seq = v_newest)
            FROM llm.fact_set AS s
            WHERE s.entity_id = v_id
                AND s.entity_type = v_type
                AND s.interrogation_key = settle_facts.interrogation_key
                AND s.evidence_sha256 = settle_facts.evidence_sha256
                AND f.run_id = s.run_id
                AND f.is_current <> (s.run_seq = v_newest);
        END IF;
    END IF;

    v_disagreeing := ARRAY(
        SELECT one.fact_key
        FROM llm.fact AS one
        WHERE one.entity_id = v_id
            AND one.entity_type = v_type
            AND one.is_current
            AND one.value_key IS NOT NULL
            AND one.review_status <> 'REJECTED'
        GROUP BY one.fact_key
        HAVING min(one.value_key) <> max(one.value_key)
    );
    IF v_disagreeing <> '{}' THEN
        UPDATE llm.fact AS f
        SET
            conflict_id = llm.conflict_id_of(v_type, v_id, f.fact_key),
            review_priority = llm.review_priority_of(f.job_id, f.review_status, f.review_priority)
        WHERE f.entity_id = v_id
            AND f.entity_type = v_type
            AND f.fact_key = ANY (v_disagreeing)
            AND f.is_current
            AND f.value_key IS NOT NULL
            AND f.conflict_id IS NULL;
    END IF;
END;
$$;

REVOKE ALL ON FUNCTION llm.settle_facts FROM public;

-- llm.store_facts: writes the facts of one SUCCEEDED run, as facts_json has them, and settles their entity.
-- Promises: afterwards the run has exactly these facts. One that existed with the same fact_index, value and quote
--   keeps its fact_id and its review; any other is new. Raises HC012. Not for callers.
-- Called by: usp_complete_job (is_new: the run has none yet), usp_rebuild_facts.
-- Locks: the job's row is held by the caller; the slot of the run's entity, so that of two who store facts of one
--   entity the second sees the first's; then fact_set and fact.
CALL llm.drop_procedure('store_facts');

CREATE FUNCTION llm.store_facts(
    job_id uuid,
    run_id uuid,
    run_seq bigint,
    interrogation_key text,
    entity_type text,
    entity_id text,
    evidence_sha256 text,
    facts_json text,
    stored_by text,
    is_new boolean
)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_first_id uuid := gen_random_uuid();
    v_kept integer[] := '{}';
    v_count integer;
    v_priority integer;
    v_sample_percent numeric;
BEGIN
    SELECT j.priority INTO v_priority FROM llm.job AS j WHERE j.job_id = store_facts.job_id;
    v_sample_percent := coalesce(
        (
            SELECT p.sample_percent
            FROM llm.review_policy AS p
            WHERE p.interrogation_key = store_facts.interrogation_key
            ORDER BY p.policy_seq DESC
            LIMIT 1
        ),
        2
    );

    PERFORM 1
    FROM llm.entity_lock AS l
    WHERE l.slot = llm.entity_slot(store_facts.entity_type, store_facts.entity_id)
    FOR NO KEY UPDATE;

    BEGIN
        IF NOT store_facts.is_new THEN
            DELETE FROM llm.fact AS f
            WHERE f.run_id = store_facts.run_id
                AND f.proof <> 'person'
                AND NOT EXISTS (
                    SELECT 1
                    FROM json_populate_recordset(NULL::llm.fact, store_facts.facts_json::json) AS n
                    WHERE n.fact_index = f.fact_index
                        AND n.value IS NOT DISTINCT FROM f.value
                        AND n.quote IS NOT DISTINCT FROM f.quote
                );

            UPDATE llm.fact AS f
            SET
                path = n.path,
                fact_key = n.fact_key,
                -- For a corrected fact, this is the key of the corrected value.
                value_key = CASE WHEN f.review_status = 'CORRECTED' THEN f.value_key ELSE n.value_key END,
                evidence_id = n.evidence_id,
                evidence_ids = CASE WHEN n.evidence_ids LIKE '[%' THEN n.evidence_ids END,
                quote_start = n.quote_start,
                quote_end = n.quote_end,
                occurrences = n.occurrences,
                confidence = n.confidence,
                proof = n.proof,
                verdict = n.verdict,
                why = n.why,
                conflict_id = CASE
                    WHEN f.review_status <> 'CORRECTED'
                        AND (n.value_key IS NULL OR n.fact_key IS DISTINCT FROM f.fact_key)
                        THEN NULL
                    ELSE f.conflict_id
                END,
                review_status = CASE
                    WHEN f.review_status NOT IN ('NONE', 'OPEN') OR f.verdict = n.verdict THEN f.review_status
                    WHEN n.verdict = 'SUPPORTED' THEN 'NONE'
                    ELSE 'OPEN'
                END,
                review_priority = CASE
                    WHEN f.review_status NOT IN ('NONE', 'OPEN') THEN NULL
                    WHEN n.verdict <> 'SUPPORTED' OR llm.is_in_review_sample(f.fact_id, v_sample_percent)
                        THEN coalesce(f.review_priority, v_priority)
                    WHEN f.review_round > 0 OR f.conflict_id IS NOT NULL THEN f.review_priority
                END
            FROM json_populate_recordset(NULL::llm.fact, store_facts.facts_json::json) AS n
            WHERE f.run_id = store_facts.run_id AND f.fact_index = n.fact_index;

            v_kept := ARRAY(SELECT f.fact_index FROM llm.fact AS f WHERE f.run_id = store_facts.run_id);
        END IF;

        INSERT INTO llm.fact (
            fact_id, run_id, job_id, fact_index, path, interrogation_key, entity_type, entity_id, fact_key, value,
            value_key, quote, evidence_id, evidence_ids, quote_start, quote_end, occurrences, confidence, proof,
            verdict, why, is_current, review_status, review_priority
        )
        SELECT
            -- One random id per call with a counter in its last two bytes, so that its facts are adjacent in the index.
            (left(v_first_id::text, 32) || lpad(to_hex(n.ordinality), 4, '0'))::uuid,
            store_facts.run_id, store_facts.job_id, n.fact_index, n.path, store_facts.interrogation_key,
            store_facts.entity_type, store_facts.entity_id, n.fact_key, n.value, n.value_key, n.quote,
            n.evidence_id, CASE WHEN n.evidence_ids LIKE '[%' THEN n.evidence_ids END,
            n.quote_start, n.quote_end, n.occurrences, n.confidence, n.proof,
            -- Values out of range get no verdict, which violates a constraint. The same as in check_facts, which checks
            -- facts that are not stored.
            CASE
                WHEN n.fact_index >= 0 AND n.occurrences >= 0 AND coalesce(n.confidence BETWEEN 0 AND 100, TRUE)
                    AND CASE
                        WHEN n.evidence_id IS NULL THEN n.quote_start IS NULL AND n.quote_end IS NULL
                        ELSE coalesce(n.quote_start >= 0 AND n.quote_end >= n.quote_start, FALSE)
                    END
                    THEN n.verdict
            END,
            n.why, TRUE, CASE WHEN n.verdict = 'SUPPORTED' THEN 'NONE' ELSE 'OPEN' END,
            CASE
                WHEN n.verdict <> 'SUPPORTED' OR llm.is_in_review_sample(new_one.fact_id, v_sample_percent)
                    THEN v_priority
            END
        FROM json_populate_recordset(NULL::llm.fact, store_facts.facts_json::json) WITH ORDINALITY AS n
        -- One random id a call, its last two bytes counting: neighbours in the index, not strangers.
        CROSS JOIN LATERAL (
            SELECT (left(v_first_id::text, 32) || lpad(to_hex(n.ordinality), 4, '0'))::uuid AS fact_id
        ) AS new_one
        WHERE (n.fact_index = ANY (v_kept)) IS NOT TRUE;
        GET DIAGNOSTICS v_count = ROW_COUNT;
    EXCEPTION
        WHEN not_null_violation THEN
            RAISE EXCEPTION USING
                ERRCODE = 'HC012', MESSAGE = 'facts_json is malformed: a member is missing or out of bounds';
        WHEN data_exception OR check_violation OR unique_violation THEN
            RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'facts_json is malformed: ' || SQLERRM;
    END;
    IF NOT store_facts.is_new THEN
        v_count := json_array_length(store_facts.facts_json::json);
    END IF;
    IF v_count > 10000 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'facts_json is malformed: there are more than 10000 facts';
    END IF;

    IF NOT store_facts.is_new THEN
        DELETE FROM llm.fact_set AS s WHERE s.run_id = store_facts.run_id;
    END IF;
    INSERT INTO llm.fact_set (
        run_id, run_seq, interrogation_key, entity_type, entity_id, evidence_sha256, fact_count, stored_utc, stored_by
    )
    VALUES (
        store_facts.run_id, store_facts.run_seq, store_facts.interrogation_key, store_facts.entity_type,
        store_facts.entity_id, store_facts.evidence_sha256, v_count, clock_timestamp(), store_facts.stored_by
    );

    PERFORM llm.settle_facts(
        store_facts.run_id, store_facts.interrogation_key, store_facts.entity_type, store_facts.entity_id,
        store_facts.evidence_sha256
    );
    RETURN v_count;
END;
$$;

REVOKE ALL ON FUNCTION llm.store_facts FROM public;

-- llm.check_facts: raises HC012 if facts_json could not be stored, as storing it would.
-- Called by: usp_complete_job, if nothing is stored.
CALL llm.drop_procedure('check_facts');

CREATE FUNCTION llm.check_facts(facts_json text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fits boolean;
BEGIN
    SELECT
        coalesce(bool_and(
            n.fact_index >= 0 AND n.path IS NOT NULL AND n.proof IS NOT NULL AND n.verdict IS NOT NULL
            AND n.occurrences >= 0 AND coalesce(n.confidence BETWEEN 0 AND 100, TRUE)
            AND CASE
                WHEN n.evidence_id IS NULL THEN n.quote_start IS NULL AND n.quote_end IS NULL
                ELSE coalesce(n.quote_start >= 0 AND n.quote_end >= n.quote_start, FALSE)
            END
        ), TRUE)
        AND count(DISTINCT n.fact_index) = count(*) AND count(n.occurrences) = count(*) AND count(*) <= 10000
    INTO v_fits
    FROM json_populate_recordset(NULL::llm.fact, check_facts.facts_json::json) AS n;
    IF NOT v_fits THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC012',
            MESSAGE = 'facts_json is malformed: a member is missing or out of bounds, a fact_index is there twice, '
                'or there are more than 10000 facts';
    END IF;
EXCEPTION
    WHEN data_exception OR check_violation THEN
        RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'facts_json is malformed: ' || SQLERRM;
END;
$$;

REVOKE ALL ON FUNCTION llm.check_facts FROM public;

-- llm.usp_rebuild_facts: replaces the facts of a run that SUCCEEDED earlier.
-- Promises: those of store_facts; repeating it changes nothing. A run that is not SUCCEEDED is refused, and why
--   says so.
-- Called by: the rebuilding of earlier runs' facts.
-- Locks: the job's row, then those of store_facts.
CALL llm.drop_procedure('usp_rebuild_facts');

CREATE TYPE llm.usp_rebuild_facts_result AS (
    stored boolean,
    fact_count integer,
    why text
);

CREATE FUNCTION llm.usp_rebuild_facts(
    run_id uuid,
    facts_json text,
    actor text
)
RETURNS SETOF llm.usp_rebuild_facts_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_rebuild_facts.actor);
    v_job_id uuid;
    v_job record;
    v_run record;
BEGIN
    IF usp_rebuild_facts.run_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC015', MESSAGE = 'run_id is missing';
    END IF;
    IF usp_rebuild_facts.facts_json IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC012', MESSAGE = 'facts_json is missing';
    END IF;
    PERFORM llm.check_facts(usp_rebuild_facts.facts_json);

    SELECT r.job_id INTO v_job_id FROM llm.run AS r WHERE r.run_id = usp_rebuild_facts.run_id;
    SELECT j.interrogation_key, j.entity_type, j.entity_id
    INTO v_job
    FROM llm.job AS j
    WHERE j.job_id = v_job_id
    FOR NO KEY UPDATE;
    SELECT r.run_seq, r.status::text AS status, r.evidence_sha256::text AS evidence_sha256
    INTO v_run
    FROM llm.run AS r
    WHERE r.run_id = usp_rebuild_facts.run_id;
    IF NOT FOUND THEN
        RETURN NEXT ROW(FALSE, NULL, 'there is no such run')::llm.usp_rebuild_facts_result;
        RETURN;
    END IF;
    IF v_run.status <> 'SUCCEEDED' THEN
        RETURN NEXT ROW(FALSE, NULL, 'the run is ' || v_run.status)::llm.usp_rebuild_facts_result;
        RETURN;
    END IF;

    RETURN NEXT ROW(
        TRUE,
        llm.store_facts(
            v_job_id, usp_rebuild_facts.run_id, v_run.run_seq, v_job.interrogation_key, v_job.entity_type,
            v_job.entity_id, v_run.evidence_sha256, usp_rebuild_facts.facts_json, v_actor, FALSE
        ),
        NULL
    )::llm.usp_rebuild_facts_result;
END;
$$;

CALL llm.grant_procedure('usp_rebuild_facts', 'llm_operator');
