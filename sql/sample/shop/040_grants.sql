-- The engine's reader reads everything; PUBLIC has nothing on the database; the clone's roles have nothing here.
DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO shop_owner, engine_reader', current_database());
END $$;

GRANT USAGE ON SCHEMA shop TO engine_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO engine_reader;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA shop TO engine_reader;
