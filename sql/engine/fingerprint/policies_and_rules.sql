-- Row level security policies, and rewrite rules other than those that make a view.
SELECT 'policy', pg_catalog.format('policy %I on %I.%I', p.polname, n.nspname, c.relname),
    pg_catalog.format('%I.%I', n.nspname, c.relname),
    pg_catalog.concat_ws(E'\n',
        CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
        'for ' || CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
            WHEN 'd' THEN 'delete' ELSE 'all' END,
        'to ' || (SELECT pg_catalog.string_agg(COALESCE(r.rolname::pg_catalog.text, 'public'), ', '
                      ORDER BY COALESCE(r.rolname::pg_catalog.text, 'public') COLLATE "C")
                  FROM pg_catalog.unnest(p.polroles) AS g LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = g),
        'using ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid),
        'with check ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_catalog.pg_policy AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'rule', pg_catalog.format('rule %I on %I.%I', r.rulename, n.nspname, c.relname),
    pg_catalog.format('%I.%I', n.nspname, c.relname),
    pg_catalog.pg_get_ruledef(r.oid) || CASE r.ev_enabled WHEN 'O' THEN '' ELSE E'\nstate ' || r.ev_enabled::pg_catalog.text END
FROM pg_catalog.pg_rewrite AS r
JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
