-- The three roles that rights are granted to. They cannot log in: a login is made a member of one of them.
-- Roles belong to the whole server, so another database's migration may make them at the same moment.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['llm_worker', 'llm_operator', 'llm_reader'] LOOP
        IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
            CONTINUE;
        END IF;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;  -- made by somebody else a moment ago
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % is missing and % may not create roles: let an administrator run CREATE ROLE % NOLOGIN, then run the scripts again for the grants',
                    v_role, current_user, v_role;
        END;
    END LOOP;
END;
$$;
