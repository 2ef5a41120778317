-- Batches: jobs queued together, with a counted end. llm.batch has what was asked for and what became of it,
-- llm.batch_event its history, llm.batch_count its jobs by state, llm.batch_progress its pace, llm.batch_spend what was
-- spent and is not yet added up.
-- No hot row: a worker never writes a batch as its jobs move. Whoever makes a job of a batch unfinished (enqueue,
-- requeue) locks the batch's row first; usp_sweep_batches locks it too, looks for an unfinished job and ends the batch
-- if there is none. So an end is counted once, and never while a job is on its way in. There is no foreign key from
-- job: it would lock the batch's row for each job, and enqueue, the only writer, has just read it.
CREATE TABLE IF NOT EXISTS llm.batch (
    batch_seq bigint GENERATED ALWAYS AS IDENTITY,
    batch_id uuid NOT NULL DEFAULT gen_random_uuid(),
    name llm.key_200 NOT NULL,
    created_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by varchar(200) COLLATE "C" NOT NULL,
    derivation_key llm.key_200 NULL,
    -- The batch whose on_finish made this one.
    previous_batch_id uuid NULL,
    queued_jobs bigint NOT NULL DEFAULT 0,
    duplicate_jobs bigint NOT NULL DEFAULT 0,
    -- From then on it may end; more jobs may still come until it has.
    filled_utc timestamptz NULL,
    paused_utc timestamptz NULL,
    paused_by varchar(200) COLLATE "C" NULL,
    pause_reason text NULL,
    -- A pause or resume is brought to the jobs in steps, in job_seq order: this far. Null: to all of them.
    marked_job_seq bigint NULL,
    cancelled_utc timestamptz NULL,
    cancelled_by varchar(200) COLLATE "C" NULL,
    budget_tokens bigint NULL,
    budget_model_seconds bigint NULL,
    spent_tokens bigint NOT NULL DEFAULT 0,
    spent_model_ms bigint NOT NULL DEFAULT 0,
    on_finish_json llm.json_object NULL,
    continued_utc timestamptz NULL,
    finished_utc timestamptz NULL,
    -- Whether sweeps look at it: until it has ended, and after that while jobs of it are requeued or it must continue.
    is_watched boolean NOT NULL DEFAULT TRUE,
    counted_utc timestamptz NULL,
    count_ms integer NOT NULL DEFAULT 0,
    CONSTRAINT pk_batch PRIMARY KEY (batch_id),
    CONSTRAINT ck_batch_budget_tokens CHECK (budget_tokens >= 1),
    CONSTRAINT ck_batch_budget_model_seconds CHECK (budget_model_seconds >= 1)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_batch_seq ON llm.batch (batch_seq);
-- A name finds the batch that has not ended; ended ones keep theirs.
CREATE UNIQUE INDEX IF NOT EXISTS ux_batch_open_name ON llm.batch (name) WHERE finished_utc IS NULL;
CREATE INDEX IF NOT EXISTS ix_batch_name ON llm.batch (name, batch_seq);
CREATE INDEX IF NOT EXISTS ix_batch_watched ON llm.batch (batch_seq) WHERE is_watched = TRUE;

CREATE TABLE IF NOT EXISTS llm.batch_event (
    event_seq bigint GENERATED ALWAYS AS IDENTITY,
    batch_id uuid NOT NULL,
    at_utc timestamptz NOT NULL,
    event varchar(40) COLLATE "C" NOT NULL,
    actor varchar(200) COLLATE "C" NOT NULL,
    -- The login that really did it, also inside a SECURITY DEFINER function.
    db_user varchar(200) COLLATE "C" NOT NULL DEFAULT session_user,
    reason text NULL,
    detail_json llm.json_object NULL,
    CONSTRAINT pk_batch_event PRIMARY KEY (event_seq),
    CONSTRAINT ck_batch_event_event CHECK (
        event IN (
            'batch_created', 'batch_filled', 'batch_paused', 'batch_resumed', 'batch_cancelled',
            'batch_budget_changed', 'batch_finished', 'batch_continued'
        )
    )
);

CREATE INDEX IF NOT EXISTS ix_batch_event_batch ON llm.batch_event (batch_id, event_seq);

-- Rows of one state add up. A sweep replaces what it counted (is_purged false) as a whole; a purge adds what it removed
-- (is_purged true), and takes it from what was counted, so the sum is right at any time.
CREATE TABLE IF NOT EXISTS llm.batch_count (
    count_seq bigint GENERATED ALWAYS AS IDENTITY,
    batch_id uuid NOT NULL,
    status varchar(40) COLLATE "C" NOT NULL,
    error_kind varchar(40) COLLATE "C" NOT NULL,
    is_purged boolean NOT NULL,
    jobs bigint NOT NULL,
    CONSTRAINT pk_batch_count PRIMARY KEY (count_seq)
);

CREATE INDEX IF NOT EXISTS ix_batch_count_batch ON llm.batch_count (batch_id, count_seq);

CREATE TABLE IF NOT EXISTS llm.batch_progress (
    progress_seq bigint GENERATED ALWAYS AS IDENTITY,
    batch_id uuid NOT NULL,
    at_utc timestamptz NOT NULL,
    ended_jobs bigint NOT NULL,
    spent_tokens bigint NOT NULL,
    spent_model_ms bigint NOT NULL,
    CONSTRAINT pk_batch_progress PRIMARY KEY (progress_seq)
);

CREATE INDEX IF NOT EXISTS ix_batch_progress_batch ON llm.batch_progress (batch_id, progress_seq);

-- Written by the roll-up of hours, which sees the end of each run once; taken away by the sweep that adds it up.
CREATE TABLE IF NOT EXISTS llm.batch_spend (
    spend_seq bigint GENERATED ALWAYS AS IDENTITY,
    batch_id uuid NOT NULL,
    tokens bigint NOT NULL,
    model_ms bigint NOT NULL,
    CONSTRAINT pk_batch_spend PRIMARY KEY (spend_seq)
);

ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS batch_id uuid NULL;
-- Set while the batch is paused: not to be claimed, whatever its state.
ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS paused_utc timestamptz NULL;

-- Unfinished jobs of a batch. A job keeps its place here until it ends, whatever moves it makes: a look at this index
-- cannot miss it between two states, and a pass along it meets each job once.
CREATE INDEX IF NOT EXISTS ix_job_batch_open ON llm.job (batch_id, job_seq)
WHERE batch_id IS NOT NULL AND finished_utc IS NULL;
-- Reading side: lists and counts.
CREATE INDEX IF NOT EXISTS ix_job_batch_status ON llm.job (batch_id, status, job_seq) INCLUDE (error_kind)
WHERE batch_id IS NOT NULL;

-- The claim's indexes again, without paused jobs: a claim never walks over them, however many they are.
CREATE INDEX IF NOT EXISTS ix_job_claimable ON llm.job (priority DESC, available_utc, job_seq)
WHERE status = 'NEW' AND paused_utc IS NULL;
CREATE INDEX IF NOT EXISTS ix_job_claimable_model ON llm.job (model_hint, priority DESC, available_utc, job_seq)
WHERE status = 'NEW' AND paused_utc IS NULL;
CREATE INDEX IF NOT EXISTS ix_job_claimable_priority ON llm.job (priority DESC, coalesce(model_hint, '') DESC)
WITH (deduplicate_items = off) WHERE status = 'NEW' AND paused_utc IS NULL;
DROP INDEX IF EXISTS llm.ix_job_ready;
DROP INDEX IF EXISTS llm.ix_job_ready_model;
DROP INDEX IF EXISTS llm.ix_job_ready_priority;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format(
            'GRANT SELECT ON llm.batch, llm.batch_event, llm.batch_count, llm.batch_progress, llm.batch_spend TO %I',
            v_role
        );
    END LOOP;
END;
$$;
