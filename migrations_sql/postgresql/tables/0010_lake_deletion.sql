-- Files of purged jobs that the lake still has to lose: written with the purge, worked off and retried afterwards.
CREATE TABLE IF NOT EXISTS llm.lake_deletion (
    deletion_seq bigint GENERATED ALWAYS AS IDENTITY,
    job_id uuid NOT NULL,
    run_id uuid NOT NULL,
    lake_uri varchar(400) COLLATE "C" NOT NULL,
    requested_utc timestamptz NOT NULL,
    requested_by varchar(200) COLLATE "C" NOT NULL,
    reason text NULL,
    attempts integer NOT NULL DEFAULT 0,
    last_error text NULL,
    deleted_utc timestamptz NULL,
    CONSTRAINT pk_lake_deletion PRIMARY KEY (deletion_seq),
    CONSTRAINT ck_lake_deletion_attempts CHECK (attempts >= 0)
);

CREATE INDEX IF NOT EXISTS ix_lake_deletion_open ON llm.lake_deletion (deletion_seq) WHERE deleted_utc IS NULL;
