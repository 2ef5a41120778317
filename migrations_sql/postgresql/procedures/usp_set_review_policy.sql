-- llm.usp_set_review_policy: says which share of an interrogation's admitted facts people look at (sample_percent, 0 to
--   100), and how many reviewers decide (reviewers, 1 or 2). Null leaves a value as it is.
-- Promises: facts that are stored after this call go by it, and decisions too. changed false: it was so already. The
--   row before stays.
-- Called by: maintainers (admin).
-- Locks: none that another waits for.
CALL llm.drop_procedure('usp_set_review_policy');

CREATE TYPE llm.usp_set_review_policy_result AS (
    changed boolean
);

CREATE FUNCTION llm.usp_set_review_policy(
    interrogation_key text,
    actor text,
    sample_percent numeric DEFAULT NULL,
    reviewers integer DEFAULT NULL,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_set_review_policy_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_set_review_policy.actor);
    v_key text := btrim(usp_set_review_policy.interrogation_key);
    v_old record;
    v_sample_percent numeric(5, 2);
    v_reviewers integer;
BEGIN
    IF coalesce(char_length(v_key), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC004', MESSAGE = 'interrogation_key is missing, blank or longer than 200 characters';
    END IF;
    IF usp_set_review_policy.sample_percent NOT BETWEEN 0 AND 100
        OR usp_set_review_policy.reviewers NOT BETWEEN 1 AND 2
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC052', MESSAGE = 'sample_percent is not between 0 and 100, or reviewers not 1 or 2';
    END IF;

    SELECT p.sample_percent, p.reviewers
    INTO v_old
    FROM llm.review_policy AS p
    WHERE p.interrogation_key = v_key
    ORDER BY p.policy_seq DESC
    LIMIT 1;
    v_sample_percent := coalesce(usp_set_review_policy.sample_percent, v_old.sample_percent, 2);
    v_reviewers := coalesce(usp_set_review_policy.reviewers, v_old.reviewers, 1);

    IF v_sample_percent = coalesce(v_old.sample_percent, 2) AND v_reviewers = coalesce(v_old.reviewers, 1) THEN
        RETURN NEXT ROW(FALSE)::llm.usp_set_review_policy_result;
        RETURN;
    END IF;
    INSERT INTO llm.review_policy (interrogation_key, sample_percent, reviewers, changed_utc, changed_by, reason)
    VALUES (
        v_key, v_sample_percent, v_reviewers, clock_timestamp(), v_actor, nullif(btrim(usp_set_review_policy.reason), '')
    );
    RETURN NEXT ROW(TRUE)::llm.usp_set_review_policy_result;
END;
$$;

CALL llm.grant_procedure('usp_set_review_policy', 'llm_operator');
