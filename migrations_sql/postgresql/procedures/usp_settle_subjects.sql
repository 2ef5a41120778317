-- llm.settle_subjects: gives subjects the state of their newest job. Not for callers.
-- Promises: QUEUED while the job is unfinished, CURRENT with the job's run once it succeeded, FAILED when it ended
--   otherwise, MISSING when the job is gone. An answer that another replaces is a past one; one in use again
--   is not. MISSING, STALE and RETIRED subjects stay as they are. delivers: other answers in use are
--   queued for delivery.
-- Called by: usp_settle_subjects, usp_set_subjects.
-- Locks: the subjects in subject_seq order. Jobs are read: an event that comes later settles them again.
CALL llm.drop_procedure('settle_subjects');

CREATE FUNCTION llm.settle_subjects(subject_seqs bigint[], delivers boolean)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_seqs bigint[];
    v_answers uuid[];
    v_types text[];
    v_ids text[];
    v_changed integer;
BEGIN
    v_seqs := ARRAY(
        SELECT s.subject_seq
        FROM llm.subject AS s
        WHERE s.subject_seq = ANY (settle_subjects.subject_seqs) AND s.state IN ('QUEUED', 'CURRENT', 'FAILED')
        ORDER BY s.subject_seq
        FOR NO KEY UPDATE
    );
    IF v_seqs = '{}' THEN
        RETURN 0;
    END IF;

    v_answers := ARRAY(
        SELECT s.answer_job_id
        FROM llm.subject AS s
        WHERE s.subject_seq = ANY (v_seqs) AND s.answer_job_id <> s.job_id
    );
    WITH moved AS (
        UPDATE llm.subject AS s
        SET
            state = told.state,
            stale_because = NULL,
            answer_job_id = CASE WHEN told.state = 'CURRENT' THEN s.job_id ELSE s.answer_job_id END,
            run_id = CASE WHEN told.state = 'CURRENT' THEN told.run_id ELSE s.run_id END,
            answered_utc = CASE WHEN told.state = 'CURRENT' THEN told.completed_utc ELSE s.answered_utc END,
            changed_utc = clock_timestamp()
        FROM (
            SELECT
                o.subject_seq, o.run_id AS old_run_id, r.run_id, r.completed_utc,
                CASE
                    WHEN j.status = 'SUCCEEDED' THEN 'CURRENT'
                    WHEN j.status IN ('FAILED', 'DEADLETTER', 'CANCELLED') THEN 'FAILED'
                    WHEN j.status IS NOT NULL THEN 'QUEUED'
                    ELSE 'MISSING'
                END AS state
            FROM llm.subject AS o
            LEFT JOIN llm.job AS j ON o.job_id = j.job_id
            LEFT JOIN llm.run AS r ON j.job_id = r.job_id AND r.status = 'SUCCEEDED'
            WHERE o.subject_seq = ANY (v_seqs)
        ) AS told
        WHERE s.subject_seq = told.subject_seq
            AND (
                s.state <> told.state
                OR (told.state = 'CURRENT' AND (s.run_id IS DISTINCT FROM told.run_id OR s.stale_because IS NOT NULL))
            )
        RETURNING s.entity_type, s.entity_id, s.run_id IS DISTINCT FROM told.old_run_id AS is_other
    )
    SELECT
        count(*), array_agg(m.entity_type::text) FILTER (WHERE m.is_other),
        array_agg(m.entity_id::text) FILTER (WHERE m.is_other)
    INTO v_changed, v_types, v_ids
    FROM moved AS m;

    -- By the rows as they are now: a job may have succeeded since the first statement.
    INSERT INTO llm.past_answer AS p (job_id, because)
    SELECT DISTINCT a.job_id, 'superseded'
    FROM unnest(v_answers) AS a (job_id)
    WHERE NOT EXISTS (SELECT 1 FROM llm.subject AS s WHERE s.answer_job_id = a.job_id)
    ON CONFLICT DO NOTHING;
    DELETE FROM llm.past_answer AS p
    USING llm.subject AS s
    WHERE s.subject_seq = ANY (v_seqs) AND p.job_id = s.job_id;
    IF settle_subjects.delivers THEN
        PERFORM llm.queue_deliveries(v_types, v_ids);
    END IF;
    RETURN v_changed;
