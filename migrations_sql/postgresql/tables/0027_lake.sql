-- Which lake holds this database's files: the id that stands in the file lake.json at the lake's root. One row, or none
-- until the first worker has settled it.
CREATE TABLE IF NOT EXISTS llm.lake (
    lake_key integer NOT NULL DEFAULT 1,
    lake_id uuid NOT NULL,
    recorded_utc timestamptz NOT NULL,
    CONSTRAINT pk_lake PRIMARY KEY (lake_key),
    CONSTRAINT ck_lake_lake_key CHECK (lake_key = 1)
);

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT r.rolname
        FROM pg_catalog.pg_roles AS r
        WHERE r.rolname IN ('llm_worker', 'llm_reader', 'llm_operator')
    LOOP
        -- Whether a root may be taken is also told by the files that wait for their deletion.
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.lake, llm.lake_deletion TO %I', v_role);
    END LOOP;
END;
$$;
