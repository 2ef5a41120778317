-- Derivations: a source and an interrogation, whose answers are kept current. llm.derivation is what was declared,
-- llm.subject one entity of one derivation: what its newest job was asked, and which answer is in use.
-- No hot row: a worker never writes a subject. usp_settle_subjects reads the events of jobs, behind the hours' mark,
-- and settles the subjects whose jobs they are of.
CREATE TABLE IF NOT EXISTS llm.derivation (
    derivation_seq bigint GENERATED ALWAYS AS IDENTITY,
    derivation_key llm.key_200 NOT NULL,
    declared_in varchar(40) COLLATE "C" NOT NULL,
    source_name llm.key_200 NOT NULL,
    interrogation_key llm.key_200 NOT NULL,
    -- Pinned; null: the version that workers use now.
    version varchar(40) COLLATE "C" NULL,
    -- Null: the workers' own.
    model llm.key_200 NULL,
    priority integer NOT NULL DEFAULT 100,
    max_attempts integer NOT NULL DEFAULT 3,
    -- Five fields of cron, UTC; null: applied by hand only.
    schedule varchar(100) COLLATE "C" NULL,
    rate_per_minute integer NULL,
    depth_limit integer NULL,
    budget_tokens bigint NULL,
    budget_model_seconds bigint NULL,
    retire_policy varchar(40) COLLATE "C" NOT NULL,
    created_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by varchar(200) COLLATE "C" NOT NULL,
    changed_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by varchar(200) COLLATE "C" NOT NULL,
    paused_utc timestamptz NULL,
    paused_by varchar(200) COLLATE "C" NULL,
    pause_reason text NULL,
    -- The newest comparison of all subjects, and the newest that left nothing to queue.
    planned_utc timestamptz NULL,
    applied_utc timestamptz NULL,
    next_utc timestamptz NULL,
    -- With a rate: jobs queued so far start until then.
    paced_until_utc timestamptz NULL,
    CONSTRAINT pk_derivation PRIMARY KEY (derivation_key),
    CONSTRAINT ck_derivation_declared_in CHECK (declared_in IN ('file', 'admin')),
    CONSTRAINT ck_derivation_retire_policy CHECK (retire_policy IN ('keep', 'retire')),
    CONSTRAINT ck_derivation_priority CHECK (priority >= 0),
    CONSTRAINT ck_derivation_max_attempts CHECK (max_attempts >= 1),
    CONSTRAINT ck_derivation_rate_per_minute CHECK (rate_per_minute >= 1),
    CONSTRAINT ck_derivation_depth_limit CHECK (depth_limit >= 1),
    CONSTRAINT ck_derivation_budget_tokens CHECK (budget_tokens >= 1),
    CONSTRAINT ck_derivation_budget_model_seconds CHECK (budget_model_seconds >= 1)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_derivation_seq ON llm.derivation (derivation_seq);

CREATE TABLE IF NOT EXISTS llm.subject (
    subject_seq bigint GENERATED ALWAYS AS IDENTITY,
    derivation_seq bigint NOT NULL,
    entity_type llm.key_200 NOT NULL,
    entity_id llm.key_400 NOT NULL,
    state varchar(40) COLLATE "C" NOT NULL,
    stale_because varchar(40) COLLATE "C" NULL,
    -- Of a retired one that a rule leaves out: the rule's reason.
    why varchar(400) COLLATE "C" NULL,
    -- What the newest job was asked: token and fingerprint of its evidence, definition, model.
    change_token varchar(400) COLLATE "C" NULL,
    evidence_sha256 llm.sha256 NULL,
    definition_sha256 llm.sha256 NULL,
    model varchar(200) COLLATE "C" NULL,
    -- How often somebody asked again; part of the job's id.
    asks integer NOT NULL DEFAULT 0,
    job_id uuid NULL,
    -- The answer in use: its job and its run.
    answer_job_id uuid NULL,
    run_id uuid NULL,
    changed_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    answered_utc timestamptz NULL,
    CONSTRAINT pk_subject PRIMARY KEY (subject_seq),
    CONSTRAINT ck_subject_state CHECK (
        state IN ('MISSING', 'QUEUED', 'CURRENT', 'STALE', 'FAILED', 'RETIRED')
    ),
    CONSTRAINT ck_subject_stale_because CHECK (stale_because IN ('evidence', 'definition', 'model', 'asked'))
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_subject_entity ON llm.subject (derivation_seq, entity_type, entity_id);
CREATE INDEX IF NOT EXISTS ix_subject_state ON llm.subject (derivation_seq, state, subject_seq) INCLUDE (stale_because);
CREATE INDEX IF NOT EXISTS ix_subject_job ON llm.subject (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_subject_answer_job ON llm.subject (answer_job_id) WHERE answer_job_id IS NOT NULL;

-- Jobs whose answers are no longer in use: a newer one succeeded, or the subject is gone. Their facts are not admitted.
CREATE TABLE IF NOT EXISTS llm.past_answer (
    job_id uuid NOT NULL,
    because varchar(40) COLLATE "C" NOT NULL,
    since_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_past_answer PRIMARY KEY (job_id),
    CONSTRAINT ck_past_answer_because CHECK (because IN ('superseded', 'retired'))
);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.derivation, llm.subject, llm.past_answer TO %I', v_role);
    END LOOP;
END;
$$;
