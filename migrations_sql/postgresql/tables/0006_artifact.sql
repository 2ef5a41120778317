-- Files that runs left in the lake. Written once, by the completion; ux_artifact_run_type also serves reading by run.
CREATE TABLE IF NOT EXISTS llm.artifact (
    artifact_seq bigint GENERATED ALWAYS AS IDENTITY,
    artifact_id uuid NOT NULL DEFAULT gen_random_uuid(),
    run_id uuid NOT NULL,
    artifact_type varchar(40) COLLATE "C" NOT NULL,
    media_type varchar(200) COLLATE "C" NOT NULL,
    content_sha256 llm.sha256 NOT NULL,
    byte_count bigint NOT NULL,
    lake_uri varchar(400) COLLATE "C" NOT NULL,
    created_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_artifact PRIMARY KEY (artifact_id),
    CONSTRAINT fk_artifact_run FOREIGN KEY (run_id) REFERENCES llm.run (run_id),
    CONSTRAINT ck_artifact_type CHECK (artifact_type <> ''),
    CONSTRAINT ck_artifact_byte_count CHECK (byte_count >= 0),
    CONSTRAINT ck_artifact_lake_uri CHECK (lake_uri <> '')
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_artifact_seq ON llm.artifact (artifact_seq);
CREATE UNIQUE INDEX IF NOT EXISTS ux_artifact_run_type ON llm.artifact (run_id, artifact_type);
