-- The statement that defers again what is initially deferred, if anything is.
SELECT 'SET CONSTRAINTS ' || pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', n.nspname, k.conname), ', ') || ' DEFERRED'
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_namespace AS n ON n.oid = k.connamespace
WHERE k.condeferrable AND k.condeferred AND n.nspname !~ '^pg_'
HAVING pg_catalog.count(*) > 0
