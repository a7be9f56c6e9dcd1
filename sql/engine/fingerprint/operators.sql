-- Operators, operator families with their members, casts, transforms.
SELECT 'operator', 'operator ' || o.oid::pg_catalog.regoperator::pg_catalog.text, NULL::pg_catalog.text,
    pg_catalog.concat_ws(E'\n', 'function ' || o.oprcode::pg_catalog.regprocedure::pg_catalog.text,
        'result ' || pg_catalog.format_type(o.oprresult, NULL),
        'commutator ' || NULLIF(o.oprcom, 0)::pg_catalog.regoperator::pg_catalog.text,
        'negator ' || NULLIF(o.oprnegate, 0)::pg_catalog.regoperator::pg_catalog.text,
        'restrict ' || o.oprrest::pg_catalog.text, 'join ' || o.oprjoin::pg_catalog.text,
        CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END)
FROM pg_catalog.pg_operator AS o
JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND d.objid = o.oid AND d.deptype = 'e')
UNION ALL
SELECT 'operator family', pg_catalog.format('operator family %I.%I using %I', n.nspname, f.opfname, am.amname), NULL,
    pg_catalog.concat_ws(E'\n',
        (SELECT pg_catalog.string_agg(pg_catalog.format('class %I for %s%s', c.opcname, pg_catalog.format_type(c.opcintype, NULL),
                    CASE WHEN c.opcdefault THEN ' default' END), E'\n' ORDER BY c.opcname)
         FROM pg_catalog.pg_opclass AS c WHERE c.opcfamily = f.oid),
        (SELECT pg_catalog.string_agg(w.line, E'\n' ORDER BY w.line COLLATE "C")
         FROM pg_catalog.pg_amop AS a
         CROSS JOIN LATERAL (SELECT pg_catalog.format('operator %s %s', a.amopstrategy, a.amopopr::pg_catalog.regoperator) AS line) AS w
         WHERE a.amopfamily = f.oid),
        (SELECT pg_catalog.string_agg(w.line, E'\n' ORDER BY w.line COLLATE "C")
         FROM pg_catalog.pg_amproc AS a
         CROSS JOIN LATERAL (SELECT pg_catalog.format('function %s %s', a.amprocnum, a.amproc::pg_catalog.oid::pg_catalog.regprocedure) AS line) AS w
         WHERE a.amprocfamily = f.oid))
FROM pg_catalog.pg_opfamily AS f
JOIN pg_catalog.pg_namespace AS n ON n.oid = f.opfnamespace
JOIN pg_catalog.pg_am AS am ON am.oid = f.opfmethod
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_opfamily'::pg_catalog.regclass AND d.objid = f.oid AND d.deptype = 'e')
UNION ALL
SELECT 'cast', pg_catalog.format('cast from %s to %s', pg_catalog.format_type(k.castsource, NULL), pg_catalog.format_type(k.casttarget, NULL)),
    NULL, pg_catalog.format('%s %s %s', k.castcontext, k.castmethod, NULLIF(k.castfunc, 0)::pg_catalog.regprocedure)
FROM pg_catalog.pg_cast AS k
WHERE k.oid >= 16384
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_cast'::pg_catalog.regclass AND d.objid = k.oid AND d.deptype = 'e')
UNION ALL
SELECT 'transform', pg_catalog.format('transform for %s language %I', pg_catalog.format_type(t.trftype, NULL), l.lanname), NULL,
    pg_catalog.format('%s %s', NULLIF(t.trffromsql, 0)::pg_catalog.oid::pg_catalog.regprocedure, NULLIF(t.trftosql, 0)::pg_catalog.oid::pg_catalog.regprocedure)
FROM pg_catalog.pg_transform AS t
JOIN pg_catalog.pg_language AS l ON l.oid = t.trflang
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_transform'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e')
