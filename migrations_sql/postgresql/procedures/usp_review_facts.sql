-- llm.usp_review_facts: keeps what somebody decided about facts, and what follows from it.
-- Promises: an element of decisions_json has a decision and a fact_id. ACCEPTED, REJECTED; CORRECTED, with a
--   corrected_value, another place of the quote (evidence_id, quote, quote_start, quote_end), or both; NOT_SURE, which
--   leaves the fact to somebody else; NONE, which takes back what the same person decided. ADDED has no fact_id but
--   run_id, fact_key, value and a place: a fact that the answer lacks. Each is a row of llm.fact_review, which nobody
--   changes, and an event fact_reviewed of the job; the fact, its conflicts and its place in the queue follow.
--   Refused, changed false and why: what somebody else decided before, unless a reason says why; what
--   somebody else has claimed; what the same person decided so already; what is gone. Where the interrogation asks for
--   two reviewers the first opinion decides nothing (a doubt of an admitted fact takes it out), two that agree
--   decide, and where they do not the third person's does. Raises HC051.
-- Called by: reviewers (admin).
-- Locks: the jobs in job_seq order, the slots of the entities in order, then facts.
CALL llm.drop_procedure('usp_review_facts');

CREATE TYPE llm.usp_review_facts_result AS (
    n integer,
    fact_id uuid,
    changed boolean,
    from_status varchar(40),
    to_status varchar(40),
    why text
);

CREATE FUNCTION llm.usp_review_facts(
    decisions_json text,
    actor text,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_review_facts_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once a connection, not at each call
SET enable_seqscan = off  -- a plan made while the tables were small is kept: let it be the index's from the start
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_review_facts.actor);
    v_reason text := nullif(btrim(usp_review_facts.reason), '');
    v_fits boolean;
    v_fact_ids uuid[];
    v_run_ids uuid[];
    v_now timestamptz;
    v_d record;
    v_fact llm.fact;
    v_set llm.fact_set;
    v_job record;
    v_policy record;
    v_said_key text;
    v_from text;
    v_to text;
    v_why text;
    v_mine text;
    v_said record;
    v_held llm.fact_review;
    v_is_settled boolean;
    v_review_seq bigint;
    v_fact_index integer;
