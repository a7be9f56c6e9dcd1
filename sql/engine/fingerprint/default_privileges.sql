-- What ALTER DEFAULT PRIVILEGES has set.
SELECT 'default privileges',
    pg_catalog.format('default privileges of %I%s on %s', pg_catalog.pg_get_userbyid(a.defaclrole),
        ' in schema ' || pg_catalog.quote_ident(n.nspname),
        CASE a.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types'
            WHEN 'n' THEN 'schemas' ELSE a.defaclobjtype::pg_catalog.text END),
    NULL::pg_catalog.text,
    COALESCE((SELECT pg_catalog.string_agg(w.line, E'\n' ORDER BY w.line COLLATE "C")
        FROM pg_catalog.aclexplode(a.defaclacl) AS x
        CROSS JOIN LATERAL (SELECT pg_catalog.format('%s=%s%s/%s',
            CASE x.grantee WHEN 0 THEN '-' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END,
            x.privilege_type, CASE WHEN x.is_grantable THEN '*' ELSE '' END,
            pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantor))) AS line) AS w), '')
FROM pg_catalog.pg_default_acl AS a
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = a.defaclnamespace
