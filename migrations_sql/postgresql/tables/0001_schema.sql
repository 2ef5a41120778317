-- The schema, the types of its columns, and the record of which script was applied with which text. Everything else
-- stands on these.
CREATE SCHEMA IF NOT EXISTS llm;

-- What one column alone can tell is checked by its domain, not by a CHECK of the table. A table's checks are read,
-- planned and run by every statement that writes a row (measured: a fifth of a completion), and read every document
-- again, from TOAST too, when a heartbeat touches its row; a domain is prepared once a connection, and judges only what
-- is assigned.
DO $$
BEGIN
    CREATE DOMAIN llm.job_status AS varchar(40) COLLATE "C" CONSTRAINT ck_job_status CHECK (
        value IN ('NEW', 'SCHEDULED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'DEADLETTER', 'CANCELLED')
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

DO $$
BEGIN
    CREATE DOMAIN llm.run_status AS varchar(40) COLLATE "C" CONSTRAINT ck_run_status CHECK (
        value IN ('RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

DO $$
BEGIN
    CREATE DOMAIN llm.job_event_name AS varchar(40) COLLATE "C" CONSTRAINT ck_job_event_event CHECK (
        value IN (
            'enqueued', 'promoted', 'claimed', 'completed', 'retried', 'dead_lettered', 'released', 'lease_expired',
            'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held',
            'unheld'
        )
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

-- Keys without blanks at their ends: SQL Server ignores those when it compares, PostgreSQL does not.
DO $$
BEGIN
    CREATE DOMAIN llm.key_200 AS varchar(200) COLLATE "C" CONSTRAINT ck_key_200 CHECK (
        value <> '' AND value = btrim(value)
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

DO $$
BEGIN
    CREATE DOMAIN llm.key_400 AS varchar(400) COLLATE "C" CONSTRAINT ck_key_400 CHECK (
        value <> '' AND value = btrim(value)
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

-- 64 hex, lower case. One repeated class only: an automaton of 64 states would be built anew at each use.
DO $$
BEGIN
    CREATE DOMAIN llm.sha256 AS varchar(64) COLLATE "C" CONSTRAINT ck_sha256 CHECK (
        length(value) = 64 AND value ~ '^[0-9a-f]+$'
    );
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END;
$$;

-- JSON is text here, objects only. A text that is no JSON at all is refused by the cast.
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
    sha256 llm.sha256 NOT NULL,
    applied_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_schema_script PRIMARY KEY (script_name)
);
