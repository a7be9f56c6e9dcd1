-- The statement that defers again what is initially deferred, if anything is. A name stands for all constraints of its schema that
-- bear it: one that others bear too, which are not initially deferred, is left as it is. A schema that this role may not use is none
-- that it writes in, and may not be named.
SELECT 'SET CONSTRAINTS ' || pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', n.nspname, k.conname), ', ') || ' DEFERRED'
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_namespace AS n ON n.oid = k.connamespace
WHERE k.condeferrable AND k.condeferred AND n.nspname !~ '^pg_'
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS o
                  WHERE o.conname = k.conname AND o.connamespace = k.connamespace AND NOT (o.condeferrable AND o.condeferred))
HAVING pg_catalog.count(*) > 0
