-- Functions, procedures, aggregates. Argument types name them; names and defaults of arguments are definition.
SELECT w.kind, w.kind || ' ' || p.oid::pg_catalog.regprocedure::pg_catalog.text, NULL::pg_catalog.text,
    CASE p.prokind WHEN 'a' THEN pg_catalog.concat_ws(E'\n',
        'returns ' || pg_catalog.format_type(p.prorettype, NULL),
        'arguments ' || pg_catalog.pg_get_function_arguments(p.oid),
        'transition ' || g.aggtransfn::pg_catalog.text || ' on ' || pg_catalog.format_type(g.aggtranstype, NULL),
        'final ' || g.aggfinalfn::pg_catalog.text || ' ' || g.aggfinalextra || ' ' || g.aggfinalmodify::pg_catalog.text,
        'combine ' || g.aggcombinefn::pg_catalog.text,
        'serial ' || g.aggserialfn::pg_catalog.text || ' ' || g.aggdeserialfn::pg_catalog.text,
        'moving ' || g.aggmtransfn::pg_catalog.text || ' ' || g.aggminvtransfn::pg_catalog.text || ' ' || g.aggmfinalfn::pg_catalog.text,
        'initial ' || g.agginitval, 'moving initial ' || g.aggminitval,
        'sort operator ' || NULLIF(g.aggsortop, 0)::pg_catalog.regoperator::pg_catalog.text,
        'kind ' || g.aggkind::pg_catalog.text || ' parallel ' || p.proparallel::pg_catalog.text)
    ELSE pg_catalog.pg_get_functiondef(p.oid) END
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
LEFT JOIN pg_catalog.pg_aggregate AS g ON g.aggfnoid = p.oid
CROSS JOIN LATERAL (SELECT CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind) AS w
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')
