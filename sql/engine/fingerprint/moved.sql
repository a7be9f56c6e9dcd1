-- Tables whose file is no longer the one this snapshot knows: the catalog's row is the snapshot's, the function
-- answers what is there now.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND c.relfilenode::pg_catalog.oid <> coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)
ORDER BY 1