BEGIN
    BEGIN
        SELECT
            coalesce(bool_and(
                d.decision IS NOT NULL
                AND d.decision IN ('ACCEPTED', 'CORRECTED', 'REJECTED', 'NOT_SURE', 'NONE', 'ADDED')
                AND CASE
                    WHEN d.decision = 'ADDED'
                        THEN d.run_id IS NOT NULL AND d.fact_key IS NOT NULL AND d.value IS NOT NULL
                            AND d.evidence_id IS NOT NULL
                    WHEN d.decision = 'CORRECTED'
                        THEN d.fact_id IS NOT NULL AND (d.corrected_value IS NOT NULL OR d.evidence_id IS NOT NULL)
                    ELSE d.fact_id IS NOT NULL
                END
                AND CASE
                    WHEN d.evidence_id IS NULL
                        THEN d.quote IS NULL AND d.quote_start IS NULL AND d.quote_end IS NULL
                    ELSE coalesce(d.quote <> '' AND d.quote_start >= 0 AND d.quote_end > d.quote_start, FALSE)
                END
                AND coalesce(char_length(d.evidence_id) <= 400, TRUE)
                AND coalesce(char_length(d.corrected_value_key) <= 400, TRUE)
                AND coalesce(char_length(d.value_key) <= 400, TRUE)
                AND coalesce(char_length(d.fact_key) <= 200, TRUE)
            ), FALSE)
            AND count(*) <= 100,
            array_agg(d.fact_id),
            array_agg(d.run_id)
        INTO v_fits, v_fact_ids, v_run_ids
        FROM json_to_recordset(usp_review_facts.decisions_json::json) AS d (
            fact_id uuid, decision text, corrected_value text, corrected_value_key text, evidence_id text, quote text,
            quote_start integer, quote_end integer, run_id uuid, fact_key text, value text, value_key text
        );
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'HC051', MESSAGE = 'decisions_json is malformed: ' || SQLERRM;
    END;
    IF v_fits IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC051',
            MESSAGE = 'decisions_json is malformed: it is not an array of 1 to 100 decisions, or one lacks what it '
                'needs or is out of bounds';
    END IF;

    PERFORM 1
    FROM llm.job AS j
    WHERE j.job_id IN (
        SELECT f.job_id FROM llm.fact AS f WHERE f.fact_id = ANY (v_fact_ids)
        UNION
        SELECT r.job_id FROM llm.run AS r WHERE r.run_id = ANY (v_run_ids)
    )
    ORDER BY j.job_seq
    FOR NO KEY UPDATE;

    PERFORM 1
    FROM llm.entity_lock AS l
    WHERE l.slot IN (
        SELECT llm.entity_slot(f.entity_type, f.entity_id) FROM llm.fact AS f WHERE f.fact_id = ANY (v_fact_ids)
        UNION
        SELECT llm.entity_slot(s.entity_type, s.entity_id) FROM llm.fact_set AS s WHERE s.run_id = ANY (v_run_ids)
    )
    ORDER BY l.slot
    FOR NO KEY UPDATE;
    v_now := clock_timestamp();  -- read under the locks, so that a job's events are in the order of their times

    FOR v_d IN
        SELECT d.*
        FROM ROWS FROM (json_to_recordset(usp_review_facts.decisions_json::json) AS (
            fact_id uuid, decision text, corrected_value text, corrected_value_key text, evidence_id text, quote text,
            quote_start integer, quote_end integer, run_id uuid, fact_key text, value text, value_key text
        )) WITH ORDINALITY AS d (
            fact_id, decision, corrected_value, corrected_value_key, evidence_id, quote, quote_start, quote_end, run_id,
            fact_key, value, value_key, n
        )
    LOOP
        v_why := NULL;
        v_fact := NULL;
        v_set := NULL;
        v_mine := NULL;
        IF v_d.decision = 'ADDED' THEN
            SELECT s.* INTO v_set FROM llm.fact_set AS s WHERE s.run_id = v_d.run_id;
            SELECT f.*
            INTO v_fact
            FROM llm.fact AS f
            WHERE f.run_id = v_d.run_id
                AND f.proof = 'person'
                AND f.fact_key = v_d.fact_key
                AND f.value = v_d.value
                AND f.evidence_id = v_d.evidence_id
                AND f.quote_start = v_d.quote_start
                AND f.review_status <> 'REJECTED'
            LIMIT 1;
            IF v_set.run_id IS NULL THEN
                v_why := 'there is no answer with stored facts; its job may have been purged';
            ELSIF v_fact.fact_id IS NOT NULL THEN
                v_why := 'this fact was added already, by ' || v_fact.reviewed_by;
            ELSE
                SELECT greatest(max(f.fact_index) + 1, 1000000)
                INTO v_fact_index
                FROM llm.fact AS f
                WHERE f.run_id = v_d.run_id;
                INSERT INTO llm.fact (
                    run_id, job_id, fact_index, path, interrogation_key, entity_type, entity_id, fact_key, value,
                    value_key, quote, evidence_id, quote_start, quote_end, occurrences, proof, verdict, is_current,
                    review_status
                )
                SELECT
                    r.run_id, r.job_id, coalesce(v_fact_index, 1000000), 'added', v_set.interrogation_key,
                    v_set.entity_type, v_set.entity_id, v_d.fact_key, v_d.value, v_d.value_key, v_d.quote,
                    v_d.evidence_id, v_d.quote_start, v_d.quote_end, 1, 'person', 'SUPPORTED',
                    NOT EXISTS (
                        SELECT 1
                        FROM llm.fact_set AS newer
                        WHERE newer.entity_id = v_set.entity_id
                            AND newer.entity_type = v_set.entity_type
                            AND newer.interrogation_key = v_set.interrogation_key
                            AND newer.evidence_sha256 = v_set.evidence_sha256
                            AND newer.run_seq > v_set.run_seq
                    ),
                    'NONE'
                FROM llm.run AS r
                WHERE r.run_id = v_d.run_id
                RETURNING * INTO v_fact;
            END IF;
        ELSE
            SELECT f.* INTO v_fact FROM llm.fact AS f WHERE f.fact_id = v_d.fact_id FOR NO KEY UPDATE;
            SELECT mine.decision
            INTO v_mine
            FROM (
                SELECT w.decision, w.review_seq
                FROM llm.fact_review AS w
                WHERE w.fact_id = v_d.fact_id AND w.actor = v_actor
                OFFSET 0  -- find them by the fact, rather than walk all reviews backwards
            ) AS mine
            ORDER BY mine.review_seq DESC
            LIMIT 1;
            v_mine := nullif(v_mine, 'NONE');
            IF v_fact.fact_id IS NULL THEN
                v_why := 'there is no such fact; its job may have been purged';
            ELSIF v_fact.review_claimed_by <> v_actor AND v_fact.review_claim_expires_utc > v_now THEN
                v_why := v_fact.review_claimed_by || ' is reviewing it';
            ELSIF v_d.decision = 'NONE' THEN
                IF v_mine IS NULL THEN
                    v_why := 'you have decided nothing about it';
                END IF;
            ELSIF v_d.decision = v_mine AND v_d.decision <> 'CORRECTED' THEN
                v_why := 'you have decided so already';
            ELSIF v_fact.review_status IN ('ACCEPTED', 'CORRECTED', 'REJECTED')
                AND v_fact.reviewed_by <> v_actor AND v_reason IS NULL
            THEN
                v_why := 'it is ' || v_fact.review_status || ' already, by ' || v_fact.reviewed_by
                    || '; to decide anew give a reason';
            END IF;
            SELECT s.* INTO v_set FROM llm.fact_set AS s WHERE s.run_id = v_fact.run_id;
        END IF;
        IF v_why IS NOT NULL THEN
            RETURN NEXT ROW(
                v_d.n, coalesce(v_fact.fact_id, v_d.fact_id), FALSE, v_fact.review_status, v_fact.review_status, v_why
            )::llm.usp_review_facts_result;
            CONTINUE;
        END IF;

        SELECT j.status::text AS status, j.priority INTO v_job FROM llm.job AS j WHERE j.job_id = v_fact.job_id;
        v_policy := NULL;
        SELECT p.sample_percent, p.reviewers
        INTO v_policy
        FROM llm.review_policy AS p
        WHERE p.interrogation_key = v_fact.interrogation_key
        ORDER BY p.policy_seq DESC
        LIMIT 1;
        -- The key of the value as it was answered, which a correction hides.
        v_said_key := v_fact.value_key;
        IF v_fact.review_status = 'CORRECTED' THEN
            SELECT said.value_key
            INTO v_said_key
            FROM (
                SELECT w.value_key, w.review_seq
                FROM llm.fact_review AS w
                WHERE w.fact_id = v_fact.fact_id
                OFFSET 0
            ) AS said
            ORDER BY said.review_seq
            LIMIT 1;
        END IF;

        -- The latest opinion of each person, this one among them; the last one that decides is the one that may hold.
        SELECT
            count(*) AS opinions,
            count(*) FILTER (WHERE o.decision <> 'NOT_SURE') AS decisive,
            count(*) FILTER (WHERE o.decision IN ('CORRECTED', 'REJECTED')) AS doubts,
            count(DISTINCT CASE
                WHEN o.decision = 'CORRECTED' THEN 'CORRECTED ' || coalesce(o.corrected_value_key, o.corrected_value, '')
                WHEN o.decision <> 'NOT_SURE' THEN replace(o.decision, 'ADDED', 'ACCEPTED')
            END) AS voices,
            max(o.review_seq) FILTER (WHERE o.decision <> 'NOT_SURE') AS held_seq
        INTO v_said
        FROM (
            SELECT latest.decision::text AS decision, latest.review_seq, latest.corrected_value,
                latest.corrected_value_key
            FROM (
                SELECT DISTINCT ON (w.actor) w.*
                FROM llm.fact_review AS w
                WHERE w.fact_id = v_fact.fact_id AND w.actor <> v_actor
                ORDER BY w.actor, w.review_seq DESC
            ) AS latest
            WHERE latest.decision <> 'NONE'
            UNION ALL
            SELECT v_d.decision, NULL, v_d.corrected_value, v_d.corrected_value_key
            WHERE v_d.decision <> 'NONE'
        ) AS o;
        v_held := NULL;
        IF v_d.decision IN ('NONE', 'NOT_SURE') THEN
            SELECT w.* INTO v_held FROM llm.fact_review AS w WHERE w.fact_id = v_fact.fact_id
                AND w.review_seq = v_said.held_seq;
        ELSE
            v_held.actor := v_actor;
            v_held.decision := v_d.decision;
            v_held.at_utc := v_now;
            v_held.corrected_value := v_d.corrected_value;
            v_held.corrected_value_key := v_d.corrected_value_key;
            v_held.evidence_id := v_d.evidence_id;
            v_held.quote := v_d.quote;
            v_held.quote_start := v_d.quote_start;
            v_held.quote_end := v_d.quote_end;
        END IF;

        v_from := v_fact.review_status;
        v_is_settled := v_said.decisive > 0 AND (
            coalesce(v_policy.reviewers, 1) = 1
            OR v_fact.proof = 'person'
            OR v_said.decisive >= 3
            OR (v_said.decisive = 2 AND v_said.voices = 1)
            OR (v_from IN ('ACCEPTED', 'CORRECTED', 'REJECTED') AND v_d.decision NOT IN ('NONE', 'NOT_SURE')
                AND v_reason IS NOT NULL)
        );
        v_to := CASE
            WHEN v_is_settled THEN replace(v_held.decision, 'ADDED', 'ACCEPTED')
            WHEN v_fact.proof = 'person' THEN 'REJECTED'
            WHEN v_fact.verdict = 'SUPPORTED' AND v_said.doubts = 0 THEN 'NONE'
            ELSE 'OPEN'
        END;

        INSERT INTO llm.fact_review (
            fact_id, run_id, job_id, fact_index, decision, from_status, to_status, at_utc, actor, reason, because,
            interrogation_key, fact_key, value, value_key, proof, verdict, confidence, corrected_value,
            corrected_value_key, evidence_id, quote, quote_start, quote_end
        )
        VALUES (
            v_fact.fact_id, v_fact.run_id, v_fact.job_id, v_fact.fact_index, v_d.decision, v_from, v_to, v_now, v_actor,
            v_reason,
            CASE
                WHEN v_fact.review_priority IS NULL THEN 'asked'
                WHEN v_fact.verdict <> 'SUPPORTED' THEN 'verdict'
                WHEN v_fact.conflict_id IS NOT NULL THEN 'conflict'
                ELSE 'sample'
            END,
            v_fact.interrogation_key, v_fact.fact_key, v_fact.value, v_said_key, v_fact.proof, v_fact.verdict,
            v_fact.confidence, v_d.corrected_value, v_d.corrected_value_key, v_d.evidence_id, v_d.quote,
            v_d.quote_start, v_d.quote_end
        )
        RETURNING review_seq INTO v_review_seq;

        UPDATE llm.fact AS f
        SET
            review_status = v_to,
            reviewed_by = CASE WHEN v_is_settled THEN v_held.actor WHEN v_to = 'REJECTED' THEN v_actor END,
            reviewed_utc = CASE WHEN v_is_settled THEN v_held.at_utc WHEN v_to = 'REJECTED' THEN v_now END,
            corrected_value = CASE WHEN v_to = 'CORRECTED' THEN coalesce(v_held.corrected_value, f.value) END,
            corrected_evidence_id = CASE WHEN v_to = 'CORRECTED' THEN v_held.evidence_id END,
            corrected_quote = CASE WHEN v_to = 'CORRECTED' THEN v_held.quote END,
            corrected_quote_start = CASE WHEN v_to = 'CORRECTED' THEN v_held.quote_start END,
            corrected_quote_end = CASE WHEN v_to = 'CORRECTED' THEN v_held.quote_end END,
            value_key = CASE
                WHEN v_to = 'CORRECTED' AND v_held.corrected_value IS NOT NULL THEN v_held.corrected_value_key
                ELSE v_said_key
            END,
            review_round = CASE WHEN v_is_settled THEN 0 ELSE least(v_said.opinions, 2) END,
            review_priority = CASE
                WHEN v_is_settled OR f.proof = 'person' THEN NULL
                WHEN v_said.opinions > 0 OR v_to = 'OPEN' OR f.conflict_id IS NOT NULL
                    OR llm.is_in_review_sample(f.fact_id, coalesce(v_policy.sample_percent, 2))
                    THEN v_job.priority
            END,
            review_claimed_by = NULL,
            review_claim_expires_utc = NULL
        WHERE f.fact_id = v_fact.fact_id;

        PERFORM llm.settle_facts(
            v_fact.run_id, v_fact.interrogation_key, v_fact.entity_type, v_fact.entity_id, v_set.evidence_sha256
        );

        INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason, detail_json)
        VALUES (
            v_fact.job_id, v_fact.run_id, v_now, 'fact_reviewed', v_job.status, v_job.status, v_actor, v_reason,
            format(
                '{"fact_id": "%s", "fact_index": %s, "decision": "%s", "from": "%s", "to": "%s", "review_seq": %s}',
                v_fact.fact_id, v_fact.fact_index, v_d.decision, v_from, v_to, v_review_seq
            )
        );

        RETURN NEXT ROW(v_d.n, v_fact.fact_id, TRUE, v_from, v_to, NULL)::llm.usp_review_facts_result;
    END LOOP;
END;
$$;

CALL llm.grant_procedure('usp_review_facts', 'llm_operator');
