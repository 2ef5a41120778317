-- Every change of a job's state, and who made it; only ever inserted. No foreign key: history may outlive its job.
CREATE TABLE IF NOT EXISTS llm.job_event (
    event_seq bigint GENERATED ALWAYS AS IDENTITY,
    job_id uuid NOT NULL,
    run_id uuid NULL,
    at_utc timestamptz NOT NULL,
    event llm.job_event_name NOT NULL,
    from_status llm.job_status NULL,
    to_status llm.job_status NOT NULL,
    actor varchar(200) COLLATE "C" NOT NULL,
    -- The login that really did it, also inside a SECURITY DEFINER function.
    db_user varchar(200) COLLATE "C" NOT NULL DEFAULT session_user,
    reason text NULL,
    detail_json llm.json_object NULL,
    CONSTRAINT pk_job_event PRIMARY KEY (event_seq)
);

CREATE INDEX IF NOT EXISTS ix_job_event_job ON llm.job_event (job_id, event_seq);
