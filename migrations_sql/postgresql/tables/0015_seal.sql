-- Sealed history: job_event hashed into a chain, a row a seal; and the event by which a purge says what it took.
-- A seal's document, with every hash it holds, is in the lake; pending_json keeps it until it is there.
CREATE TABLE IF NOT EXISTS llm.seal (
    seal_seq bigint NOT NULL,
    first_event_seq bigint NOT NULL,
    last_event_seq bigint NOT NULL,
    event_count integer NOT NULL,
    -- The head of the seal before; of the first one 64 zeros.
    previous_sha256 llm.sha256 NOT NULL,
    -- The head: of the document's bytes, among which is the head before.
    sha256 llm.sha256 NOT NULL,
    created_utc timestamptz NOT NULL,
    db_user varchar(200) COLLATE "C" NOT NULL DEFAULT session_user,
    pending_json llm.json_object NULL,
    CONSTRAINT pk_seal PRIMARY KEY (seal_seq),
    CONSTRAINT ck_seal_seal_seq CHECK (seal_seq >= 1),
    CONSTRAINT ck_seal_event_count CHECK (event_count >= 1)
);

CREATE INDEX IF NOT EXISTS ix_seal_pending ON llm.seal (seal_seq) WHERE pending_json IS NOT NULL;

ALTER DOMAIN llm.job_event_name DROP CONSTRAINT IF EXISTS ck_job_event_event;
ALTER DOMAIN llm.job_event_name ADD CONSTRAINT ck_job_event_event CHECK (
    value IN (
        'enqueued', 'promoted', 'claimed', 'completed', 'retried', 'dead_lettered', 'released', 'lease_expired',
        'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held',
        'unheld', 'purged'
    )
);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.seal TO %I', v_role);
    END LOOP;
END;
$$;