END;
$$;

REVOKE ALL ON FUNCTION llm.settle_subjects FROM public;

-- llm.usp_settle_subjects: settles the subjects whose jobs moved since the last call, up to max_events events.
-- Promises: each event up to the mark of usp_roll_up_hours, below which every event is visible, is looked at once,
--   whoever calls and however often; subjects and mark change in one transaction. is_caught_up: all of them were;
--   else call again. settled: how many subjects changed. One at a time: a second caller gets no rows. An answer or a
--   review queues deliveries of what is derived about its entity, since whether facts are admitted may change.
-- Cost: a look at two marks while nothing happened; without subjects the mark moves at once.
-- Called by: every worker (at least every 2 s), derive apply and status, schedules.
-- Locks: the settling's own lock, not waited for; then the subjects.
CALL llm.drop_procedure('usp_settle_subjects');

CREATE TYPE llm.usp_settle_subjects_result AS (
    settled integer,
    is_caught_up boolean
);

CREATE FUNCTION llm.usp_settle_subjects(
    max_events integer DEFAULT 5000
)
RETURNS SETOF llm.usp_settle_subjects_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_from bigint;
    v_high bigint;
    v_to bigint;
    v_events integer;
    v_jobs uuid[];
    v_types text[];
    v_ids text[];
    v_settled integer := 0;
BEGIN
    IF coalesce(usp_settle_subjects.max_events NOT BETWEEN 1 AND 100000, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC062', MESSAGE = 'max_events is not between 1 and 100000';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('llm.usp_settle_subjects', 0)) THEN
        RETURN;
    END IF;

    SELECT m.event_seq INTO v_from FROM llm.stat_mark AS m WHERE m.stat_name = 'subject';
    IF NOT FOUND THEN
        v_from := 0;
        INSERT INTO llm.stat_mark (stat_name, event_seq) VALUES ('subject', 0);
    END IF;
    SELECT m.event_seq INTO v_high FROM llm.stat_mark AS m WHERE m.stat_name = 'stat_hour';
    v_high := coalesce(v_high, 0);
    IF v_high <= v_from THEN
        RETURN NEXT ROW(0, TRUE)::llm.usp_settle_subjects_result;
        RETURN;
    END IF;

    v_to := v_high;
    IF EXISTS (SELECT 1 FROM llm.subject) THEN
        SELECT coalesce(max(step.event_seq), v_high), count(*), array_agg(DISTINCT step.job_id)
        INTO v_to, v_events, v_jobs
        FROM (
            SELECT e.event_seq, e.job_id
            FROM llm.job_event AS e
            WHERE e.event_seq > v_from AND e.event_seq <= v_high
            ORDER BY e.event_seq
            LIMIT usp_settle_subjects.max_events
        ) AS step;
        IF v_events < usp_settle_subjects.max_events THEN
            v_to := v_high;
        END IF;
        v_settled := llm.settle_subjects(
            ARRAY(SELECT s.subject_seq FROM llm.subject AS s WHERE s.job_id = ANY (v_jobs)),
            FALSE  -- by the events, below
        );
        IF EXISTS (SELECT 1 FROM llm.derivation AS d WHERE d.target_json IS NOT NULL) THEN
            SELECT array_agg(j.entity_type::text), array_agg(j.entity_id::text)
            INTO v_types, v_ids
            FROM llm.job_event AS e
            INNER JOIN llm.job AS j ON e.job_id = j.job_id
            WHERE e.event_seq > v_from
                AND e.event_seq <= v_to
                AND (e.event = 'fact_reviewed' OR (e.event = 'completed' AND e.to_status = 'SUCCEEDED'))
                AND j.entity_type IS NOT NULL
                AND j.entity_id IS NOT NULL;
            PERFORM llm.queue_deliveries(v_types, v_ids);
        END IF;
    END IF;
    UPDATE llm.stat_mark AS m SET event_seq = v_to, through_utc = clock_timestamp() WHERE m.stat_name = 'subject';
    RETURN NEXT ROW(v_settled, v_to >= v_high)::llm.usp_settle_subjects_result;
END;
$$;

CALL llm.grant_procedure('usp_settle_subjects', 'llm_worker', 'llm_operator');
