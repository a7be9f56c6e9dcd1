-- Heap tables (leaves of partitions) among $1 whose rows can be moved without a change of content: by which column, how
-- many pages, and which triggers an UPDATE would fire, as words of ALTER TABLE that switch them off and on again.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)::pg_catalog.text,
       a.attname::pg_catalog.text,
       (pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::pg_catalog.int8)::pg_catalog.int8,
       c.relhasrules,
       coalesce(t.off, '{}'),
       coalesce(t.on, '{}'),
       CASE WHEN r.oid IS NULL THEN '' ELSE pg_catalog.format('%I.%I', rn.nspname, r.relname) END::pg_catalog.text
FROM (SELECT DISTINCT p.relid::pg_catalog.oid AS oid
      FROM pg_catalog.unnest($1::pg_catalog.text[]) AS named (name)
      CROSS JOIN LATERAL pg_catalog.pg_partition_tree(pg_catalog.to_regclass(named.name)) AS p
      UNION
      SELECT pg_catalog.to_regclass(named.name)::pg_catalog.oid
      FROM pg_catalog.unnest($1::pg_catalog.text[]) AS named (name)) AS wanted
JOIN pg_catalog.pg_class AS c ON c.oid = wanted.oid AND c.relkind = 'r' AND c.relpersistence <> 't'
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam AND m.amname = 'heap'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS r ON c.relispartition AND r.oid = pg_catalog.pg_partition_root(c.oid)
LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
LEFT JOIN LATERAL (
    SELECT x.attname
    FROM pg_catalog.pg_attribute AS x
    WHERE x.attrelid = c.oid AND x.attnum > 0 AND NOT x.attisdropped AND x.attgenerated = '' AND x.attidentity <> 'a'
    ORDER BY x.attlen < 0, x.attnum
    LIMIT 1
) AS a ON true
LEFT JOIN LATERAL (
    SELECT pg_catalog.array_agg(pg_catalog.format('DISABLE TRIGGER %I', g.tgname)) AS off,
           pg_catalog.array_agg(pg_catalog.format('ENABLE %sTRIGGER %I', CASE g.tgenabled WHEN 'A' THEN 'ALWAYS ' ELSE '' END, g.tgname)) AS on
    FROM pg_catalog.pg_trigger AS g
    WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 16 <> 0
) AS t ON true
ORDER BY 1
