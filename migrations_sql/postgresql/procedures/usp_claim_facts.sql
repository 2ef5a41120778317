-- llm.usp_claim_facts: gives a reviewer the next facts that wait for a decision, or one that is named.
-- Promises: no fact goes to two people at once: whoever gets one has it for claim_seconds by the server's clock, or
--   until they decide. Nobody gets a fact on which they have an opinion, nor one that they hold already (so the next
--   call goes on behind it), nor one of a superseded run or of an answer that is no longer in use (llm.past_answer).
--   First facts that wait for another opinion, if there is one of somebody else's among the first 100 of those; then by
--   the priority of their jobs, the oldest first. A named fact is answered in any state, with who holds it: somebody
--   else's claim stands.
-- Called by: the review page.
-- Locks: the facts, SKIP LOCKED (it never waits); a named one is waited for.
CALL llm.drop_procedure('usp_claim_facts');

CREATE TYPE llm.usp_claim_facts_result AS (
    fact_seq bigint,
    fact_id uuid,
    claimed_by varchar(200),
    claim_expires_utc timestamptz
);

CREATE FUNCTION llm.usp_claim_facts(
    actor text,
    max_facts integer DEFAULT 1,
    claim_seconds integer DEFAULT 300,
    fact_id uuid DEFAULT NULL
)
RETURNS SETOF llm.usp_claim_facts_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once a connection, not at each call
SET enable_seqscan = off  -- keep to the order of ix_fact_to_review, whatever the statistics say
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_claim_facts.actor);
    v_round integer;
    v_is_look boolean;
    v_first bigint[];
    v_found bigint[];
    v_picked bigint[] := '{}';
BEGIN
    IF coalesce(usp_claim_facts.max_facts NOT BETWEEN 1 AND 100, TRUE)
        OR coalesce(usp_claim_facts.claim_seconds NOT BETWEEN 1 AND 86400, TRUE)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC052', MESSAGE = 'max_facts is not between 1 and 100, or claim_seconds between 1 and 86400';
    END IF;

    IF usp_claim_facts.fact_id IS NOT NULL THEN
        UPDATE llm.fact AS f
        SET
            review_claimed_by = v_actor,
            review_claim_expires_utc = clock_timestamp() + make_interval(secs => usp_claim_facts.claim_seconds)
        WHERE f.fact_id = usp_claim_facts.fact_id
            AND (f.review_claimed_by = v_actor OR (f.review_claim_expires_utc > clock_timestamp()) IS NOT TRUE);
        RETURN QUERY
        SELECT f.fact_seq, f.fact_id, f.review_claimed_by, f.review_claim_expires_utc
        FROM llm.fact AS f
        WHERE f.fact_id = usp_claim_facts.fact_id;
        RETURN;
    END IF;

    -- A look at the first of those that wait for another opinion costs the same however many of them are one's own.
    FOR v_round, v_is_look IN
        SELECT turn.round, turn.is_look
        FROM (VALUES (2, TRUE), (1, TRUE), (0, FALSE), (2, FALSE), (1, FALSE)) AS turn (round, is_look)
    LOOP
        IF v_is_look THEN
            v_first := ARRAY(
                SELECT f.fact_seq
                FROM llm.fact AS f
                WHERE f.review_priority IS NOT NULL AND f.is_current AND f.review_round = v_round
                ORDER BY f.review_priority DESC, f.fact_seq
                LIMIT 100
            );
            v_found := ARRAY(
                SELECT f.fact_seq
                FROM unnest(v_first) WITH ORDINALITY AS first (fact_seq, place)
                JOIN llm.fact AS f ON f.fact_seq = first.fact_seq
                -- Not as ix_fact_to_review says it: with statistics of a time when no fact waited, it would be read whole.
                WHERE coalesce(f.review_priority, -1) >= 0
                    AND f.is_current
                    AND (f.review_claim_expires_utc > clock_timestamp()) IS NOT TRUE
                    AND coalesce((
                        SELECT mine.decision
                        FROM llm.fact_review AS mine
                        -- BETWEEN and the order leave only ix_fact_review_fact, whatever the statistics say.
                        WHERE mine.fact_id BETWEEN f.fact_id AND f.fact_id AND mine.actor = v_actor
                        ORDER BY mine.fact_id DESC, mine.review_seq DESC
                        LIMIT 1
                    ), 'NONE') = 'NONE'
                    AND NOT EXISTS (SELECT 1 FROM llm.past_answer AS past WHERE past.job_id = f.job_id)
                ORDER BY first.place
                LIMIT usp_claim_facts.max_facts - cardinality(v_picked)
                FOR NO KEY UPDATE OF f SKIP LOCKED
            );
        ELSE
            v_found := ARRAY(
                SELECT f.fact_seq
                FROM llm.fact AS f
                WHERE f.review_priority IS NOT NULL
                    AND f.is_current
                    AND f.review_round = v_round
                    AND (f.review_claim_expires_utc > clock_timestamp()) IS NOT TRUE
                    AND f.fact_seq <> ALL (v_picked)
                    AND coalesce((
                        SELECT mine.decision
                        FROM llm.fact_review AS mine
                        -- BETWEEN and the order leave only ix_fact_review_fact, whatever the statistics say.
                        WHERE mine.fact_id BETWEEN f.fact_id AND f.fact_id AND mine.actor = v_actor
                        ORDER BY mine.fact_id DESC, mine.review_seq DESC
                        LIMIT 1
                    ), 'NONE') = 'NONE'
                    AND NOT EXISTS (SELECT 1 FROM llm.past_answer AS past WHERE past.job_id = f.job_id)
                ORDER BY f.review_priority DESC, f.fact_seq
                LIMIT usp_claim_facts.max_facts - cardinality(v_picked)
                FOR NO KEY UPDATE SKIP LOCKED
            );
        END IF;
        v_picked := v_picked || v_found;
        EXIT WHEN cardinality(v_picked) >= usp_claim_facts.max_facts;
    END LOOP;

    UPDATE llm.fact AS f
    SET
        review_claimed_by = v_actor,
        review_claim_expires_utc = clock_timestamp() + make_interval(secs => usp_claim_facts.claim_seconds)
    WHERE f.fact_seq = ANY (v_picked);

    RETURN QUERY
    SELECT f.fact_seq, f.fact_id, f.review_claimed_by, f.review_claim_expires_utc
    FROM unnest(v_picked) WITH ORDINALITY AS picked (fact_seq, place)
    JOIN llm.fact AS f ON f.fact_seq = picked.fact_seq
    ORDER BY picked.place;
END;
$$;

CALL llm.grant_procedure('usp_claim_facts', 'llm_operator');
