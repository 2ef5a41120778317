-- llm.usp_set_subjects: brings up to 500 subjects of a derivation to what a comparison with its source found, and
--   queues their jobs, all or nothing.
-- Promises: an element of subjects_json has entity_type, entity_id and a state:
--   QUEUED: was asked, with change_token, evidence_sha256, definition_sha256, model and job_id, whose job is an element
--     of jobs_json (as usp_enqueue_jobs takes them) or exists already. A job_id is made once, so what was asked once is
--     not asked again; the subject takes the state of that job.
--   CURRENT: is as its newest job was asked; change_token is kept, and a retired subject comes back.
--   MISSING: is to be asked, but not yet. STALE: its answer is out of date, stale_because says why; asked:
--     counts as a wish of its own, which only a new job fulfils.
--   RETIRED: is gone (why null), or a rule leaves it out (why). With the policy 'retire' its answer is no longer used.
--   The answer in use stays until the next one succeeded. Other answers in use, and subjects that are gone or back, are
--   queued for delivery. changed: the number of elements. Raises HC060, HC061, and
--   what usp_enqueue_jobs raises.
-- Called by: queue.py (derive apply, ask, schedules).
-- Locks: those of usp_enqueue_jobs; then the subjects in subject_seq order, and those it adds in the order of entities.
CALL llm.drop_procedure('usp_set_subjects');

CREATE TYPE llm.usp_set_subjects_element AS (
    entity_type text,
    entity_id text,
    state text,
    stale_because text,
    why text,
    change_token text,
    evidence_sha256 text,
    definition_sha256 text,
    model text,
    job_id uuid
);

CREATE TYPE llm.usp_set_subjects_result AS (
    changed integer
);

CREATE FUNCTION llm.usp_set_subjects(
    derivation_key text,
    subjects_json text,
    actor text,
    jobs_json text DEFAULT NULL,
    batch_id uuid DEFAULT NULL,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_set_subjects_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'  -- a time without an offset is UTC
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_set_subjects.actor);
    v_derivation llm.derivation;
    v_told llm.usp_set_subjects_element[];
    v_seqs bigint[];
    -- Subjects that are gone or back.
    v_turned_types text[];
    v_turned_ids text[];
    v_now timestamptz;
