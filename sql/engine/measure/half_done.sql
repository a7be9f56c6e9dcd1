-- What statements outside of a transaction can leave behind when they are stopped half way: indexes that are not valid, but
-- for those that were not valid before ($1) and those that somebody is building now, and partitions whose detaching was
-- begun. One row each: words for people, the statement that clears it away, the names by which a template may have meant
-- it, the schema of what it belongs to, whether that statement brings it to its end instead of taking it back, and whether it
-- is of a TOAST table: REINDEX of its table builds such an index too, and the table's owner may not drop it.
SELECT pg_catalog.format(CASE WHEN o.oid IS NULL THEN 'index %I.%I is not valid'
                              ELSE 'index %I.%I of the TOAST table of %I.%I is not valid' END, n.nspname, i.relname, m.nspname,
                         coalesce(o.relname, t.relname))::pg_catalog.text,
       pg_catalog.format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I', n.nspname, i.relname)::pg_catalog.text,
       ARRAY[pg_catalog.regexp_replace(i.relname::pg_catalog.text, '_cc(new|old)[0-9]*$', ''), t.relname::pg_catalog.text,
             coalesce(o.relname, t.relname)::pg_catalog.text, coalesce(r.relname, o.relname, t.relname)::pg_catalog.text],
       m.nspname::pg_catalog.text, false, o.oid IS NOT NULL
FROM pg_catalog.pg_index AS x
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace
LEFT JOIN pg_catalog.pg_class AS o ON o.reltoastrelid = t.oid AND t.relkind = 't'
JOIN pg_catalog.pg_namespace AS m ON m.oid = coalesce(o.relnamespace, t.relnamespace)
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = pg_catalog.pg_partition_root(coalesce(o.oid, t.oid))::pg_catalog.oid
WHERE NOT x.indisvalid AND i.relkind = 'i' AND m.nspname !~ '^pg_' AND i.oid::pg_catalog.int8 <> ALL ($1::pg_catalog.int8[])
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.index_relid = i.oid)
UNION ALL
SELECT pg_catalog.format('partition %I.%I is half detached', n.nspname, c.relname)::pg_catalog.text,
       pg_catalog.format('ALTER TABLE %s DETACH PARTITION %I.%I FINALIZE', h.inhparent::pg_catalog.regclass, n.nspname,
                         c.relname)::pg_catalog.text,
       ARRAY[c.relname::pg_catalog.text], n.nspname::pg_catalog.text, true, false
FROM pg_catalog.pg_inherits AS h
JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE h.inhdetachpending
ORDER BY 1
