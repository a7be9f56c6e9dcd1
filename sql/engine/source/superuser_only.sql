-- What only a superuser can create, and no extension brings along.
SELECT o.what
FROM (
    SELECT 'pg_catalog.pg_am'::pg_catalog.regclass::pg_catalog.oid AS classid, m.oid, 'access method ' || pg_catalog.quote_ident(m.amname) AS what
    FROM pg_catalog.pg_am AS m WHERE m.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid,
        pg_catalog.format('function %I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid))
            || CASE WHEN p.proleakproof THEN ', LEAKPROOF' ELSE ' in language ' || l.lanname END
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (l.lanname IN ('c', 'internal') OR p.proleakproof)
      -- Aggregates, and what a range type brings along, are made by whoever makes those.
      AND p.prokind <> 'a'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS i WHERE i.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                      AND i.objid = p.oid AND i.deptype = 'i')
    UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, pg_catalog.format('base type %I.%I', n.nspname, t.typname)
    FROM pg_catalog.pg_type AS t
    JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    WHERE t.typtype = 'b' AND t.oid >= 16384 AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.typarray = t.oid)
    UNION ALL
    SELECT 'pg_catalog.pg_opclass'::pg_catalog.regclass, c.oid, 'operator class ' || pg_catalog.format('%I.%I', n.nspname, c.opcname)
    FROM pg_catalog.pg_opclass AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.opcnamespace WHERE c.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_ts_parser'::pg_catalog.regclass, p.oid, 'text search parser ' || pg_catalog.quote_ident(p.prsname)
    FROM pg_catalog.pg_ts_parser AS p WHERE p.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_ts_template'::pg_catalog.regclass, t.oid, 'text search template ' || pg_catalog.quote_ident(t.tmplname)
    FROM pg_catalog.pg_ts_template AS t WHERE t.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_cast'::pg_catalog.regclass, c.oid,
        pg_catalog.format('cast (%s AS %s) without function', c.castsource::pg_catalog.regtype, c.casttarget::pg_catalog.regtype)
    FROM pg_catalog.pg_cast AS c WHERE c.oid >= 16384 AND c.castmethod = 'b'
    UNION ALL
    SELECT 'pg_catalog.pg_publication'::pg_catalog.regclass, p.oid,
        'publication ' || pg_catalog.quote_ident(p.pubname) || ' of tables in schema'
    FROM pg_catalog.pg_publication AS p
    WHERE EXISTS (SELECT FROM pg_catalog.pg_publication_namespace AS s WHERE s.pnpubid = p.oid)
) AS o
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e')
ORDER BY 1
