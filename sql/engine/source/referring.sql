-- Foreign keys that refer to the tables $1 or to what they are parts of: table referred to, its name; table that refers, its
-- name; columns that refer and columns referred to; what an update and a delete over there do here ('a', 'r': nothing).
SELECT o.oid, f.conrelid::pg_catalog.int8, pg_catalog.format('%I.%I', n.nspname, r.relname),
    ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.unnest(f.conkey) WITH ORDINALITY AS k (attnum, n)
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.attnum ORDER BY k.n),
    ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.unnest(f.confkey) WITH ORDINALITY AS k (attnum, n)
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.confrelid AND a.attnum = k.attnum ORDER BY k.n),
    f.confupdtype NOT IN ('a', 'r'), f.confdeltype NOT IN ('a', 'r')
FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS o (oid)
JOIN pg_catalog.pg_constraint AS f ON f.contype = 'f'
    AND (f.confrelid = o.oid::pg_catalog.oid OR f.confrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_ancestors(o.oid::pg_catalog.oid) AS p))
JOIN pg_catalog.pg_class AS r ON r.oid = f.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
ORDER BY 1, 2
