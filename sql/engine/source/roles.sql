-- Roles that grants and policies of user objects name, with one object for each and how many there are. Owners are not
-- among them: a clone has an owner of its own. `by_others`: given by somebody who is not the owner.
WITH acl AS (
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS what, c.relowner AS owner, c.relacl AS acl
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind <> 'f'
    UNION ALL
    SELECT pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname), c.relowner, a.attacl
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind <> 'f'
    UNION ALL
    SELECT 'schema ' || pg_catalog.quote_ident(n.nspname), n.nspowner, n.nspacl
    FROM pg_catalog.pg_namespace AS n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT pg_catalog.format('%I.%I()', n.nspname, p.proname), p.proowner, p.proacl
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT pg_catalog.format('type %I.%I', n.nspname, t.typname), t.typowner, t.typacl
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT 'large object ' || l.oid::pg_catalog.text, l.lomowner, l.lomacl FROM pg_catalog.pg_largeobject_metadata AS l
    UNION ALL
    SELECT 'default privileges of ' || pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.defaclrole)), d.defaclrole, d.defaclacl
    FROM pg_catalog.pg_default_acl AS d
), named AS (
    SELECT x.grantee AS role, acl.what, x.grantor <> acl.owner AS by_others
    FROM acl CROSS JOIN LATERAL pg_catalog.aclexplode(acl.acl) AS x
    WHERE x.grantee <> 0 AND x.grantee <> acl.owner
    UNION ALL
    SELECT u.role, pg_catalog.format('policy %I on %I.%I', p.polname, n.nspname, c.relname), false
    FROM pg_catalog.pg_policy AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN LATERAL pg_catalog.unnest(p.polroles) AS u (role)
    WHERE u.role <> 0
)
SELECT r.rolname::pg_catalog.text, pg_catalog.min(named.what COLLATE "C"), pg_catalog.count(*),
    pg_catalog.min(named.what COLLATE "C") FILTER (WHERE named.by_others)
FROM named JOIN pg_catalog.pg_roles AS r ON r.oid = named.role
WHERE r.rolname !~ '^pg_'
GROUP BY r.rolname
ORDER BY 1
