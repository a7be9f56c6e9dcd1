-- The name that a constraint, or a unique index, of a leaf has at the root of its partitions.
WITH RECURSIVE up AS (
    SELECT c.oid, c.conname, c.conparentid
    FROM pg_catalog.pg_constraint AS c
    JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE c.conname = $1 AND n.nspname || '.' || r.relname = $2
    UNION ALL
    SELECT p.oid, p.conname, p.conparentid
    FROM up JOIN pg_catalog.pg_constraint AS p ON p.oid = up.conparentid
), above AS (
    SELECT i.oid, i.relname, NULL::pg_catalog.oid AS child
    FROM pg_catalog.pg_index AS x
    JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_class AS r ON r.oid = x.indrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE i.relname = $1 AND n.nspname || '.' || r.relname = $2
    UNION ALL
    SELECT p.oid, p.relname, above.oid
    FROM above
    JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = above.oid
    JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent
)
SELECT conname::pg_catalog.text FROM up WHERE conparentid = 0
UNION ALL
SELECT above.relname::pg_catalog.text FROM above
WHERE NOT EXISTS (SELECT FROM up) AND NOT EXISTS (SELECT FROM above AS higher WHERE higher.child = above.oid)
