-- The second sample, a shop: its own database, no table in common with the first. It needs nothing of the first.
-- Roles, and who owns the database. What is missing is created, what is there is never altered. No passwords.
--
--   shop_owner     owner of the shop's objects
--   engine_*       as in ../010_roles.sql
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES ('shop_owner', 'LOGIN'),
                              ('engine_reader', 'LOGIN BYPASSRLS'),
                              ('engine_cloner', 'LOGIN CREATEDB'),
                              ('engine_owner', 'NOLOGIN'),
                              ('engine_stage', 'LOGIN')) AS r (name, powers)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r.name)
    LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.powers);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another load of a sample, into another database, was faster
        END;
    END LOOP;

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

    IF NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting
                   WHERE setrole = 'engine_stage'::regrole AND setdatabase = 0 AND 'role=engine_owner' = ANY (setconfig)) THEN
        ALTER ROLE engine_stage SET role = engine_owner;
    END IF;

    IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
       AND (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database()) <> 'shop_owner'::regrole THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO shop_owner', current_database());
    END IF;
END $$;
