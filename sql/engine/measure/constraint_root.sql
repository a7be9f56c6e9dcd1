WITH RECURSIVE up AS (
    SELECT c.oid, c.conname, c.conparentid
    FROM pg_catalog.pg_constraint AS c
    JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE c.conname = $1 AND n.nspname || '.' || r.relname = $2
    UNION ALL
    SELECT p.oid, p.conname, p.conparentid
    FROM up JOIN pg_catalog.pg_constraint AS p ON p.oid = up.conparentid
)
SELECT conname::pg_catalog.text FROM up WHERE conparentid = 0
