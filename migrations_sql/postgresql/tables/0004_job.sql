-- The queue. Only the procedures write here.
-- fillfactor 75 leaves room for heartbeats to be HOT updates (lease_expires_utc stands in no index, and must not);
-- every job's row is rewritten at least twice, so the table is vacuumed at 1 % of change, not at the usual 20 %.
CREATE TABLE IF NOT EXISTS llm.job (
    job_seq bigint GENERATED ALWAYS AS IDENTITY,
    job_id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by varchar(200) COLLATE "C" NOT NULL,
    status llm.job_status NOT NULL,
    priority integer NOT NULL DEFAULT 100,
    interrogation_key llm.key_200 NOT NULL,
    entity_type varchar(200) COLLATE "C" NULL,
    entity_id varchar(400) COLLATE "C" NULL,
    input_json llm.json_object NOT NULL,
    evidence_ref_json llm.json_object NULL,
    model_hint llm.key_200 NULL,
    max_attempts integer NOT NULL DEFAULT 3,
    attempt_count integer NOT NULL DEFAULT 0,
    available_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    locked_by varchar(200) COLLATE "C" NULL,
    locked_utc timestamptz NULL,
    lease_expires_utc timestamptz NULL,
    current_run_id uuid NULL,
    cancel_requested_utc timestamptz NULL,
    hold_utc timestamptz NULL,
    dedupe_key llm.key_400 NULL,
    repeats_run_id uuid NULL,
    last_error text NULL,
    error_kind varchar(40) COLLATE "C" NULL,
    finished_utc timestamptz NULL,
    CONSTRAINT pk_job PRIMARY KEY (job_id),
    CONSTRAINT ck_job_priority CHECK (priority >= 0),
    CONSTRAINT ck_job_max_attempts CHECK (max_attempts >= 1),
    CONSTRAINT ck_job_attempt_count CHECK (attempt_count >= 0),
    -- A lease stands, with all its parts, exactly while the job runs.
    CONSTRAINT ck_job_lease CHECK (
        num_nonnulls(locked_by, locked_utc, lease_expires_utc, current_run_id)
        = CASE status WHEN 'RUNNING' THEN 4 ELSE 0 END
    ),
    CONSTRAINT ck_job_finished CHECK (
        (finished_utc IS NULL) = (status IN ('NEW', 'SCHEDULED', 'RUNNING'))
    )
) WITH (
    fillfactor = 75,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02
);

-- Queue side. The claim walks ix_job_ready (any model) or two ranges of ix_job_ready_model (one model, or none) in
-- exactly its own order; waiting rows are in ix_job_due alone, so that no claim walks over them.
CREATE UNIQUE INDEX IF NOT EXISTS ux_job_seq ON llm.job (job_seq);
CREATE INDEX IF NOT EXISTS ix_job_ready ON llm.job (priority DESC, available_utc, job_seq) WHERE status = 'NEW';
CREATE INDEX IF NOT EXISTS ix_job_ready_model ON llm.job (model_hint, priority DESC, available_utc, job_seq)
WHERE status = 'NEW';
CREATE INDEX IF NOT EXISTS ix_job_due ON llm.job (available_utc, job_seq) WHERE status = 'SCHEDULED';
-- A worker's live runs (heartbeat), and all live runs (reap).
CREATE INDEX IF NOT EXISTS ix_job_running ON llm.job (locked_by, job_seq) WHERE status = 'RUNNING';
CREATE UNIQUE INDEX IF NOT EXISTS ux_job_dedupe ON llm.job (dedupe_key, interrogation_key)
WHERE dedupe_key IS NOT NULL AND status IN ('NEW', 'SCHEDULED', 'RUNNING', 'SUCCEEDED');

-- Reading side: pages by key within one filter. A filter on IS NOT NULL still serves `column = parameter`.
CREATE INDEX IF NOT EXISTS ix_job_status ON llm.job (status, job_seq);
CREATE INDEX IF NOT EXISTS ix_job_finished ON llm.job (finished_utc, job_seq);
CREATE INDEX IF NOT EXISTS ix_job_entity ON llm.job (entity_type, entity_id, job_seq);
CREATE INDEX IF NOT EXISTS ix_job_entity_id ON llm.job (entity_id, job_seq) WHERE entity_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_job_interrogation ON llm.job (interrogation_key, job_seq);
CREATE INDEX IF NOT EXISTS ix_job_created_by ON llm.job (created_by, job_seq);
CREATE INDEX IF NOT EXISTS ix_job_model ON llm.job (model_hint, job_seq) WHERE model_hint IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_job_error_kind ON llm.job (error_kind, job_seq) WHERE error_kind IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_job_dedupe_key ON llm.job (dedupe_key, job_seq) WHERE dedupe_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_job_repeats ON llm.job (repeats_run_id) WHERE repeats_run_id IS NOT NULL;
