-- What statements outside of a transaction leave behind when they are stopped half way, of the tables $1: indexes that
-- are not valid, but for those that were not valid before ($2), and partitions whose detaching was begun.
-- One row each: words for people, and the statement that clears it away.
SELECT pg_catalog.format('index %I.%I is not valid', n.nspname, i.relname)::pg_catalog.text,
       pg_catalog.format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I', n.nspname, i.relname)::pg_catalog.text
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (name)
JOIN pg_catalog.pg_index AS x ON x.indrelid = pg_catalog.to_regclass(wanted.name)
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace
WHERE NOT x.indisvalid AND i.relkind = 'i' AND i.oid::pg_catalog.int8 <> ALL ($2::pg_catalog.int8[])
UNION ALL
SELECT pg_catalog.format('partition %I.%I is half detached', n.nspname, c.relname)::pg_catalog.text,
       pg_catalog.format('ALTER TABLE %s DETACH PARTITION %I.%I FINALIZE', wanted.name, n.nspname, c.relname)::pg_catalog.text
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (name)
JOIN pg_catalog.pg_inherits AS h ON h.inhparent = pg_catalog.to_regclass(wanted.name)
JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE h.inhdetachpending
ORDER BY 1
