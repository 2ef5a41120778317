-- Attempts at jobs. A run's row is made by the claim and ended once: by completion, release or reap.
CREATE TABLE IF NOT EXISTS llm.run (
    run_seq bigint GENERATED ALWAYS AS IDENTITY,
    run_id uuid NOT NULL DEFAULT gen_random_uuid(),
    job_id uuid NOT NULL,
    attempt integer NOT NULL,
    counted boolean NOT NULL DEFAULT TRUE,
    started_utc timestamptz NOT NULL,
    completed_utc timestamptz NULL,
    lease_until_utc timestamptz NOT NULL,
    status llm.run_status NOT NULL,
    worker_id varchar(200) COLLATE "C" NOT NULL,
    ollama_base_url varchar(400) COLLATE "C" NULL,
    model_name varchar(200) COLLATE "C" NULL,
    model_tag varchar(200) COLLATE "C" NULL,
    model_digest varchar(100) COLLATE "C" NULL,
    options_json llm.json_object NULL,
    metrics_json llm.json_object NULL,
    prompt_tokens integer NULL,
    output_tokens integer NULL,
    total_ms bigint NULL,
    interrogation_version varchar(40) COLLATE "C" NULL,
    definition_sha256 llm.sha256 NULL,
    evidence_sha256 llm.sha256 NULL,
    output_json llm.json_object NULL,
    trace_id varchar(64) COLLATE "C" NULL,
    error_kind varchar(40) COLLATE "C" NULL,
    error text NULL,
    CONSTRAINT pk_run PRIMARY KEY (run_id),
    CONSTRAINT fk_run_job FOREIGN KEY (job_id) REFERENCES llm.job (job_id),
    CONSTRAINT ck_run_attempt CHECK (attempt >= 1),
    CONSTRAINT ck_run_completed CHECK ((completed_utc IS NULL) = (status = 'RUNNING'))
) WITH (
    fillfactor = 75,  -- lease_until_utc is renewed by every heartbeat: HOT, as long as it stands in no index
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_run_seq ON llm.run (run_seq);
CREATE UNIQUE INDEX IF NOT EXISTS ux_run_job_attempt ON llm.run (job_id, attempt);
-- One success a job, held by the database itself.
CREATE UNIQUE INDEX IF NOT EXISTS ux_run_succeeded ON llm.run (job_id) WHERE status = 'SUCCEEDED';
CREATE INDEX IF NOT EXISTS ix_run_completed ON llm.run (completed_utc, run_seq);
