-- Checks that a dump adds after the rows ($1: their oids in production), as statements that take them out of a clone.
SELECT CASE WHEN c.conrelid <> 0
       THEN pg_catalog.format('ALTER TABLE %I.%I DROP CONSTRAINT IF EXISTS %I', rn.nspname, r.relname, c.conname)
       ELSE pg_catalog.format('ALTER DOMAIN %I.%I DROP CONSTRAINT IF EXISTS %I', tn.nspname, t.typname, c.conname) END
FROM pg_catalog.pg_constraint AS c
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid
LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = c.contypid
LEFT JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.typnamespace
WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]::pg_catalog.oid[])
ORDER BY 1
