-- Definitions of interrogations, by their hash. A version, once registered, never changes.
CREATE TABLE IF NOT EXISTS llm.interrogation (
    definition_sha256 varchar(64) COLLATE "C" NOT NULL,
    interrogation_key varchar(200) COLLATE "C" NOT NULL,
    version varchar(40) COLLATE "C" NOT NULL,
    prompt_template text NOT NULL,
    output_schema_json llm.json_object NOT NULL,
    rubric text NOT NULL,
    registered_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_interrogation PRIMARY KEY (definition_sha256),
    CONSTRAINT ck_interrogation_definition_sha256 CHECK (
        length(definition_sha256) = 64 AND translate(definition_sha256, '0123456789abcdef', '') = ''
    ),
    CONSTRAINT ck_interrogation_interrogation_key CHECK (interrogation_key <> '' AND interrogation_key = btrim(interrogation_key)),
    CONSTRAINT ck_interrogation_version CHECK (version <> '' AND version = btrim(version))
);

CREATE UNIQUE INDEX IF NOT EXISTS ux_interrogation_version ON llm.interrogation (interrogation_key, version);
