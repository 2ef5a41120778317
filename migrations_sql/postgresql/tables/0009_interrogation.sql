-- Definitions of interrogations, by their hash. A version, once registered, never changes.
CREATE TABLE IF NOT EXISTS llm.interrogation (
    definition_sha256 llm.sha256 NOT NULL,
    interrogation_key llm.key_200 NOT NULL,
    version varchar(40) COLLATE "C" NOT NULL,
    prompt_template text NOT NULL,
    output_schema_json llm.json_object NOT NULL,
    rubric text NOT NULL,
    registered_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_interrogation PRIMARY KEY (definition_sha256),
    CONSTRAINT ck_interrogation_version CHECK (version <> '' AND version = btrim(version))
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_interrogation_version ON llm.interrogation (interrogation_key, version);
