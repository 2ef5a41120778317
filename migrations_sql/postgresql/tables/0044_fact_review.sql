-- Reviews: what people decided about facts, which facts wait for a decision, and how many reviewers an interrogation
-- asks for. A fact waits while it has a review_priority, the priority of its job; review_round counts the opinions it
-- has so far. Who looks at it claims it for a while: review_claimed_by, review_claim_expires_utc, in no index.
ALTER TABLE llm.fact
ADD COLUMN IF NOT EXISTS review_priority integer NULL,
ADD COLUMN IF NOT EXISTS review_round integer NOT NULL DEFAULT 0,
ADD COLUMN IF NOT EXISTS review_claimed_by varchar(200) COLLATE "C" NULL,
ADD COLUMN IF NOT EXISTS review_claim_expires_utc timestamptz NULL,
-- The place that a correction names; the fact's own quote stays as it was answered.
ADD COLUMN IF NOT EXISTS corrected_quote text NULL,
ADD COLUMN IF NOT EXISTS corrected_evidence_id varchar(400) COLLATE "C" NULL,
ADD COLUMN IF NOT EXISTS corrected_quote_start integer NULL,
ADD COLUMN IF NOT EXISTS corrected_quote_end integer NULL;

UPDATE llm.fact AS f
SET review_priority = j.priority
FROM llm.job AS j
WHERE
    f.job_id = j.job_id
    AND f.review_priority IS NULL
    AND (f.review_status = 'OPEN' OR (f.conflict_id IS NOT NULL AND f.review_status = 'NONE'));

CREATE INDEX IF NOT EXISTS ix_fact_to_review ON llm.fact (review_round, review_priority DESC, fact_seq)
WHERE review_priority IS NOT NULL AND is_current;

DO $$
BEGIN
    CREATE DOMAIN llm.fact_review_decision AS varchar(40) COLLATE "C" CONSTRAINT ck_fact_review_decision CHECK (
        value IN ('ACCEPTED', 'CORRECTED', 'REJECTED', 'NOT_SURE', 'NONE', 'ADDED')
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

-- Append only. No foreign key: a fact that is rebuilt as another leaves its reviews, which a purge of the run takes.
CREATE TABLE IF NOT EXISTS llm.fact_review (
    review_seq bigint GENERATED ALWAYS AS IDENTITY,
    review_id uuid NOT NULL DEFAULT gen_random_uuid(),
    fact_id uuid NOT NULL,
    run_id uuid NOT NULL,
    job_id uuid NOT NULL,
    fact_index integer NOT NULL,
    -- NONE takes back what the same person decided before.
    decision llm.fact_review_decision NOT NULL,
    from_status llm.fact_review_status NOT NULL,
    to_status llm.fact_review_status NOT NULL,
    at_utc timestamptz NOT NULL,
    actor varchar(200) COLLATE "C" NOT NULL,
    db_user varchar(200) COLLATE "C" NOT NULL DEFAULT session_user,
    reason text NULL,
    -- Why it was to be reviewed: verdict, conflict, sample; asked: it was not.
    because varchar(40) COLLATE "C" NOT NULL,
    -- The fact as it was decided on.
    interrogation_key varchar(200) COLLATE "C" NOT NULL,
    fact_key varchar(200) COLLATE "C" NULL,
    value text NULL,
    value_key varchar(400) COLLATE "C" NULL,
    proof varchar(40) COLLATE "C" NOT NULL,
    verdict llm.fact_verdict NOT NULL,
    confidence numeric(5, 2) NULL,
    corrected_value text NULL,
    corrected_value_key varchar(400) COLLATE "C" NULL,
    evidence_id varchar(400) COLLATE "C" NULL,
    quote text NULL,
    quote_start integer NULL,
    quote_end integer NULL,
    CONSTRAINT pk_fact_review PRIMARY KEY (review_id)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_fact_review_seq ON llm.fact_review (review_seq);
CREATE INDEX IF NOT EXISTS ix_fact_review_fact ON llm.fact_review (fact_id, review_seq);
CREATE INDEX IF NOT EXISTS ix_fact_review_run ON llm.fact_review (run_id);

-- Append only: the newest row of an interrogation holds. Without one: 2 %, one reviewer.
CREATE TABLE IF NOT EXISTS llm.review_policy (
    policy_seq bigint GENERATED ALWAYS AS IDENTITY,
    interrogation_key varchar(200) COLLATE "C" NOT NULL,
    sample_percent numeric(5, 2) NOT NULL,
    reviewers integer NOT NULL,
    changed_utc timestamptz NOT NULL,
    changed_by varchar(200) COLLATE "C" NOT NULL,
    db_user varchar(200) COLLATE "C" NOT NULL DEFAULT session_user,
    reason text NULL,
    CONSTRAINT pk_review_policy PRIMARY KEY (policy_seq),
    CONSTRAINT ck_review_policy_bounds CHECK (sample_percent BETWEEN 0 AND 100 AND reviewers BETWEEN 1 AND 2)
);

CREATE INDEX IF NOT EXISTS ix_review_policy_key ON llm.review_policy (interrogation_key, policy_seq);

ALTER DOMAIN llm.job_event_name DROP CONSTRAINT IF EXISTS ck_job_event_event;
ALTER DOMAIN llm.job_event_name ADD CONSTRAINT ck_job_event_event CHECK (
    value IN (
        'enqueued', 'promoted', 'claimed', 'completed', 'retried', 'dead_lettered', 'released', 'lease_expired',
        'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held',
        'unheld', 'purged', 'fact_reviewed'
    )
);

-- Whether a fact is of the share of admitted ones that people look at: always the same answer for one fact.
CREATE OR REPLACE FUNCTION llm.is_in_review_sample(fact_id uuid, sample_percent numeric)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (pg_catalog.uuid_hash_extended(fact_id, 0) & 65535) < sample_percent * 655.36
$$;

-- The place in the queue of a fact about which somebody has to decide: none for one that was decided on.
CREATE OR REPLACE FUNCTION llm.review_priority_of(job_id uuid, review_status text, review_priority integer)
RETURNS integer
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN review_priority_of.review_status IN ('NONE', 'OPEN')
            THEN coalesce(
                review_priority_of.review_priority,
                (SELECT j.priority FROM llm.job AS j WHERE j.job_id = review_priority_of.job_id)
            )
    END
$$;

REVOKE ALL ON FUNCTION llm.is_in_review_sample(uuid, numeric) FROM public;
REVOKE ALL ON FUNCTION llm.review_priority_of(uuid, text, integer) FROM public;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.fact_review, llm.review_policy TO %I', v_role);
    END LOOP;
END;
$$;
