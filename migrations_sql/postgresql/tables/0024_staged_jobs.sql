-- Jobs that are to be queued as a whole, part by part as they came: nothing of them is in the queue before they are
-- published together. Whoever does not come to that leaves them behind; they go when somebody else begins.
CREATE TABLE IF NOT EXISTS llm.staged_jobs (
    staged_seq bigint GENERATED ALWAYS AS IDENTITY,
    stage_id uuid NOT NULL,
    part_no integer NOT NULL,
    jobs_json text NOT NULL,
    staged_utc timestamptz NOT NULL,
    CONSTRAINT pk_staged_jobs PRIMARY KEY (staged_seq)
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_staged_jobs_part ON llm.staged_jobs (stage_id, part_no);
CREATE INDEX IF NOT EXISTS ix_staged_jobs_staged ON llm.staged_jobs (staged_utc);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.staged_jobs TO %I', v_role);
    END LOOP;
END;
$$;
