SELECT d.danger FROM (
    SELECT 'role ' || r.rolname || ' is superuser' AS danger
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname IN ($1, $2) AND r.rolsuper
    UNION ALL
    SELECT 'role ' || r.rolname || ' may connect to ' || $3
    FROM pg_catalog.pg_roles AS r
    JOIN pg_catalog.pg_database AS p ON p.datname = $3
    WHERE r.rolname = $1 AND NOT r.rolsuper AND pg_catalog.has_database_privilege(r.oid, p.oid, 'CONNECT')
    UNION ALL
    SELECT 'role ' || r.rolname || ' is a member of ' || o.rolname || ', which owns ' || $3
    FROM pg_catalog.pg_roles AS r
    JOIN pg_catalog.pg_database AS p ON p.datname = $3
    JOIN pg_catalog.pg_roles AS o ON o.oid = p.datdba
    WHERE r.rolname IN ($1, $2) AND NOT r.rolsuper AND pg_catalog.pg_has_role(r.oid, o.oid, 'MEMBER')
) AS d
ORDER BY 1
