-- How the roles of a clone ($1 runs stages, $2 makes it) could reach the database $3 of the same server; and what shuts
-- it, in three parts.
SELECT d.grade, 'role ' || pg_catalog.quote_ident(d.rolname) || ' ' || d.danger AS danger, d.before, '' AS object, '' AS after FROM (
    SELECT 1 AS grade, 'is superuser' AS danger, 'ALTER ROLE ' || pg_catalog.quote_ident(r.rolname) || ' NOSUPERUSER' AS before,
           r.rolname
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname IN ($1, $2) AND r.rolsuper
    UNION ALL
    SELECT 2, 'may connect to ' || pg_catalog.quote_ident($3::pg_catalog.text)
           || CASE a.grantee WHEN 0 THEN ' (granted to PUBLIC)' WHEN r.oid THEN ' (granted to it)'
                   ELSE ' (granted to ' || pg_catalog.quote_ident(g.rolname) || ', of which it is a member)' END,
           'REVOKE CONNECT ON DATABASE ' || pg_catalog.quote_ident($3::pg_catalog.text) || ' FROM '
           || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(g.rolname) END, r.rolname
    FROM pg_catalog.pg_roles AS r
    JOIN pg_catalog.pg_database AS p ON p.datname = $3
    CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.datacl, pg_catalog.acldefault('d', p.datdba))) AS a
    LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantee
    WHERE r.rolname = $1 AND NOT r.rolsuper AND a.privilege_type = 'CONNECT'
      AND (a.grantee = 0 OR (a.grantee <> p.datdba AND pg_catalog.pg_has_role(r.oid, a.grantee, 'MEMBER')))
    UNION ALL
    SELECT 2, 'is a member of ' || pg_catalog.quote_ident(o.rolname) || ', which owns ' || pg_catalog.quote_ident($3::pg_catalog.text),
           CASE WHEN o.oid = r.oid THEN '' ELSE 'REVOKE ' || pg_catalog.quote_ident(o.rolname) || ' FROM ' || pg_catalog.quote_ident(r.rolname) END,
           r.rolname
    FROM pg_catalog.pg_roles AS r
    JOIN pg_catalog.pg_database AS p ON p.datname = $3
    JOIN pg_catalog.pg_roles AS o ON o.oid = p.datdba
    WHERE r.rolname IN ($1, $2) AND NOT r.rolsuper AND pg_catalog.pg_has_role(r.oid, o.oid, 'MEMBER')
) AS d
ORDER BY d.grade, d.rolname, d.danger
