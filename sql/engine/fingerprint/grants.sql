-- Privileges, each an object of its own: the default written out, one line a privilege, sorted.
-- A line is `grantee=PRIVILEGE/grantor` or `grantee=PRIVILEGE*/grantor` (with grant option); public is `-`.
SELECT 'grants', 'grants on ' || o.what, o.parent,
    COALESCE((SELECT pg_catalog.string_agg(w.line, E'\n' ORDER BY w.line COLLATE "C")
        FROM pg_catalog.aclexplode(o.acl) AS x
        CROSS JOIN LATERAL (SELECT pg_catalog.format('%s=%s%s/%s',
            CASE x.grantee WHEN 0 THEN '-' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END,
            x.privilege_type, CASE WHEN x.is_grantable THEN '*' ELSE '' END,
            pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantor))) AS line) AS w), '')
FROM (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS classid, c.oid,
        COALESCE(c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS acl,
        CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table '
            WHEN 'S' THEN 'sequence ' ELSE 'table ' END || pg_catalog.format('%I.%I', n.nspname, c.relname) AS what,
        pg_catalog.format('%I.%I', n.nspname, c.relname) AS parent, n.nspname
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, a.attacl,
        pg_catalog.format('column %I of %I.%I', a.attname, n.nspname, c.relname),
        pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE pg_catalog.cardinality(a.attacl) > 0 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid,
        COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner)), 'schema ' || pg_catalog.quote_ident(n.nspname), NULL, n.nspname
    FROM pg_catalog.pg_namespace AS n
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)),
        CASE p.prokind WHEN 'a' THEN 'aggregate ' WHEN 'p' THEN 'procedure ' ELSE 'function ' END
            || p.oid::pg_catalog.regprocedure::pg_catalog.text, NULL, n.nspname
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, COALESCE(t.typacl, pg_catalog.acldefault('T', t.typowner)),
        CASE t.typtype WHEN 'd' THEN 'domain ' ELSE 'type ' END || pg_catalog.format('%I.%I', n.nspname, t.typname), NULL, n.nspname
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
    WHERE t.typtype <> 'm' AND (c.oid IS NULL OR c.relkind = 'c')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.oid = t.typelem AND e.typarray = t.oid)
    UNION ALL
    SELECT 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, w.oid,
        COALESCE(w.fdwacl, pg_catalog.acldefault('F', w.fdwowner)), 'foreign data wrapper ' || pg_catalog.quote_ident(w.fdwname), NULL, ''
    FROM pg_catalog.pg_foreign_data_wrapper AS w
    UNION ALL
    SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, s.oid,
        COALESCE(s.srvacl, pg_catalog.acldefault('S', s.srvowner)), 'server ' || pg_catalog.quote_ident(s.srvname), NULL, ''
    FROM pg_catalog.pg_foreign_server AS s
    UNION ALL
    SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, l.oid,
        COALESCE(l.lanacl, pg_catalog.acldefault('l', l.lanowner)), 'language ' || pg_catalog.quote_ident(l.lanname), NULL, ''
    FROM pg_catalog.pg_language AS l
    UNION ALL
    SELECT 'pg_catalog.pg_largeobject'::pg_catalog.regclass, m.oid,
        COALESCE(m.lomacl, pg_catalog.acldefault('L', m.lomowner)), 'large object ' || m.oid, NULL, ''
    FROM pg_catalog.pg_largeobject_metadata AS m WHERE m.lomacl IS NOT NULL
) AS o
WHERE o.nspname !~ '^pg_' AND o.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e')
