-- What ANALYZE goes through in the order of its size: tables, partitioned ones with all below them, materialised views.
-- The oids are those of this database.
SELECT c.oid::pg_catalog.int8, pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind::pg_catalog.text,
    (SELECT COALESCE(pg_catalog.sum(pg_catalog.pg_table_size(p.relid)), pg_catalog.pg_table_size(c.oid))
     FROM pg_catalog.pg_partition_tree(c.oid) AS p WHERE c.relkind = 'p')::pg_catalog.int8
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
