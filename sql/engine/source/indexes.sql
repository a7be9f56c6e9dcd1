-- Indexes, and the constraints they stand for, that can be built by their own statements as soon as a table's rows are
-- in: nothing else belongs to their entry in a dump (CLUSTER, replica identity, statistics, a tablespace).
SELECT x.indrelid::pg_catalog.int8, x.indexrelid::pg_catalog.int8, c.oid::pg_catalog.int8,
    pg_catalog.pg_get_indexdef(x.indexrelid),
    CASE WHEN c.oid IS NOT NULL THEN pg_catalog.format('ALTER TABLE ONLY %I.%I ADD CONSTRAINT %I %s USING INDEX %I%s',
        n.nspname, t.relname, c.conname, CASE c.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, i.relname,
        CASE WHEN c.condeferrable THEN ' DEFERRABLE' ELSE '' END || CASE WHEN c.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END)
    END
FROM pg_catalog.pg_index AS x
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_constraint AS c ON c.conindid = x.indexrelid AND c.conrelid = x.indrelid AND c.contype IN ('p', 'u', 'x')
WHERE t.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND x.indisvalid AND NOT x.indisclustered AND NOT x.indisreplident AND i.reltablespace = 0
  AND (c.oid IS NULL OR (c.contype IN ('p', 'u') AND COALESCE((pg_catalog.to_jsonb(c) ->> 'conperiod')::pg_catalog.bool, false) IS FALSE))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = x.indexrelid AND a.attstattarget >= 0)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.objid = t.oid AND d.deptype = 'e')
  AND t.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]::pg_catalog.oid[])
ORDER BY 1, 2
