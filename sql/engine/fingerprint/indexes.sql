-- Indexes, invalid ones too; which one CLUSTER uses is in physical.sql.
SELECT 'index', pg_catalog.format('index %I.%I', n.nspname, x.relname),
    pg_catalog.format('%I.%I', tn.nspname, c.relname),
    pg_catalog.concat_ws(E'\n',
        pg_catalog.pg_get_indexdef(i.indexrelid),
        CASE WHEN NOT i.indisvalid THEN 'invalid' END,
        CASE WHEN NOT i.indisready THEN 'not ready' END,
        CASE WHEN NOT i.indimmediate THEN 'deferrable' END,
        CASE WHEN i.indisreplident THEN 'replica identity' END,
        'tablespace ' || ts.spcname,
        (SELECT 'partition of ' || h.inhparent::pg_catalog.regclass::pg_catalog.text
         FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = i.indexrelid),
        (SELECT 'statistics ' || pg_catalog.string_agg(a.attnum || ' ' || a.attstattarget, ', ' ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = i.indexrelid AND COALESCE(a.attstattarget, -1) > 0))
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = x.relnamespace
JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_tablespace AS ts ON ts.oid = x.reltablespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
