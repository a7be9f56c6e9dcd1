-- All below the partitioned table $1, as `schema.table`; no row for any other table.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)::pg_catalog.text
FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)) AS t
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE t.level OPERATOR(pg_catalog.>) 0
ORDER BY 1
