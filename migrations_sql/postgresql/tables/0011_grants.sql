-- Who may read what. Nobody but the owner writes a table: changes go through the procedures, which grant themselves.
DO $$
BEGIN
    REVOKE ALL ON SCHEMA llm FROM PUBLIC;
    IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'llm_worker') THEN
        GRANT USAGE ON SCHEMA llm TO llm_worker;
        GRANT SELECT ON llm.schema_script, llm.interrogation, llm.run, llm.artifact TO llm_worker;
    END IF;
    IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'llm_operator') THEN
        GRANT USAGE ON SCHEMA llm TO llm_operator;
        GRANT SELECT ON ALL TABLES IN SCHEMA llm TO llm_operator;
    END IF;
    IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'llm_reader') THEN
        GRANT USAGE ON SCHEMA llm TO llm_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA llm TO llm_reader;
    END IF;
END;
$$;
