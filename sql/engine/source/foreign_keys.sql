-- Foreign keys of tables, not those that partitions inherit. A partitioned table takes no NOT VALID key (before 18).
SELECT c.oid::pg_catalog.int8, c.conrelid::pg_catalog.int8, pg_catalog.format('%I.%I', n.nspname, t.relname),
    pg_catalog.quote_ident(c.conname), pg_catalog.pg_get_constraintdef(c.oid), c.convalidated AND t.relkind <> 'p'
FROM pg_catalog.pg_constraint AS c
JOIN pg_catalog.pg_class AS t ON t.oid = c.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0 AND t.relkind IN ('r', 'p')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 2, 1
