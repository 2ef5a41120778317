-- The schema, and the record of which script was applied with which text. Everything else stands on these two.
CREATE SCHEMA IF NOT EXISTS llm;

CREATE TABLE IF NOT EXISTS llm.schema_script (
    script_name varchar(200) COLLATE "C" NOT NULL,
    sha256 varchar(64) COLLATE "C" NOT NULL,
    applied_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_schema_script PRIMARY KEY (script_name),
    CONSTRAINT ck_schema_script_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$')
);
