-- Long evidence: a job whose evidence does not fit one prompt waits as SPLIT while its parts, jobs of their own, are
-- worked. A part has parent_job_id, part_no (from 1) and part_count; its parent has part_count alone.
-- A part ends, and is made unfinished again, without its parent being written: usp_join_due_jobs looks for an
-- unfinished part in ix_job_part_open, holding the parent, and only that sweep sends parts back into the queue. So a
-- parent that is joined has no unfinished part, and is joined once.
ALTER DOMAIN llm.job_status DROP CONSTRAINT IF EXISTS ck_job_status;
ALTER DOMAIN llm.job_status ADD CONSTRAINT ck_job_status CHECK (
    value IN ('NEW', 'SCHEDULED', 'RUNNING', 'SPLIT', 'SUCCEEDED', 'FAILED', 'DEADLETTER', 'CANCELLED')
);
ALTER DOMAIN llm.run_status DROP CONSTRAINT IF EXISTS ck_run_status;
ALTER DOMAIN llm.run_status ADD CONSTRAINT ck_run_status CHECK (
    value IN ('RUNNING', 'SPLIT', 'SUCCEEDED', 'FAILED', 'CANCELLED')
);
ALTER DOMAIN llm.job_event_name DROP CONSTRAINT IF EXISTS ck_job_event_event;
ALTER DOMAIN llm.job_event_name ADD CONSTRAINT ck_job_event_event CHECK (
    value IN (
        'enqueued', 'promoted', 'claimed', 'completed', 'retried', 'dead_lettered', 'released', 'lease_expired',
        'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held',
        'unheld', 'purged', 'fact_reviewed', 'split', 'joined'
    )
);
ALTER TABLE llm.job DROP CONSTRAINT IF EXISTS ck_job_finished;
ALTER TABLE llm.job ADD CONSTRAINT ck_job_finished CHECK (
    (finished_utc IS NULL) = (status IN ('NEW', 'SCHEDULED', 'RUNNING', 'SPLIT'))
);

ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS parent_job_id uuid NULL;
ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS part_no integer NULL;
ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS part_count integer NULL;
-- Of a SPLIT job: what operators changed is brought to its parts in steps, in part_no order: this far. Null: to all.
ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS marked_part_no integer NULL;
-- What such a pass brings besides priority, model and cancellation: parts that ended unsuccessfully before the one are
-- queued again, waiting parts get the other as their available_utc. Null: neither.
ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS retry_parts_utc timestamptz NULL;
ALTER TABLE llm.job ADD COLUMN IF NOT EXISTS parts_available_utc timestamptz NULL;

-- A SPLIT job holds its dedupe key.
DROP INDEX IF EXISTS llm.ux_job_dedupe;
CREATE UNIQUE INDEX ux_job_dedupe ON llm.job (dedupe_key, interrogation_key)
WHERE dedupe_key IS NOT NULL AND status IN ('NEW', 'SCHEDULED', 'RUNNING', 'SPLIT', 'SUCCEEDED');

CREATE INDEX IF NOT EXISTS ix_job_split ON llm.job (job_seq) WHERE status = 'SPLIT';
CREATE UNIQUE INDEX IF NOT EXISTS ux_job_part ON llm.job (parent_job_id, part_no) INCLUDE (status)
WHERE parent_job_id IS NOT NULL;
-- Unfinished parts. A part keeps its place here until it ends, whatever moves it makes: a look cannot miss it between
-- two states.
CREATE INDEX IF NOT EXISTS ix_job_part_open ON llm.job (parent_job_id, part_no)
WHERE parent_job_id IS NOT NULL AND finished_utc IS NULL;

-- What counts and purges walk over, without parts: they go with their parents.
CREATE INDEX IF NOT EXISTS ix_job_batch_member ON llm.job (batch_id, status, job_seq) INCLUDE (error_kind)
WHERE batch_id IS NOT NULL AND parent_job_id IS NULL;
DROP INDEX IF EXISTS llm.ix_job_batch_status;
CREATE INDEX IF NOT EXISTS ix_job_purgeable ON llm.job (status, finished_utc, job_seq)
WHERE finished_utc IS NOT NULL AND hold_utc IS NULL AND parent_job_id IS NULL;
DROP INDEX IF EXISTS llm.ix_job_purge;

-- The parts of split jobs and what their runs left, for the run that joins them. Views read with their owner's rights.
CREATE OR REPLACE VIEW llm.v_part AS
SELECT
    p.parent_job_id,
    p.part_no,
    p.part_count,
    p.job_id,
    p.status,
    p.error_kind,
    p.last_error,
    p.evidence_ref_json,
    r.run_id,
    r.model_name,
    r.definition_sha256,
    r.evidence_sha256,
    r.output_json
FROM llm.job AS p
LEFT JOIN llm.run AS r ON p.job_id = r.job_id AND r.status = 'SUCCEEDED'
WHERE p.parent_job_id IS NOT NULL;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT r.rolname
        FROM pg_catalog.pg_roles AS r
        WHERE r.rolname IN ('llm_worker', 'llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.v_part TO %I', v_role);
    END LOOP;
END;
$$;