BEGIN
    BEGIN
        v_told := ARRAY(
            SELECT ROW(
                btrim(e.entity_type), btrim(e.entity_id), e.state, e.stale_because, e.why, e.change_token,
                e.evidence_sha256, e.definition_sha256, e.model, e.job_id
            )::llm.usp_set_subjects_element
            FROM json_to_recordset(usp_set_subjects.subjects_json::json) AS e (
                entity_type text, entity_id text, state text, stale_because text, why text, change_token text,
                evidence_sha256 text, definition_sha256 text, model text, job_id uuid
            )
            ORDER BY btrim(e.entity_type) COLLATE "C", btrim(e.entity_id) COLLATE "C"
        );
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'HC060', MESSAGE = 'subjects_json is malformed: ' || SQLERRM;
    END;
    IF usp_set_subjects.subjects_json IS NULL
        OR cardinality(v_told) NOT BETWEEN 1 AND 500
        OR (SELECT count(DISTINCT (e.entity_type, e.entity_id)) FROM unnest(v_told) AS e) <> cardinality(v_told)
        OR EXISTS (
            SELECT 1
            FROM unnest(v_told) AS e
            WHERE coalesce(char_length(e.entity_type), 0) NOT BETWEEN 1 AND 200
                OR coalesce(char_length(e.entity_id), 0) NOT BETWEEN 1 AND 400
                OR coalesce(e.state NOT IN ('MISSING', 'QUEUED', 'CURRENT', 'STALE', 'RETIRED'), TRUE)
                OR e.stale_because NOT IN ('evidence', 'definition', 'model', 'asked')
                OR (e.state = 'STALE' AND e.stale_because IS NULL)
                OR char_length(e.why) > 400
                OR char_length(e.change_token) > 400
                OR char_length(e.model) > 200
                OR NOT (length(e.evidence_sha256) = 64 AND e.evidence_sha256 ~ '^[0-9a-f]+$')
                OR NOT (length(e.definition_sha256) = 64 AND e.definition_sha256 ~ '^[0-9a-f]+$')
                OR (
                    e.state = 'QUEUED'
                    AND (e.job_id IS NULL OR e.evidence_sha256 IS NULL OR e.definition_sha256 IS NULL)
                )
        )
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC060',
            MESSAGE = 'subjects_json is not an array of 1 to 500 subjects, or one lacks what it needs or comes twice';
    END IF;

    SELECT d.*
    INTO v_derivation
    FROM llm.derivation AS d
    WHERE d.derivation_key = btrim(usp_set_subjects.derivation_key);
    IF v_derivation.derivation_key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC061', MESSAGE = 'there is no derivation with this derivation_key';
    END IF;

    IF usp_set_subjects.jobs_json IS NOT NULL THEN
        PERFORM llm.usp_enqueue_jobs(
            jobs_json => usp_set_subjects.jobs_json, actor => v_actor, reason => usp_set_subjects.reason,
            batch_id => usp_set_subjects.batch_id, with_answer => FALSE
        );
    END IF;
    IF EXISTS (
        SELECT 1
        FROM unnest(v_told) AS e
        WHERE e.state = 'QUEUED' AND NOT EXISTS (SELECT 1 FROM llm.job AS j WHERE j.job_id = e.job_id)
    )
    THEN
        RAISE EXCEPTION USING ERRCODE = 'HC060', MESSAGE = 'a subject is QUEUED without its job';
    END IF;

    PERFORM 1
    FROM unnest(v_told) AS e
    INNER JOIN llm.subject AS s
        ON s.derivation_seq = v_derivation.derivation_seq AND s.entity_type = e.entity_type AND s.entity_id = e.entity_id
    ORDER BY s.subject_seq
    FOR NO KEY UPDATE OF s;
    -- An answer that has come is the one in use before anything else is asked.
    PERFORM llm.settle_subjects(
        ARRAY(
            SELECT s.subject_seq
            FROM unnest(v_told) AS e
            INNER JOIN llm.subject AS s
                ON s.derivation_seq = v_derivation.derivation_seq AND s.entity_type = e.entity_type
                AND s.entity_id = e.entity_id
        ),
        TRUE
    );
    v_now := clock_timestamp();

    -- One that comes back uses its answer again.
    DELETE FROM llm.past_answer AS p
    USING unnest(v_told) AS e
    INNER JOIN llm.subject AS s
        ON s.derivation_seq = v_derivation.derivation_seq AND s.entity_type = e.entity_type AND s.entity_id = e.entity_id
    WHERE e.state <> 'RETIRED' AND s.state = 'RETIRED' AND p.job_id IN (s.job_id, s.answer_job_id);

    -- What its subject no longer waits for is not used when it comes.
    INSERT INTO llm.past_answer AS p (job_id, because, since_utc)
    SELECT DISTINCT ON (past.job_id) past.job_id, past.because, v_now
    FROM (
        SELECT s.job_id, 'superseded' AS because
        FROM unnest(v_told) AS e
        INNER JOIN llm.subject AS s
            ON s.derivation_seq = v_derivation.derivation_seq AND s.entity_type = e.entity_type
            AND s.entity_id = e.entity_id
        WHERE e.state = 'QUEUED' AND s.job_id <> e.job_id AND s.answer_job_id IS DISTINCT FROM s.job_id
        UNION ALL
        SELECT job.job_id, 'retired'
        FROM unnest(v_told) AS e
        INNER JOIN llm.subject AS s
            ON s.derivation_seq = v_derivation.derivation_seq AND s.entity_type = e.entity_type
            AND s.entity_id = e.entity_id
        CROSS JOIN LATERAL (VALUES (s.job_id), (s.answer_job_id)) AS job (job_id)
        WHERE e.state = 'RETIRED' AND v_derivation.retire_policy = 'retire' AND job.job_id IS NOT NULL
    ) AS past
    ON CONFLICT DO NOTHING;

    SELECT array_agg(e.entity_type), array_agg(e.entity_id)
    INTO v_turned_types, v_turned_ids
    FROM unnest(v_told) AS e
    INNER JOIN llm.subject AS s
        ON s.derivation_seq = v_derivation.derivation_seq AND s.entity_type = e.entity_type AND s.entity_id = e.entity_id
    WHERE (e.state = 'RETIRED') <> (s.state = 'RETIRED');

    INSERT INTO llm.subject AS s (
        derivation_seq, entity_type, entity_id, state, why, change_token, evidence_sha256, definition_sha256, model,
        job_id, changed_utc
    )
    SELECT
        v_derivation.derivation_seq, e.entity_type, e.entity_id,
        CASE WHEN e.state IN ('QUEUED', 'RETIRED') THEN e.state ELSE 'MISSING' END,
        CASE WHEN e.state = 'RETIRED' THEN e.why END,
        CASE WHEN e.state IN ('QUEUED', 'RETIRED') THEN e.change_token END,
        CASE WHEN e.state = 'QUEUED' THEN e.evidence_sha256 END,
        CASE WHEN e.state = 'QUEUED' THEN e.definition_sha256 END,
        CASE WHEN e.state = 'QUEUED' THEN e.model END,
        CASE WHEN e.state = 'QUEUED' THEN e.job_id END,
        v_now
    FROM unnest(v_told) WITH ORDINALITY AS e
    ORDER BY e.ordinality
    ON CONFLICT (derivation_seq, entity_type, entity_id) DO NOTHING;

    UPDATE llm.subject AS s
    SET
        state = CASE
            -- Settled below.
            WHEN e.state = 'QUEUED' THEN 'QUEUED'
            WHEN e.state = 'CURRENT' THEN CASE WHEN s.job_id IS NULL THEN s.state ELSE 'QUEUED' END
            WHEN e.state = 'STALE' THEN CASE WHEN s.run_id IS NULL THEN 'MISSING' ELSE 'STALE' END
            ELSE e.state
        END,
        stale_because = CASE
            WHEN e.state = 'STALE' AND s.run_id IS NOT NULL
                THEN CASE WHEN s.stale_because = 'asked' THEN 'asked' ELSE e.stale_because END
        END,
        why = CASE WHEN e.state = 'RETIRED' THEN e.why END,
        change_token = CASE
            WHEN e.state IN ('QUEUED', 'CURRENT', 'RETIRED') THEN coalesce(e.change_token, s.change_token)
            ELSE s.change_token
        END,
        evidence_sha256 = CASE WHEN e.state = 'QUEUED' THEN e.evidence_sha256 ELSE s.evidence_sha256 END,
        definition_sha256 = CASE WHEN e.state = 'QUEUED' THEN e.definition_sha256 ELSE s.definition_sha256 END,
        model = CASE WHEN e.state = 'QUEUED' THEN e.model ELSE s.model END,
        asks = s.asks + CASE WHEN e.stale_because = 'asked' THEN 1 ELSE 0 END,
        job_id = CASE WHEN e.state = 'QUEUED' THEN e.job_id ELSE s.job_id END,
        changed_utc = v_now
    FROM unnest(v_told) AS e
    WHERE s.derivation_seq = v_derivation.derivation_seq
        AND s.entity_type = e.entity_type
        AND s.entity_id = e.entity_id
        AND NOT (e.state = 'MISSING' AND s.state <> 'RETIRED')
        AND NOT (e.state = 'STALE' AND e.stale_because <> 'asked' AND s.state NOT IN ('CURRENT', 'STALE', 'RETIRED'));

    v_seqs := ARRAY(
        SELECT s.subject_seq
        FROM unnest(v_told) AS e
        INNER JOIN llm.subject AS s
            ON s.derivation_seq = v_derivation.derivation_seq AND s.entity_type = e.entity_type
            AND s.entity_id = e.entity_id
        WHERE e.state IN ('QUEUED', 'CURRENT')
    );
    PERFORM llm.settle_subjects(v_seqs, TRUE);
    PERFORM llm.queue_deliveries(v_turned_types, v_turned_ids);
    RETURN NEXT ROW(cardinality(v_told))::llm.usp_set_subjects_result;
END;
$$;

CALL llm.grant_procedure('usp_set_subjects', 'llm_operator');
