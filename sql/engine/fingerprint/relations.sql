-- Tables, views, materialized views, foreign tables and sequences: everything but columns, owner and grants.
SELECT w.kind, w.kind || ' ' || w.name, NULL::pg_catalog.text,
    pg_catalog.concat_ws(E'\n',
        CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
        'access method ' || am.amname,
        'of type ' || NULLIF(c.reloftype, 0)::pg_catalog.regtype::pg_catalog.text,
        'partitioned by ' || CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
        (SELECT CASE WHEN c.relispartition THEN 'partition of ' ELSE 'inherits ' END
             || pg_catalog.string_agg(h.inhparent::pg_catalog.regclass::pg_catalog.text, ', ' ORDER BY h.inhseqno)
         FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = c.oid),
        'bound ' || pg_catalog.pg_get_expr(c.relpartbound, c.oid),
        (SELECT 'option ' || pg_catalog.string_agg(o, E'\noption ' ORDER BY o COLLATE "C")
         FROM pg_catalog.unnest(c.reloptions) AS o),
        (SELECT 'toast option ' || pg_catalog.string_agg(o, E'\ntoast option ' ORDER BY o COLLATE "C")
         FROM pg_catalog.pg_class AS t, pg_catalog.unnest(t.reloptions) AS o WHERE t.oid = c.reltoastrelid),
        'tablespace ' || ts.spcname,
        CASE WHEN c.relkind NOT IN ('r', 'p') THEN NULL
             WHEN c.relreplident = 'f' THEN 'replica identity full'
             WHEN c.relreplident = 'n' THEN 'replica identity nothing'
             WHEN c.relreplident = 'i' THEN 'replica identity using index' END,
        CASE WHEN c.relrowsecurity THEN 'row security on' END,
        CASE WHEN c.relforcerowsecurity THEN 'row security forced' END,
        CASE WHEN NOT c.relispopulated THEN 'not populated' END,
        'server ' || pg_catalog.quote_ident(fs.srvname),
        'option ' || pg_catalog.array_to_string(ft.ftoptions, E'\noption '),
        CASE WHEN c.relkind = 'S' THEN pg_catalog.format(E'as %s\nstart %s\nincrement %s\nminimum %s\nmaximum %s\ncache %s\n%s',
            s.seqtypid::pg_catalog.regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
            CASE WHEN s.seqcycle THEN 'cycle' ELSE 'no cycle' END)
            || E'\n' || COALESCE((
                SELECT CASE d.deptype WHEN 'i' THEN 'identity of ' ELSE 'owned by ' END
                    || pg_catalog.format('column %I of %s', a.attname, d.refobjid::pg_catalog.regclass)
                FROM pg_catalog.pg_depend AS d
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0
                  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')), 'owned by none') END,
        CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
        WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind) AS w
LEFT JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
LEFT JOIN pg_catalog.pg_tablespace AS ts ON ts.oid = c.reltablespace
LEFT JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = c.oid
LEFT JOIN pg_catalog.pg_foreign_table AS ft ON ft.ftrelid = c.oid
LEFT JOIN pg_catalog.pg_foreign_server AS fs ON fs.oid = ft.ftserver
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
