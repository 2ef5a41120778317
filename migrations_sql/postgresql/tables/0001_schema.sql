-- The schema, and the record of which script was applied with which text. Then the type of every *_json column.
CREATE SCHEMA IF NOT EXISTS llm;

-- JSON is text here, objects only. A domain is judged when a value is assigned; a CHECK of the table would read (and
-- fetch from TOAST) every document again whenever a heartbeat touches its row.
DO $$
BEGIN
    CREATE DOMAIN llm.json_object AS text CONSTRAINT ck_json_object CHECK (json_typeof(value::json) = 'object');
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

CREATE TABLE IF NOT EXISTS llm.schema_script (
    script_name varchar(200) COLLATE "C" NOT NULL,
    sha256 varchar(64) COLLATE "C" NOT NULL,
    applied_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_schema_script PRIMARY KEY (script_name),
    CONSTRAINT ck_schema_script_sha256 CHECK (
        length(sha256) = 64 AND translate(sha256, '0123456789abcdef', '') = ''
    )
);
