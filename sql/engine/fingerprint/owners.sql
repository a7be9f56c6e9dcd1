-- Owners, each an object of its own, so that an owner map can be laid over them.
SELECT 'owner', 'owner of ' || o.what, o.parent, pg_catalog.pg_get_userbyid(o.owner)::pg_catalog.text
FROM (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS classid, c.oid, c.relowner AS owner,
        CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table '
            WHEN 'S' THEN 'sequence ' ELSE 'table ' END || pg_catalog.format('%I.%I', n.nspname, c.relname) AS what,
        pg_catalog.format('%I.%I', n.nspname, c.relname) AS parent, n.nspname
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, n.nspowner, 'schema ' || pg_catalog.quote_ident(n.nspname),
        NULL, n.nspname
    FROM pg_catalog.pg_namespace AS n
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.proowner,
        CASE p.prokind WHEN 'a' THEN 'aggregate ' WHEN 'p' THEN 'procedure ' ELSE 'function ' END
            || p.oid::pg_catalog.regprocedure::pg_catalog.text, NULL, n.nspname
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.typowner,
        CASE t.typtype WHEN 'd' THEN 'domain ' ELSE 'type ' END || pg_catalog.format('%I.%I', n.nspname, t.typname), NULL, n.nspname
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
    WHERE t.typtype <> 'm' AND (c.oid IS NULL OR c.relkind = 'c')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.oid = t.typelem AND e.typarray = t.oid)
    UNION ALL
    SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, s.stxowner,
        'statistics ' || pg_catalog.format('%I.%I', n.nspname, s.stxname), s.stxrelid::pg_catalog.regclass::pg_catalog.text, n.nspname
    FROM pg_catalog.pg_statistic_ext AS s JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass, l.oid, l.collowner,
        'collation ' || pg_catalog.format('%I.%I', n.nspname, l.collname), NULL, n.nspname
    FROM pg_catalog.pg_collation AS l JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, o.oprowner,
        'operator ' || o.oid::pg_catalog.regoperator::pg_catalog.text, NULL, n.nspname
    FROM pg_catalog.pg_operator AS o JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_opfamily'::pg_catalog.regclass, f.oid, f.opfowner,
        pg_catalog.format('operator family %I.%I using %I', n.nspname, f.opfname, am.amname), NULL, n.nspname
    FROM pg_catalog.pg_opfamily AS f JOIN pg_catalog.pg_namespace AS n ON n.oid = f.opfnamespace
    JOIN pg_catalog.pg_am AS am ON am.oid = f.opfmethod
    UNION ALL
    SELECT 'pg_catalog.pg_ts_config'::pg_catalog.regclass, g.oid, g.cfgowner,
        'text search configuration ' || pg_catalog.format('%I.%I', n.nspname, g.cfgname), NULL, n.nspname
    FROM pg_catalog.pg_ts_config AS g JOIN pg_catalog.pg_namespace AS n ON n.oid = g.cfgnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, g.oid, g.dictowner,
        'text search dictionary ' || pg_catalog.format('%I.%I', n.nspname, g.dictname), NULL, n.nspname
    FROM pg_catalog.pg_ts_dict AS g JOIN pg_catalog.pg_namespace AS n ON n.oid = g.dictnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, w.oid, w.fdwowner,
        'foreign data wrapper ' || pg_catalog.quote_ident(w.fdwname), NULL, ''
    FROM pg_catalog.pg_foreign_data_wrapper AS w
    UNION ALL
    SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, s.oid, s.srvowner,
        'server ' || pg_catalog.quote_ident(s.srvname), NULL, ''
    FROM pg_catalog.pg_foreign_server AS s
    UNION ALL
    SELECT 'pg_catalog.pg_publication'::pg_catalog.regclass, p.oid, p.pubowner,
        'publication ' || pg_catalog.quote_ident(p.pubname), NULL, ''
    FROM pg_catalog.pg_publication AS p
    UNION ALL
    SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, e.oid, e.evtowner,
        'event trigger ' || pg_catalog.quote_ident(e.evtname), NULL, ''
    FROM pg_catalog.pg_event_trigger AS e
    UNION ALL
    SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, l.oid, l.lanowner,
        'language ' || pg_catalog.quote_ident(l.lanname), NULL, ''
    FROM pg_catalog.pg_language AS l WHERE l.oid >= 16384
) AS o
WHERE o.nspname !~ '^pg_' AND o.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e')
