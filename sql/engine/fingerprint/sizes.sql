-- Pages of each heap's main file, as it is now: `relpages` is an estimate that loses rows. What is stored out of line
-- only weighs, so the estimate will do for it.
SELECT c.oid::pg_catalog.int8,
    pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::pg_catalog.int8,
    pg_catalog.pg_relation_size(c.oid)
        + COALESCE(t.relpages, 0)::pg_catalog.int8 * pg_catalog.current_setting('block_size')::pg_catalog.int8
FROM pg_catalog.pg_class AS c
LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]::pg_catalog.oid[])
  AND pg_catalog.pg_relation_size(c.oid) IS NOT NULL
