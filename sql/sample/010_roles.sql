-- Roles, and who owns the database. Roles live in the instance, not in the database: what is missing is
-- created, what is there is never altered. No passwords: how a role logs in is the server's business.
--
--   directus       owner of production's objects
--   gov_tenant     sees its own rows of one table (row level security)
--   gov_steward    given to the people who ratify; nobody logs in as it
--   gov_rollout    writes production, what a packet needs and no more
--   engine_reader  reads production, for clones and fingerprints
--   engine_cloner  creates, loads, copies and drops clones
--   engine_owner   owns every object in clones, nothing elsewhere, member of nothing
--   engine_stage   runs the stages on clones, as engine_owner from the first statement of a session
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES ('directus', 'LOGIN'),
                              ('gov_tenant', 'LOGIN'),
                              ('gov_steward', 'NOLOGIN'),
                              ('gov_rollout', 'LOGIN'),
                              ('engine_reader', 'LOGIN BYPASSRLS'),
                              ('engine_cloner', 'LOGIN CREATEDB'),
                              ('engine_owner', 'NOLOGIN'),
                              ('engine_stage', 'LOGIN')) AS r (name, powers)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r.name)
    LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.powers);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another load of the sample, into another database, was faster
        END;
    END LOOP;

    -- Plain GRANT: with INHERIT, and on 16 and newer with SET, as both roles need.
    FOR wanted IN
        SELECT r.name
        FROM (VALUES ('engine_cloner'), ('engine_stage')) AS r (name)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members
                          WHERE roleid = 'engine_owner'::regrole AND member = r.name::regrole)
    LOOP
        BEGIN
            EXECUTE format('GRANT engine_owner TO %I', wanted.name);
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;

    -- What a stage creates belongs to engine_owner, as everything else in a clone does.
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting
                   WHERE setrole = 'engine_stage'::regrole AND setdatabase = 0 AND 'role=engine_owner' = ANY (setconfig)) THEN
        ALTER ROLE engine_stage SET role = engine_owner;
    END IF;

    -- The database belongs to directus. Its owner may load the sample too; only a superuser can make it so.
    IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
       AND (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database()) <> 'directus'::regrole THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO directus', current_database());
    END IF;
END $$;
